"""The HTTP interface, as a WSGI application.

    POST   /v1/models/<name>:predict   TensorFlow Serving's request; stateless
    GET    /v1/models/<name>           its status
    POST   /v1/sessions                -> {"session": id}
    POST   /v1/sessions/<id>:act       -> {"action": ...}
    DELETE /v1/sessions/<id>
    GET    /healthz, /metrics
"""

from collections.abc import Callable
import json
import logging
import queue
import threading
import time
from typing import Any

import werkzeug
from werkzeug import exceptions
from werkzeug import routing

from dreamerv2_tfa.deployment import access as access_lib
from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import connections
from dreamerv2_tfa.deployment import loaded
from dreamerv2_tfa.deployment import metrics as metrics_lib
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.deployment import requests
from dreamerv2_tfa.deployment import sessions as sessions_lib


class Application:
  """Answers requests; thread-safe."""

  def __init__(
      self, policy: loaded.SavedPolicy, *, name: str,
      access: access_lib.Access, max_sessions: int, idle_seconds: float,
      max_bytes: int, clock: Callable[[], float] = time.monotonic,
  ):
    """Starts what answers.

    Args:
      policy: `loaded.SavedPolicy`.
      name: Name of the model.
      access: Decides who may ask.
      max_sessions: Sessions at once.
      idle_seconds: After which an unused session is forgotten.
      max_bytes: Size of a request's body.
      clock: Function that returns seconds.
    """
    self._policy = policy
    self._name = name
    self._access = access
    self._most_values = requests.most_values(policy)
    # Python makes the objects of one JSON text at a time anyway, and so those
    # of one request are all that there are.
    self._reading = threading.Lock()
    self._max_bytes = max_bytes
    self._idle_seconds = idle_seconds
    self._sessions = sessions_lib.Sessions(
        policy, limit=max_sessions, idle_seconds=idle_seconds, clock=clock
    )
    self._batcher = batching.Batcher(policy)
    self._metrics = metrics_lib.Metrics(self._sessions, self._batcher)
    rule = lambda method, path, endpoint: routing.Rule(
        path, methods=[method], endpoint=endpoint
    )
    self._routes = routing.Map([
        rule('POST', '/v1/models/<name>:predict', self._predict),
        rule('GET', '/v1/models/<name>', self._status),
        rule('POST', '/v1/sessions', self._create),
        rule('POST', '/v1/sessions/<name>:act', self._act),
        rule('DELETE', '/v1/sessions/<name>', self._delete),
        rule('GET', '/healthz', self._health),
        rule('GET', '/metrics', self._tell_metrics),
    ], merge_slashes=False)

  def close(self) -> None:
    """Ends the thread that calls the model."""
    self._batcher.close()

  def count(self, status: int) -> None:
    """Counts a request that the server has answered by itself.

    Args:
      status: Of HTTP.
    """
    self._metrics.add(status, 0.0, acted=False)

  def __call__(
      self, environ: dict[str, Any], start_response: Callable[..., Any],
  ) -> Any:
    """Answers one request, by WSGI."""
    start = time.perf_counter()
    request = werkzeug.Request(environ)
    request.max_content_length = self._max_bytes
    endpoint, headers = None, []
    try:
      self._admit(request)
      endpoint, arguments = self._routes.bind_to_environ(environ).match()
      status, body = endpoint(request, **arguments)
    except exceptions.HTTPException as error:
      status, body = error.code or 500, {'error': error.description}
      headers = [(name, value) for name, value in error.get_headers(environ)
                 if name != 'Content-Type']
    except ValueError as error:
      status, body = 400, {'error': str(error)}
    except Exception:  # a fault of ours; the server continues
      logging.exception('While answering %s', request.path)
      status, body = 500, {'error': 'The server failed; its log says how.'}
    text = body if isinstance(body, str) else json.dumps(body) + '\n'
    kind = 'text/plain' if isinstance(body, str) else 'application/json'
    self._metrics.add(
        status, time.perf_counter() - start,
        status == 200 and endpoint in (self._predict, self._act),
    )
    response = werkzeug.Response(text, status, headers, content_type=kind)
    response.headers['X-Content-Type-Options'] = 'nosniff'
    return response(environ, start_response)

  def _admit(self, request):
    """Refuses who may not ask, and all but reading while too many wait."""
    self._access.check(request)
    if request.method == 'POST' and request.environ.get(connections.FULL):
      raise _full()

  def _step(self, inputs):
    try:
      return self._batcher.step(inputs)
    except queue.Full as error:
      raise _full() from error

  def _check_name(self, name):
    if name != self._name:
      raise exceptions.NotFound(
          f'There is no model {name!r} here; there is {self._name!r}.'
      )

  def _status(self, unused_request, name):
    self._check_name(name)
    return 200, {'model_version_status': [{
        'version': str(self._policy.manifest['updates']), 'state': 'AVAILABLE',
        'status': {'error_code': 'OK', 'error_message': ''},
    }]}

  def _predict(self, request, name):
    self._check_name(name)
    with self._reading:
      body = requests.read(
          request.get_data(cache=False),
          ('instances', 'inputs', 'signature_name'), self._most_values,
      )
      signature = body.get('signature_name', 'action')
      if signature == 'action':
        inputs, as_instances = requests.step_inputs(self._policy, body)
      elif signature == 'get_initial_state':
        inputs, as_instances = requests.initial_inputs(body), False
      else:
        raise ValueError(
            "signature_name must be 'action' or 'get_initial_state'; got "
            f'{str(signature)[:40]!r}.'
        )
      del body
    if signature == 'get_initial_state':
      outputs = self._policy.initial_state(*inputs)
    else:
      outputs = self._step(inputs)
    if as_instances:
      return 200, {'predictions': requests.instances_of(outputs)}
    return 200, {'outputs': requests.plain(outputs)}

  def _create(self, request):
    body = requests.read(request.get_data(cache=False), ('seed',))
    name = self._sessions.create(requests.seed(body))
    if name is None:
      raise exceptions.TooManyRequests(
          'There are as many sessions as may be. Delete one with DELETE '
          f'/v1/sessions/<id>; idle ones end after {self._idle_seconds:g} s.',
          retry_after=self._sessions.wait(),
      )
    return 201, {'session': name, 'idle_seconds': self._idle_seconds}

  def _act(self, request, name):
    session = self._sessions.get(name)
    if session is None:
      raise _unknown(name)
    with self._reading:
      inputs, is_first = requests.observation(self._policy, requests.read(
          request.get_data(cache=False), ('observation', 'is_first'),
          self._most_values,
      ))
    if not session.lock.acquire(blocking=False):
      raise exceptions.Conflict(
          'This session is acting already. Wait for its answer: an '
          'environment takes one step after another.'
      )
    try:
      first = session.begins if is_first is None else is_first
      outputs = self._step(
          {**inputs, names.FIRST: [first], **session.state}  # pyright: ignore[reportArgumentType]
      )
      action = outputs.pop('action')
      session.state, session.begins = outputs, False
    finally:
      session.lock.release()
    return 200, {'action': action[0].tolist()}

  def _delete(self, unused_request, name):
    if not self._sessions.delete(name):
      raise _unknown(name)
    return 200, {'deleted': name}

  def _health(self, unused_request):
    return 200, {'status': 'ok', 'task': self._policy.manifest['task']}

  def _tell_metrics(self, unused_request):
    return 200, self._metrics.text()


def _full():
  return exceptions.TooManyRequests(
      'Too many requests wait. Send this one again later.', retry_after=1)


def _unknown(name):
  return exceptions.NotFound(
      f'Unknown session {name[:80]!r}. It was deleted, idle for too long, or '
      'begun before the server was restarted. Begin another: POST '
      '/v1/sessions.'
  )
