"""Tests of the server: the same actions for all, and a fault for the faulty."""

import contextlib
import http.client
import json
import queue
import random
import socket
import threading
import tracemalloc

import exported
import numpy as np
import pytest
import small
from werkzeug import test as werkzeug_test

from dreamerv2_tfa.deployment import access
from dreamerv2_tfa.deployment import application
from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import connections
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import loaded
from dreamerv2_tfa.deployment import server

_JSON = {'Content-Type': 'application/json'}


class Clock:
  """Seconds that pass when told to."""

  now = 0.0

  def __call__(self):
    return self.now


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """An export whose actions are a box: one bit more shows."""
  path = tmp_path_factory.mktemp('export')
  exported.write(path, action=small.BOX)
  return path


@pytest.fixture(scope='module')
def policy(folder):
  return loaded.SavedPolicy(folder)


class Site:
  """An application that is called without a network."""

  def __init__(self, policy, **settings):
    self.clock = Clock()
    self._app = application.Application(policy, **{
        'name': 'toy', 'max_sessions': 5, 'idle_seconds': 60.0,
        'max_bytes': 20_000, 'clock': self.clock, 'access': access.Access(),
        **settings,
    })
    self._client = werkzeug_test.Client(self._app)
    self.close = self._app.close

  def send(self, method, path, body=b'', headers=None, **environ):
    """The response to a request; `headers` takes the place of JSON's."""
    return self._client.open(
        path, method=method, data=body,
        headers=_JSON if headers is None else headers,
        environ_overrides=environ)

  def ask(self, method, path, body=None):
    """Status and answer: JSON, or text."""
    if not isinstance(body, bytes):
      body = b'' if body is None else json.dumps(body).encode()
    answer = self.send(method, path, body)
    return answer.status_code, answer.json if answer.is_json else answer.text

  def begin(self, **body):
    status, answer = self.ask('POST', '/v1/sessions', body)
    assert status == 201
    return answer['session']


@pytest.fixture
def site(policy):
  with contextlib.closing(Site(policy)) as made:
    yield made


def observed(seed=0):
  rng = np.random.default_rng(seed)
  return {
      'position': np.float32(rng.normal(size=3)).tolist(),
      'level': rng.integers(0, 256, 2).tolist(),
      'speed': float(np.float32(rng.normal())),
  }


def alone(folder, seed, observations, first=()):
  """Actions of a policy that is loaded by itself."""
  lone = client.load_policy(folder, seed)
  return [
      lone.act(x, True if t in first else None).tolist()
      for t, x in enumerate(observations)
  ]


# Sessions ---------------------------------------------------------------------


def test_a_session_acts_as_a_lone_policy_in_every_bit(site, folder):
  name = site.begin(seed=4)
  observations = [observed(seed) for seed in range(6)]
  actions = [
      site.ask('POST', f'/v1/sessions/{name}:act', {
          'observation': x, **({'is_first': True} if t == 3 else {}),
      })[1]['action'] for t, x in enumerate(observations)
  ]
  assert actions == alone(folder, 4, observations, first=(3,))
  assert actions != alone(folder, 5, observations, first=(3,))


def test_a_policy_in_tensorflow_lite_is_served_too(tmp_path):
  agent, _ = exported.make(action=small.BOX)
  export.write(agent, 'tflite', tmp_path, {'task': 'toy', 'updates': 7})
  with contextlib.closing(Site(loaded.SavedPolicy(tmp_path))) as site:
    name = site.begin()
    observations = [observed(seed) for seed in range(4)]
    actions = [
        site.ask('POST', f'/v1/sessions/{name}:act', {'observation': x})
        for x in observations]
    assert [answer['action'] for _, answer in actions] == alone(
        tmp_path, 9, observations)
    status, state = site.ask('POST', '/v1/models/toy:predict', {
        'signature_name': 'get_initial_state',
        'inputs': {'batch_size': 1, 'seed': 3}})
    assert status == 200 and not np.any(state['outputs']['state_deter'])


