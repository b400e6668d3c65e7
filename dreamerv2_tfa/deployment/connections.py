"""Connections of the server: how many, for how long, and how much they hold.

waitress alone stops accepting at its limit of connections, so as many idle
ones shut everyone out; its one time-out starts again with every byte, so a
client that sends a byte a second stays for ever; it holds every request's body
in memory or in a file; and it ends without answering what it has received. No
option changes that, hence this subclass of its server. It adds:

  - At the limit, the connection that is idle the longest makes room.
  - Time-outs from a request's first byte to its last, and for its response to
    be taken.
  - A bound on the bytes that all connections hold together.
  - A bound on the requests that wait. Above it the application is told that the
    server is full, by a thread of its own.
  - `stop`, which answers the requests under way first.

A refused request is told why, in JSON. Requests need a Content-Length: reading
chunks of a byte each would take the thread that serves everybody.
"""

from collections.abc import Callable
import contextlib
import json
import math
import resource
import socket
import threading
import time
from typing import Any

from waitress import adjustments
from waitress import channel
from waitress import parser
from waitress import server
from waitress import task
from waitress import utilities
from waitress import wasyncore

from dreamerv2_tfa import checks

FULL = 'dreamerv2_tfa.full'  # in a WSGI environment: too many requests wait
MOST = 1000  # connections, if descriptors suffice
_OTHER = 256  # descriptors for everything else
_HEADER_BYTES = 2**14
_SMALL = 2**16  # bytes of a body that any connection may hold
_BODIES = 4  # times the largest body may be held by all connections together
_HEADER_SECONDS = 10.0  # for a request's header to arrive
_REQUEST_SECONDS = 60.0  # for all of it to arrive, or for its response to leave
_IDLE_SECONDS = 120.0  # between requests
_STOP_SECONDS = 10.0  # for the requests under way when the server stops
_WAITING = 4  # requests for each thread that may wait
_NEVER = 2**40  # bytes; turns a threshold of waitress off


def limit(wanted: int | None) -> int:
  """How many connections there may be; raises the soft limit of descriptors.

  Args:
    wanted: Or None, for `MOST` or as many as the system allows.

  Raises:
    UserError: If the system does not allow as many descriptors.
  """
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  hard = _NEVER if hard == resource.RLIM_INFINITY else hard
  most = max(hard - _OTHER, 1)
  if wanted is not None and wanted > most:
    raise checks.UserError(
        f'--max_connections={wanted} needs {wanted + _OTHER} file descriptors; '
        f'this process may have {hard}. Give --max_connections={most} or less, '
        'or raise the limit: ulimit -Hn.'
    )
  connections = min(MOST, most) if wanted is None else wanted
  needed = min(connections + _OTHER, hard)
  if soft != resource.RLIM_INFINITY and soft < needed:
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (needed, resource.getrlimit(
            resource.RLIMIT_NOFILE)[1]))
  return connections


class _Refusal(utilities.Error):
  """Why a request is refused, by its HTTP status."""

  def __init__(self, code, reason, body):
    super().__init__(body)
    self.code, self.reason = code, reason


class _Refuse(task.ErrorTask):
  """Answers a request that does not reach the application, in JSON."""

  channel: Any  # _Channel; the type stubs of waitress are not exact
  request: Any  # _Request
  response_headers: list

  def execute(self):
    error = self.request.error
    self.channel.server.count(error.code)
    body = json.dumps({'error': f'{error.reason}: {error.body}'}) + '\n'
    self.status = f'{error.code} {error.reason}'
    self.response_headers.append(('Content-Type', 'application/json'))
    if error.code == 429:
      self.response_headers.append(('Retry-After', '1'))
    self.set_close_on_finish()
    self.content_length = len(body)
    self.write(body.encode())


class _Answer(task.WSGITask):
  """Lets the application answer a request."""

  channel: Any  # _Channel

  def get_environment(self):
    return {**super().get_environment(), FULL: self.channel.full}


class _Request(parser.HTTPRequestParser):
  """A request that arrives in parts."""

  path = ''  # until it is parsed: waitress logs it where the client has left

  def __init__(self, adj):
    super().__init__(adj)
    self.begun = time.monotonic()

  def buffered(self):
    """Bytes of the body so far."""
    return 0 if self.body_rcv is None else len(self.body_rcv)

  def parse_header(self, header_plus):
    try:
      super().parse_header(header_plus)
    except parser.TransferEncodingNotImplemented as error:
      raise parser.ParsingError(error.args[0]) from error
    if self.chunked:
      self._refuse(_Refusal(
          411, 'Length Required', 'Got Transfer-Encoding: chunked. Send the '
          'body at once, with Content-Length.'))
    elif self.content_length >= self.adj.max_request_body_size:
      self._refuse(_Refusal(
          413, 'Request Entity Too Large', 'Got a body of '
          f'{self.content_length} bytes; wanted less than '
          f'--max_bytes={self.adj.max_request_body_size}.'))

  def _refuse(self, error):
    """Reads no body; the connection closes after the answer."""
    self.error, self.body_rcv, self.content_length = error, None, 0
    self.chunked = self.expect_continue = False


