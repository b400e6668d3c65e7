"""Tests of the server's connections, with an application without a policy."""

import contextlib
import resource
import socket
import threading
import time

import pytest

from dreamerv2_tfa.deployment import connections


class Site:
  """A server in a thread; its application waits where it is asked to."""

  def __init__(self, **settings):
    self.gate, self.entered = threading.Event(), threading.Event()
    self.counted = []
    bound = socket.create_server(('127.0.0.1', 0))
    self.server = connections.Server(self._app, bound, **{
        'threads': 2, 'max_bytes': 100_000, 'max_connections': 50,
        'count': self.counted.append, **settings})
    self._thread = threading.Thread(target=self.server.run)
    self._thread.start()

  def _app(self, environ, start_response):
    size = len(environ['wsgi.input'].read())
    if environ['PATH_INFO'] == '/wait':
      self.entered.set()
      self.gate.wait(30)
    body = b'x' * 20_000_000 if environ['PATH_INFO'] == '/large' else (
        f'{size} full={environ[connections.FULL]}'.encode())
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]

  def connect(self):
    return socket.create_connection(
        ('127.0.0.1', self.server.effective_port), timeout=30)

  def held(self):
    """Bytes that all connections hold."""
    return sum(each.buffered() for each in list(
        self.server.active_channels.values()))

  def end(self):
    """Whether the server has ended after `stop`."""
    self._thread.join(30)
    return not self._thread.is_alive()

  def close(self):
    self.gate.set()
    self.server.stop()
    assert self.end()


@pytest.fixture
def make():
  with contextlib.ExitStack() as stack:
    yield lambda **settings: stack.enter_context(
        contextlib.closing(Site(**settings)))


def ask(connection, path='/', body=b''):
  connection.sendall(
      f'POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n'.encode()
      + body)
  return said(connection)


def said(connection):
  """Status and body of an answer; None where the connection was closed."""
  answer = b''
  with contextlib.suppress(ConnectionError):
    while b'\r\n\r\n' not in answer:
      part = connection.recv(1)
      if not part:
        return None
      answer += part
    head, _, _ = answer.partition(b'\r\n\r\n')
    size = int(head.lower().partition(b'content-length: ')[2].split()[0])
    body = b''
    while len(body) < size:
      body += connection.recv(size - len(body))
    return int(head.split()[1]), body.decode()
  return None


# How many ---------------------------------------------------------------------


def test_at_the_limit_the_connection_that_is_idle_the_longest_makes_room(make):
  site = make(max_connections=3)
  first, second, third = (site.connect() for _ in range(3))
  for each in (third, first, second):
    assert ask(each)[0] == 200
  fourth = site.connect()
  assert ask(fourth)[0] == 200
  assert said(third) is None
  assert [ask(each)[0] for each in (first, second)] == [200, 200]