def test_sessions_without_a_seed_draw_different_latents(site):
  acts = [
      site.ask('POST', f'/v1/sessions/{site.begin()}:act',
               {'observation': observed()})[1]['action'] for _ in range(4)
  ]
  assert len(set(map(tuple, acts))) > 1


def test_an_unknown_session_is_told_so(site):
  for method, path in (('POST', '/v1/sessions/gone:act'),
                       ('DELETE', '/v1/sessions/gone')):
    status, answer = site.ask(method, path, {'observation': observed()})
    assert status == 404
    assert "Unknown session 'gone'" in answer['error']
    assert 'restarted' in answer['error']


def test_a_deleted_session_is_gone(site):
  name = site.begin()
  assert site.ask('DELETE', f'/v1/sessions/{name}')[0] == 200
  assert site.ask('POST', f'/v1/sessions/{name}:act',
                  {'observation': observed()})[0] == 404


def test_an_idle_session_is_forgotten_and_a_used_one_is_not(site):
  idle, used = site.begin(), site.begin()
  act = lambda name: site.ask(
      'POST', f'/v1/sessions/{name}:act', {'observation': observed()}
  )[0]
  site.clock.now = 59.0
  assert act(used) == 200
  site.clock.now = 61.0
  assert (act(idle), act(used)) == (404, 200)


def test_there_are_only_so_many_sessions(site):
  names = [site.begin() for _ in range(5)]
  status, answer = site.ask('POST', '/v1/sessions')
  assert status == 429 and 'DELETE' in answer['error']
  site.clock.now = 12.5
  assert site.send('POST', '/v1/sessions').headers['Retry-After'] == '48'
  site.ask('DELETE', f'/v1/sessions/{names[2]}')
  site.begin()
  site.clock.now = 100.0
  for _ in range(5):
    site.begin()


def test_a_session_that_is_acting_refuses_a_second_step(site, policy):
  name = site.begin()
  session = site._app._sessions.get(name)
  with session.lock:
    status, answer = site.ask('POST', f'/v1/sessions/{name}:act',
                              {'observation': observed()})
  assert status == 409 and 'acting already' in answer['error']


def test_a_refused_step_leaves_the_session_as_it_was(site, folder):
  name = site.begin(seed=2)
  path = f'/v1/sessions/{name}:act'
  assert site.ask('POST', path, {'observation': {}})[0] == 400
  acted = site.ask('POST', path, {'observation': observed()})[1]['action']
  assert [acted] == alone(folder, 2, [observed()])


# TensorFlow Serving's request -------------------------------------------------


def predict(site, **body):
  return site.ask('POST', '/v1/models/toy:predict', body)


def test_state_goes_out_and_comes_back(site, folder):
  observations = [observed(seed) for seed in range(4)]
  status, answer = predict(
      site, signature_name='get_initial_state',
      inputs={'batch_size': 1, 'seed': 8},
  )
  assert status == 200
  state, actions = answer['outputs'], []
  for t, observation in enumerate(observations):
    status, answer = predict(site, signature_name='action', inputs={
        'is_first': [t == 0], **state,
        **{f'observation_{key}': [x] for key, x in observation.items()},
    })
    assert status == 200
    state = answer['outputs']
    actions += state.pop('action')
  assert actions == alone(folder, 8, observations)


def test_instances_are_answered_row_by_row_as_inputs_are_by_column(site):
  _, answer = predict(
      site, signature_name='get_initial_state',
      inputs={'batch_size': 3, 'seed': 1},
  )
  inputs = {
      'is_first': [True] * 3, **answer['outputs'],
      **{f'observation_{key}': [observed(i)[key] for i in range(3)]
         for key in observed()},
  }
  rows = [{name: x[i] for name, x in inputs.items()} for i in range(3)]
  columns = predict(site, inputs=inputs)[1]['outputs']
  by_row = predict(site, instances=rows)[1]['predictions']
  assert by_row == [
      {name: x[i] for name, x in columns.items()} for i in range(3)
  ]