class _Channel(channel.HTTPChannel):
  """A connection."""

  server: Any  # Server
  request: _Request | None  # that arrives
  requests: list[_Request]  # that have arrived
  requests_lock: threading.Lock
  parser_class = _Request
  task_class = _Answer
  error_task_class = _Refuse
  full = False  # whether its request came while too many waited

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.since = time.monotonic()  # when it last did what a client should

  def service(self):
    self.since = time.monotonic()
    super().service()
    self.since = time.monotonic()

  def received(self, data):
    result = super().received(data)
    if self.request is not None and self.request.buffered() > _SMALL:
      self.server.bound_memory()
    return result

  def is_busy(self):
    """Whether a request has begun whose response has not left."""
    return bool(self.requests or self.request or self.total_outbufs_len)

  def buffered(self):
    """Bytes of requests and responses."""
    requests = [*self.requests, *filter(None, [self.request])]
    return self.total_outbufs_len + sum(each.buffered() for each in requests)

  def refuse(self, error):
    """Answers the request that has not wholly arrived, and closes."""
    with self.requests_lock:
      request, self.request = self.request, None
      if request is None:
        return
      request.close()
      request.error, request.completed = error, True
      self.requests.append(request)
      if len(self.requests) == 1:
        self.server.add_task(self)

  def drop(self):
    """Closes at once: waitress would wait until the client reads."""
    self.will_close = True
    self.handle_close()

  def expire(self, now):
    """Ends what has taken too long.

    Args:
      now: Seconds.
    """
    if self.request is not None:
      age = now - self.request.begun
      if age > (_REQUEST_SECONDS if self.request.headers_finished
                else _HEADER_SECONDS):
        self.refuse(_Refusal(
            408, 'Request Timeout', f'The request has not arrived in {age:.0f} '
            's.'))
    elif not self.requests:
      seconds = _REQUEST_SECONDS if self.total_outbufs_len else _IDLE_SECONDS
      if now - self.since > seconds:
        self.drop()


class Server(server.TcpWSGIServer):
  """Accepts connections and has threads answer their requests.

  Attributes:
    effective_host, effective_port: Where it listens.
  """

  active_channels: dict[int, _Channel]
  effective_host: str
  effective_port: int
  _map: dict[int, Any]
  channel_class = _Channel

  def __init__(
      self, application: Callable[..., Any], bound: socket.socket, *,
      threads: int, max_bytes: int, max_connections: int,
      count: Callable[[int], None],
  ):
    """Listens.

    Args:
      application: By WSGI.
      bound: Socket at an address.
      threads: That call the application.
      max_bytes: Of a request's body.
      max_connections: At once.
      count: Is told the HTTP status of each request that does not reach the
        application.
    """
    settings = adjustments.Adjustments(
        sockets=[bound], threads=threads, ident=None, recv_bytes=_SMALL,
        max_request_header_size=_HEADER_BYTES, max_request_body_size=max_bytes,
        connection_limit=_NEVER, cleanup_interval=1, asyncore_use_poll=True,
        inbuf_overflow=_NEVER, outbuf_overflow=_NEVER,
        outbuf_high_watermark=_NEVER, log_socket_errors=False,
    )
    super().__init__(
        application, {}, True, bound, adj=settings, bind_socket=False,
        sockinfo=(bound.family, bound.type, bound.proto, bound.getsockname()),
    )
    self.count = count
    self._most_waiting = _WAITING * threads
    self._most = max_connections
    self._stop_at = math.inf
    self._when_full = task.ThreadedTaskDispatcher()
    self._when_full.set_thread_count(1)

  def add_task(self, task: Any) -> None:
    """Has a request answered, or refused where too many wait."""
    task.full = len(self.task_dispatcher.queue) >= self._most_waiting
    (self._when_full if task.full else self.task_dispatcher).add_task(task)

  def handle_accept(self) -> None:
    """Takes a connection, in place of the one that is idle the longest."""
    try:
      super().handle_accept()
    except OSError:  # the client has left already
      return
    if len(self.active_channels) > self._most:
      idle = [each for each in self.active_channels.values()
              if not each.requests]
      if idle:  # the new one is
        min(idle, key=lambda each: each.since).drop()

  def maintenance(self, unused_now: float) -> None:
    """Ends, every second, what takes too long or holds too much."""
    now = time.monotonic()
    for each in list(self.active_channels.values()):
      each.expire(now)
    self.bound_memory()

  def bound_memory(self) -> None:
    """Refuses the largest requests until all hold no more than they may."""
    channels = sorted(
        self.active_channels.values(), key=_Channel.buffered, reverse=True)
    total = sum(each.buffered() for each in channels)
    for each in channels:
      if total <= _BODIES * self.adj.max_request_body_size:
        return
      if each.request is not None:
        total -= each.buffered()
        each.refuse(_Refusal(
            429, 'Too Many Requests', 'The requests of all clients hold too '
            'much memory. Send it again later.'))
      elif each.total_outbufs_len:
        total -= each.buffered()
        each.drop()

  def stop(self) -> None:
    """Ends `run` after the requests under way; a signal handler may call it."""
    self._stop_at = time.monotonic() + _STOP_SECONDS
    if self._map:
      with contextlib.suppress(OSError):  # it has ended meanwhile
        self.pull_trigger()

  def run(self) -> None:
    """Serves until `stop` is called."""
    while self._map and not (
        self._stop_at < math.inf and self._is_done()):
      wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
    for dispatcher in (self.task_dispatcher, self._when_full):
      dispatcher.shutdown(timeout=1)
    wasyncore.close_all(self._map)

  def _is_done(self):
    """Accepts no connection; whether no request is under way."""
    if self.accepting:
      self.accepting = False
      wasyncore.dispatcher.close(self)
    for each in list(self.active_channels.values()):
      if not each.is_busy():
        each.drop()
    return not self.active_channels or time.monotonic() > self._stop_at