def test_a_connection_whose_request_is_under_way_makes_no_room(make):
  site = make(max_connections=1)
  busy = site.connect()
  busy.sendall(b'POST /wait HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
  assert site.entered.wait(30)
  assert said(site.connect()) is None
  site.gate.set()
  assert said(busy)[0] == 200


def test_more_connections_than_select_can_watch_are_held(make):
  connections.limit(2500)  # raises this process' limit: it has both ends
  site = make(max_connections=1200)
  held = [site.connect() for _ in range(1100)]
  assert ask(site.connect())[0] == 200
  assert ask(held[0])[0] == 200
  for each in held:
    each.close()


@pytest.mark.parametrize('wanted, limits, allowed, soft', [
    (None, (1024, 4096), 1000, 1256), (None, (512, 1024), 768, 1024),
    (500, (256, 1024), 500, 756), (500, (4096, 4096), 500, None),
    (None, (1024, resource.RLIM_INFINITY), 1000, 1256),
])
def test_descriptors_suffice_for_the_connections(
    wanted, limits, allowed, soft, monkeypatch):
  raised = []
  monkeypatch.setattr(resource, 'getrlimit', lambda _: limits)
  monkeypatch.setattr(
      resource, 'setrlimit', lambda _, limits: raised.append(limits))
  assert connections.limit(wanted) == allowed
  assert raised == ([] if soft is None else [(soft, limits[1])])


def test_more_connections_than_descriptors_are_refused(monkeypatch):
  monkeypatch.setattr(resource, 'getrlimit', lambda _: (1024, 1024))
  with pytest.raises(ValueError, match='--max_connections=768 or less'):
    connections.limit(1000)


# How long ---------------------------------------------------------------------


@pytest.mark.parametrize('limit, sent', [
    ('_HEADER_SECONDS', b'POST / HTT'),
    ('_REQUEST_SECONDS', b'POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab'),
])
def test_a_request_that_does_not_arrive_is_told_so(
    limit, sent, make, monkeypatch):
  monkeypatch.setattr(connections, limit, 0.1)
  site = make()
  slow = site.connect()
  slow.sendall(sent)
  status, body = said(slow)
  assert status == 408 and 'has not arrived' in body
  assert said(slow) is None
  assert site.counted == [408]


def test_a_byte_now_and_then_does_not_prolong_a_request(make, monkeypatch):
  monkeypatch.setattr(connections, '_HEADER_SECONDS', 0.5)
  slow = make().connect()
  slow.settimeout(0.1)
  answer = b''
  for _ in range(100):
    with contextlib.suppress(ConnectionError):
      slow.send(b'x')
    try:
      answer = slow.recv(12)
      break
    except TimeoutError:
      pass
  assert answer == b'HTTP/1.0 408'


def test_an_idle_connection_is_closed(make, monkeypatch):
  monkeypatch.setattr(connections, '_IDLE_SECONDS', 0.1)
  idle = make().connect()
  assert said(idle) is None


def test_a_client_that_does_not_take_its_response_is_left(make, monkeypatch):
  monkeypatch.setattr(connections, '_REQUEST_SECONDS', 0.1)
  site = make(max_bytes=10**8)
  lazy = site.connect()
  lazy.sendall(b'GET /large HTTP/1.1\r\n\r\n')
  until(lambda: site.server.active_channels)
  until(lambda: not site.server.active_channels)


def until(happens):
  for _ in range(1000):
    if happens():
      return
    time.sleep(0.01)
  raise AssertionError('It has not happened.')


# How much ---------------------------------------------------------------------


def test_all_connections_together_hold_only_so_much(make, monkeypatch):
  monkeypatch.setattr(connections, '_SMALL', 1000)
  site = make()
  head = b'POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n'
  large = [site.connect() for _ in range(6)]
  sizes, held = (70_000, 80_000, 90_000) * 2, 0
  for each, size in zip(large, sizes, strict=True):
    each.sendall(head + b' ' * size)
    held += size if held < 390_000 else 0  # the last one takes too much
    until(lambda held=held: site.held() == held)
  assert ask(site.connect(), body=b' ' * 900)[0] == 200
  until(lambda: site.counted)
  until(lambda: site.held() == 390_000)
  assert site.counted == [429]


def test_a_client_that_does_not_take_large_responses_is_left(make):
  site = make()
  lazy = site.connect()
  lazy.sendall(b'GET /large HTTP/1.1\r\n\r\n')
  until(lambda: site.server.active_channels)
  until(lambda: not site.server.active_channels)


@pytest.mark.parametrize('head, status', [
    ('Transfer-Encoding: chunked', 411), ('Transfer-Encoding: gzip', 400),
    ('Content-Length: 100000', 413), ('Content-Length: -1', 400),
    ('X: ' + 'x' * 2**14, 431),
])
def test_what_cannot_be_bounded_is_refused(head, status, make):
  site = make()
  connection = site.connect()
  connection.sendall(f'POST / HTTP/1.1\r\n{head}\r\n\r\n'.encode())
  assert said(connection)[0] == status
  assert site.counted == [status]


def test_a_body_is_asked_for_where_the_client_expects_it(make):
  connection = make().connect()
  connection.sendall(b'POST / HTTP/1.1\r\nContent-Length: 3\r\n'
                     b'Expect: 100-continue\r\n\r\n')
  assert connection.recv(100) == b'HTTP/1.1 100 Continue\r\n\r\n'
  connection.sendall(b'abc')
  assert said(connection) == (200, '3 full=False')


def test_the_application_is_told_that_too_many_requests_wait(make):
  site = make(threads=1)
  waiting = [site.connect() for _ in range(5)]  # one under way, four wait
  for each in waiting:
    each.sendall(b'POST /wait HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
    assert site.entered.wait(30)
  until(lambda: len(site.server.task_dispatcher.queue) == 4)
  assert ask(site.connect()) == (200, '0 full=True')
  site.gate.set()
  assert [said(each) for each in waiting] == [(200, '0 full=False')] * 5


# The end ----------------------------------------------------------------------


def test_a_server_that_stops_answers_what_is_under_way(make):
  site = make()
  idle, busy = site.connect(), site.connect()
  busy.sendall(b'POST /wait HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
  assert site.entered.wait(30)
  site.server.stop()
  assert said(idle) is None
  with pytest.raises(ConnectionRefusedError):
    site.connect()
  site.gate.set()
  assert said(busy) == (200, '0 full=False')
  assert said(busy) is None
  assert site.end()


def test_a_server_that_stops_does_not_wait_for_ever(make, monkeypatch):
  monkeypatch.setattr(connections, '_STOP_SECONDS', 0.1)
  site = make()
  late = site.connect()
  late.sendall(b'POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n')
  until(lambda: site.server.active_channels)
  site.server.stop()
  assert site.end()


def test_a_signal_while_the_server_ends_is_no_error(make):
  served = make()
  served.server.stop()
  assert served.end()
  served.server._map = {0: None}  # as while its files are being closed
  served.server.stop()
  served.server._map = {}