def test_a_model_of_another_name_is_not_found(site):
  status, answer = site.ask('POST', '/v1/models/other:predict', {})
  assert status == 404 and "'toy'" in answer['error']


def test_status_health_and_metrics_are_told(site):
  site.ask('POST', f'/v1/sessions/{site.begin()}:act',
           {'observation': observed()})
  site.ask('POST', '/v1/sessions', b'{')
  status, answer = site.ask('GET', '/v1/models/toy')
  assert answer['model_version_status'][0]['state'] == 'AVAILABLE'
  assert site.ask('GET', '/healthz')[1]['status'] == 'ok'
  _, text = site.ask('GET', '/metrics')
  for line in ('dreamerv2_act_seconds_bucket{le="+Inf"} 1.0\n',
               'dreamerv2_act_seconds_count 1.0\n', 'dreamerv2_sessions 1.0\n',
               'dreamerv2_responses_total{status="400"} 1.0\n',
               '# TYPE dreamerv2_responses_total counter\n',
               'dreamerv2_model_rows_total 1.0\n'):
    assert line in text


# Mistakes ---------------------------------------------------------------------

_FAULTS = {
    'no JSON': (b'{', 'is no JSON'),
    'too many values': (b'{"seed": [' + b'[],' * 5000 + b'0]}',
                        'got 10003 values'),
    'text among numbers': (
        {'observation': {**observed(), 'level': ['x' * 9000, *[1] * 100]}},
        'Give numbers without quotes'),
    'a list': ([], 'must be a JSON object; got list'),
    'NaN': (b'{"observation": NaN}', 'NaN is no number'),
    'nested without end': (b'[' * 9000, 'nested 9000 deep; wanted at most'),
    'an unknown key': ({'observatoin': 1}, "unknown keys ['observatoin']"),
    'no observation': ({}, "lacks the key 'observation'"),
    'a key is missing': (
        {'observation': {'speed': 1.0}}, "['level', 'position', 'speed']"
    ),
    'a shape': (
        {'observation': {**observed(), 'position': [1.0, 2.0]}},
        'observation_position must have shape [3]',
    ),
    'is_first is a number': (
        {'observation': observed(), 'is_first': 1}, 'true, false or left out'
    ),
}


@pytest.mark.parametrize('name', _FAULTS)
def test_a_fault_is_named(name, site):
  body, message = _FAULTS[name]
  status, answer = site.ask('POST', f'/v1/sessions/{site.begin()}:act', body)
  assert status == 400 and message in answer['error']


def test_a_body_that_is_too_large_is_refused(site):
  status, answer = site.ask('POST', '/v1/sessions', b' ' * 20_001)
  assert status == 413 and answer['error']


def test_text_is_refused_before_numpy_widens_the_numbers_beside_it(site):
  text = json.dumps({'inputs': {
      'is_first': ['x' * 10_000, *[1] * 1000]}}).encode()
  tracemalloc.start()
  status, answer = site.ask('POST', '/v1/models/toy:predict', text)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert status == 400 and 'text where numbers' in answer['error']
  assert peak < 30 * len(text)


@pytest.mark.parametrize('rows, status', [(64, 200), (65, 400), (0, 400)])
def test_a_request_has_only_so_many_rows(rows, status, policy):
  with contextlib.closing(Site(policy, max_bytes=10**6)) as site:
    inputs = {
        name: np.zeros([rows, *spec['shape']], spec['dtype']).tolist()
        for name, spec in policy.inputs.items()
    }
    assert predict(site, inputs=inputs)[0] == status


def _leaves(value, path=()):
  if isinstance(value, dict | list):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
      yield from _leaves(part, (*path, key))
  else:
    yield path


_STRANGE = ('x', None, {}, {'a': 1}, [], [[[1.0]]], 10**400, -(10**30), 1e308,
            '\ud800', [None], [{}])


def malformed(rng, name, inputs):
  """A request that is wrong in some way: method, path, body."""
  path, body = rng.choice([
      (f'/v1/sessions/{name}:act', {'observation': observed()}),
      ('/v1/models/toy:predict', {'inputs': inputs}),
      ('/v1/models/toy:predict', {'instances': [
          {key: x[0] for key, x in inputs.items()}
      ]}),
      ('/v1/sessions', {'seed': 3}),
  ])
  body = json.loads(json.dumps(body))
  way = rng.randrange(6)
  if way == 0:  # another kind of thing somewhere
    *where, last = rng.choice(list(_leaves(body)))
    place = body
    for key in where:
      place = place[key]
    place[last] = rng.choice(_STRANGE)
  elif way == 1:
    body[rng.choice(['', 'a', 'signature', 'Observation'])] = 1
  elif way == 2:
    return rng.choice(['GET', 'PUT', 'PATCH']), path, b'{}'
  elif way == 3:
    path = rng.choice(['/', '/v1', path[:-1] + '%', path + '/x', '/v2' + path])
  text = json.dumps(body).encode()
  if way == 4:
    text = text[:rng.randrange(1, len(text))]
  elif way == 5:
    at = rng.randrange(len(text))
    text = text[:at] + rng.choice([b'\xff', b'\0', b'}}', b'[']) + text[at:]
  return 'POST', path, text


@pytest.mark.parametrize('count', [
    500, pytest.param(10_000, marks=pytest.mark.slow),
])
def test_malformed_requests_get_4xx_and_the_server_goes_on(
    count, site, folder, policy):
  rng = random.Random(count)
  name = site.begin(seed=1)
  inputs = {
      key: np.zeros([1, *spec['shape']], spec['dtype']).tolist()
      for key, spec in policy.inputs.items()
  }
  for _ in range(count):
    request = malformed(rng, name, inputs)
    status, answer = site.ask(*request)
    assert 400 <= status < 500 and answer['error'], request
  acted = site.ask('POST', f'/v1/sessions/{name}:act',
                   {'observation': observed()})[1]['action']
  assert [acted] == alone(folder, 1, [observed()])


# Who may ask ------------------------------------------------------------------

_TOKEN = '0123456789abcdef'


@pytest.mark.parametrize('host, status', [
    ('localhost', 200), ('LocalHost.:8501', 200), ('127.0.0.1:8501', 200),
    ('[::1]:8501', 200), ('192.168.1.7', 200), ('robot.example.org', 200),
    ('evil.example', 421), ('evil.localhost', 421), ('localhost.evil', 421),
    ('robot.example.org.evil', 421), ('127.0.0.1.evil', 421),
    ('localhost@evil', 400), ('evil, localhost', 400), ('', 400), (':80', 400),
])
def test_a_page_whose_name_is_rebound_to_the_server_is_refused(
    host, status, policy):
  gate = access.Access(['Robot.example.org'])
  with contextlib.closing(Site(policy, access=gate)) as site:
    answer = site.send('GET', '/healthz', HTTP_HOST=host)
  assert answer.status_code == status, answer.json
  if status == 421:
    assert f'--allowed_host={host}' in answer.json['error']


@pytest.mark.parametrize('kind', [
    None, 'text/plain', 'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x', 'text/plain; application/json',
])
@pytest.mark.parametrize('body', [b'', b'{}'])
def test_what_a_web_page_may_send_without_asking_opens_no_session(
    kind, body, site):
  answer = site.send(
      'POST', '/v1/sessions', body, {'Content-Type': kind} if kind else {})
  assert answer.status_code == 415
  assert 'Content-Type: application/json' in answer.json['error']
  assert len(site._app._sessions) == 0


def test_json_may_name_its_charset(site):
  headers = {'Content-Type': 'application/json; charset=utf-8'}
  assert site.send('POST', '/v1/sessions', b'{}', headers).status_code == 201


def test_a_web_page_is_not_told_that_it_may_send_more(site):
  answer = site.send('OPTIONS', '/v1/sessions')
  assert answer.status_code == 405
  assert not [name for name in answer.headers.keys()
              if name.startswith('Access-Control')]


def test_a_compressed_body_is_refused(site):
  headers = {**_JSON, 'Content-Encoding': 'gzip'}
  answer = site.send('POST', '/v1/sessions', b'{}', headers)
  assert answer.status_code == 415 and 'uncompressed' in answer.json['error']


@pytest.mark.parametrize('given, status', [
    (f'Bearer {_TOKEN}', 201), (f'bearer  {_TOKEN}', 201), ('', 401),
    (_TOKEN, 401), (f'Basic {_TOKEN}', 401), (f'Bearer {_TOKEN[:-1]}', 401),
    (f'Bearer {_TOKEN}0', 401), ('Bearer ü', 401),
])
def test_a_token_is_asked_for(given, status, policy):
  gate = access.Access(token=_TOKEN)
  with contextlib.closing(Site(policy, access=gate)) as site:
    headers = {**_JSON, 'Authorization': given}
    answer = site.send('POST', '/v1/sessions', b'{}', headers)
    assert answer.status_code == status
    challenge = answer.headers.get('WWW-Authenticate', '')
    assert challenge.startswith('Bearer') == (status == 401)


@pytest.mark.parametrize('path, status', [
    ('/healthz', 200), ('/metrics', 401), ('/v1/models/toy', 401),
    ('/healthz/', 401), ('//healthz', 401), ('/nothing', 401),
])
def test_health_alone_is_told_without_the_token(path, status, policy):
  gate = access.Access(token=_TOKEN)
  with contextlib.closing(Site(policy, access=gate)) as site:
    assert site.send('GET', path).status_code == status


@pytest.mark.parametrize(
    'token', ['', 'short', 'x' * 15, f'{_TOKEN} ', 'ü' * 20])
def test_a_token_that_can_be_guessed_or_not_sent_is_refused(token):
  with pytest.raises(ValueError, match='16 ASCII characters or more'):
    access.Access(token=token)


@pytest.mark.parametrize('name', ['', 'http://a.b', 'a.b:80', 'a/b'])
def test_a_host_that_is_no_name_is_refused(name):
  with pytest.raises(ValueError, match='without scheme and port'):
    access.Access([name])


# Over the network -------------------------------------------------------------


@pytest.fixture(scope='module')
def port(folder):
  made = server.make(folder, port=0, max_bytes=20_000)
  thread = threading.Thread(target=made.run, daemon=True)
  thread.start()
  yield made.effective_port
  made.stop()
  thread.join()


def play(port, seed, steps, actions):
  """One client: `steps` actions of a session."""
  client = http.client.HTTPConnection('127.0.0.1', port, timeout=60)

  def ask(path, body):
    client.request('POST', path, json.dumps(body), _JSON)
    return json.loads(client.getresponse().read())

  name = ask('/v1/sessions', {'seed': seed})['session']
  actions[seed] = [
      ask(f'/v1/sessions/{name}:act',
          {'observation': observed(1000 * seed + t)})['action']
      for t in range(steps)
  ]
  client.close()


@pytest.mark.parametrize('steps', [
    5, pytest.param(60, marks=pytest.mark.slow),
])
def test_64_clients_at_once_each_get_their_own_actions(port, steps, folder):
  actions = {}
  threads = [
      threading.Thread(target=play, args=(port, seed, steps, actions))
      for seed in range(64)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  lone = client.load_policy(folder)
  for seed in range(64):
    lone._seed = seed
    lone.reset()
    wanted = [lone.act(observed(1000 * seed + t)).tolist()
              for t in range(steps)]
    assert actions[seed] == wanted, seed


@pytest.mark.parametrize('sent, status', [
    (b'nonsense\r\n\r\n', b'400'),
    (b'POST /v1/sessions HTTP/1.1\r\nContent-Length: 999999\r\n\r\n', b'413'),
    (b'POST /v1/sessions HTTP/1.1\r\nContent-Length: -5\r\n\r\n', b'400'),
    (b'GET /healthz HTTP/1.1\r\n\r\n', b'200'),
    (b'GET /v1//sessions HTTP/1.1\r\n\r\n', b'404'),
])
def test_raw_requests_are_answered(port, sent, status):
  with socket.create_connection(('127.0.0.1', port), timeout=30) as connection:
    connection.sendall(sent)
    assert connection.recv(1000).split()[1] == status


def test_the_server_listens_on_this_machine_alone_unless_told(folder):
  made = server.make(folder, port=0)
  assert made.effective_host == '127.0.0.1'
  made.close()


@pytest.mark.parametrize('setting, value', [
    ('port', 70_000), ('max_sessions', 0), ('idle_seconds', 0.0),
    ('max_bytes', -1), ('max_connections', 0), ('token', 'short'),
])
def test_a_setting_out_of_its_range_is_refused(setting, value, folder):
  with pytest.raises(ValueError, match=f'--{setting}'):
    server.make(folder, **{setting: value})


# Too many at once -------------------------------------------------------------


def test_a_server_that_is_full_tells_its_health_and_refuses_the_rest(site):
  full = {connections.FULL: True}
  answer = site.send('POST', '/v1/sessions', b'{}', **full)
  assert answer.status_code == 429 and answer.headers['Retry-After'] == '1'
  assert site.send('GET', '/healthz', **full).status_code == 200
  assert 'dreamerv2_responses_total{status="429"} 1.0' in site.send(
      'GET', '/metrics', **full).text


def test_a_session_whose_step_found_no_room_may_take_it_later(
    site, folder, monkeypatch):
  name = site.begin(seed=2)
  act = lambda: site.ask('POST', f'/v1/sessions/{name}:act',
                         {'observation': observed()})
  with monkeypatch.context() as patch:
    patch.setattr(batching, '_WAITING', 0)
    status, answer = act()
  assert status == 429 and 'Send this one again later' in answer['error']
  assert [act()[1]['action']] == alone(folder, 2, [observed()])


# Batching ---------------------------------------------------------------------


class Slow:
  """A policy that notes its calls and waits in the first one."""

  def __init__(self):
    self.elements = []
    self.entered, self.gate = threading.Event(), threading.Event()

  def step(self, inputs):
    self.elements.append(len(inputs['x']))
    self.entered.set()
    self.gate.wait(30)
    if (inputs['x'] < 0).any():
      raise RuntimeError('negative')
    return {'y': 2 * inputs['x']}


def test_rows_that_wait_together_go_in_one_call():
  slow = Slow()
  batcher = batching.Batcher(slow)
  results = {}

  def ask(k, rows):
    try:
      results[k] = batcher.step({'x': np.full(rows, k)})['y'].tolist()
    except RuntimeError as error:
      results[k] = str(error)

  threads = [threading.Thread(target=ask, args=(0, 1))]
  threads[0].start()
  slow.entered.wait(30)
  for k, rows in ((1, 2), (2, 60), (3, 2), (-4, 1)):
    threads.append(threading.Thread(target=ask, args=(k, rows)))
    threads[-1].start()
    while batcher._waiting.qsize() < len(threads) - 1:
      pass
  slow.gate.set()
  for thread in threads:
    thread.join()
  batcher.close()
  assert slow.elements == [1, 64, 1]
  assert results == {0: [0], 1: [2, 2], 2: [4] * 60, 3: [6, 6], -4: 'negative'}
  assert (batcher.calls, batcher.elements) == (2, 65)


def test_only_so_many_rows_may_wait(monkeypatch):
  monkeypatch.setattr(batching, '_WAITING', 70)
  slow = Slow()
  batcher = batching.Batcher(slow)
  threads = [
      threading.Thread(target=batcher.step, args=[{'x': np.zeros(rows)}])
      for rows in (64, 6)]
  for thread in threads:
    thread.start()
    slow.entered.wait(30)
  while batcher._asked < 70:
    pass
  with pytest.raises(queue.Full):
    batcher.step({'x': np.zeros(1)})
  slow.gate.set()
  for thread in threads:
    thread.join()
  assert batcher.step({'x': np.ones(1)})['y'].tolist() == [2]
  batcher.close()
