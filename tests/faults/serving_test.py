"""`bin/serve` under a flood: it lives, stays as large, and serves the good.

A server that may have 1,024 descriptors gets malformed requests, idle
connections, slow ones and good clients at once. By default a tenth of the
flood; with FAULTS=all in the environment, 10,000 malformed requests, 2,000 idle
connections, 20 slow ones and 64 clients, whose times are then compared with
those without the flood. The figures are printed (`pytest -s`).
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import exported
import pytest
import small

from dreamerv2_tfa.deployment import client

pytestmark = pytest.mark.slow

_HERE = pathlib.Path(__file__).resolve().parent
_ALL = os.environ.get('FAULTS') == 'all'
_MALFORMED, _IDLE, _SLOW = (10_000, 2000, 20) if _ALL else (1000, 1100, 20)
_STEPS = 200 if _ALL else 20  # of each client
_CLIENTS = 64
_SENDERS = 4  # of malformed requests, at once
_MEGABYTE = 2**20


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('export')
  exported.write(path, action=small.BOX)
  return path


class Served:
  """A server process that may have 1,024 descriptors."""

  def __init__(self, folder, *arguments):
    self.process = subprocess.Popen(
        ['sh', '-c', 'ulimit -n 1024; exec "$0" "$@"', sys.executable, '-m',
         'dreamerv2_tfa.commands.serve', f'--policy={folder}', '--port=0',
         *arguments],
        cwd=_HERE.parents[1], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    said = self.process.stdout.readline()
    self.port = int(said.partition('127.0.0.1:')[2].partition('/')[0])
    self._proc = pathlib.Path('/proc') / str(self.process.pid)

  def megabytes(self):
    pages = int((self._proc / 'statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / _MEGABYTE

  def descriptors(self):
    return len(list((self._proc / 'fd').iterdir()))

  def settle(self, descriptors):
    """Waits until the connections of the flood are closed."""
    for _ in range(600):
      if self.descriptors() <= descriptors:
        return
      time.sleep(0.1)


@pytest.fixture
def served(folder):
  made = Served(folder)
  yield made
  made.process.kill()
  made.process.wait()


def post(path, body, *headers, length=None):
  """A request as bytes."""
  lines = [f'POST {path} HTTP/1.1', 'Host: localhost',
           f'Content-Length: {len(body) if length is None else length}',
           *headers]
  return '\r\n'.join([*lines, '', '']).encode() + body


_TYPE = 'Content-Type: application/json'
_PREDICT = '/v1/models/policy:predict'


def malformed(number):
  """A request that is wrong in some way: bytes, the same for each number."""
  rng = random.Random(number)
  noise = rng.randbytes(rng.randrange(1, 2000))
  many = rng.randrange(1, 30_000)
  bodies = [
      noise, b'{"seed": ' + noise, b'[' * many, b'{"inputs":' * (many // 9),
      b'{"inputs": [' + b'[],' * many + b'0]}',
      b'{"inputs": {"is_first": ["%s"%s]}}' % (b'x' * many, b',1' * many),
      b'{"seed": 1' + b'0' * many + b'}', b'{"seed": 1.5}', b'"\\ud800"',
      b'{' + b','.join(b'"%d":0' % k for k in range(many // 9)) + b'}',
  ]
  path = rng.choice(['/v1/sessions', _PREDICT, '/v1/sessions/0:act'])
  body = rng.choice(bodies)
  return rng.choice([
      post(path, body, _TYPE),
      post(path, body, _TYPE),
      post(path, body, _TYPE),
      post(path, b'{}', 'Content-Type: text/plain'),
      post(path, b'{}'),
      post(path, b'{}', _TYPE, 'Content-Encoding: gzip'),
      post(path, b'{}', _TYPE, 'Transfer-Encoding: chunked'),
      post(path, b'{}', _TYPE, 'Transfer-Encoding: gzip'),
      post(path, b'{}', _TYPE, length=rng.choice([-1, 'x', 10**12, 10**400])),
      post(path, b'{}', _TYPE).replace(b'localhost', b'evil.example'),
      post(path, b'{}', _TYPE, 'X: ' + 'x' * rng.randrange(2**14, 2**17)),
      noise.replace(b'\r', b'') + b'\r\n\r\n',
      b'GET /%s HTTP/1.1\r\n\r\n' % noise.hex().encode()[:100],
      b'DELETE /v1/sessions/%d HTTP/1.1\r\n\r\n' % many,
  ])


def status(port, request):
  """The status of the answer to a request; None: closed without one.

  A server that refuses a request by its header closes while the rest arrives,
  so that its answer may be lost.
  """
  with contextlib.suppress(ConnectionError), socket.create_connection(
      ('127.0.0.1', port), timeout=120) as connection:
    with contextlib.suppress(ConnectionError):
      connection.sendall(request)
    return int(connection.recv(64).split()[1])
  return None


class Flood:
  """Idle and slow connections, and malformed requests, until it is closed."""

  def __init__(self, port):
    self._port = port
    self._over = threading.Event()
    self.statuses = []
    self._idle = []
    for _ in range(_IDLE):
      self._idle.append(self._connect())
    self._numbers = iter(range(_MALFORMED))
    self.senders = [
        threading.Thread(target=self._send) for _ in range(_SENDERS)]
    self._slow = [threading.Thread(target=self._trickle) for _ in range(_SLOW)]
    for thread in self.senders + self._slow:
      thread.start()

  def _connect(self):
    return socket.create_connection(('127.0.0.1', self._port), timeout=120)

  def _send(self):
    for number in self._numbers:
      self.statuses.append(status(self._port, malformed(number)))

  def _trickle(self):
    """A byte now and then, and again when the server has closed."""
    while not self._over.is_set():
      with contextlib.suppress(OSError), self._connect() as connection:
        for byte in post('/v1/sessions', b' ' * 1000, _TYPE):
          connection.send(bytes([byte]))
          if self._over.wait(0.2):
            return

  def close(self):
    for thread in self.senders:
      thread.join()
    self._over.set()
    for thread in self._slow:
      thread.join()
    for connection in self._idle:
      connection.close()


def play(port):
  """What the good clients got."""
  done = subprocess.run(
      [sys.executable, _HERE / 'serving_clients.py', str(port), str(_CLIENTS),
       str(_STEPS)], capture_output=True, text=True, check=True)
  assert not done.stderr
  return json.loads(done.stdout)


def quantile(played, percent):
  return statistics.quantiles(played['seconds'], n=100)[percent - 1]


def figures(served):
  return served.megabytes(), served.descriptors()


def test_a_flood_leaves_the_server_as_it_was_and_good_clients_served(
    served, folder, monkeypatch):
  play(served.port)
  usual = play(served.port)
  Flood(served.port).close()
  descriptors = served.descriptors()
  served.settle(120)
  before = figures(served)
  flood = Flood(served.port)
  flooded = play(served.port)
  during = figures(served)
  flood.close()
  served.settle(before[1])
  after = figures(served)
  counts = {each: flood.statuses.count(each) for each in set(flood.statuses)}
  ratios = {
      percent: quantile(flooded, percent) / quantile(usual, percent)
      for percent in (50, 90, 99)}
  print(f'\nstatuses {counts}\nMB and descriptors: before {before}, '
        f'during {during}, after {after} ({descriptors})\nseconds, flooded by '
        f'usual: {ratios}; usual median {quantile(usual, 50)}')
  assert len(flood.statuses) == _MALFORMED
  assert all(each is None or 400 <= each < 500 for each in counts), counts
  assert counts.get(None, 0) < _MALFORMED / 10
  for seed in (0, 40, _CLIENTS - 1):
    alone = client.load_policy(folder, seed)
    monkeypatch.syspath_prepend(_HERE)
    import serving_clients
    assert flooded['actions'][str(seed)] == [
        alone.act(serving_clients.observed(1000 * seed + step)).tolist()
        for step in range(_STEPS)]
  assert during[1] <= 1024 and after[1] <= before[1]
  assert after[0] < before[0] + 32
  served.process.terminate()
  _, errors = served.process.communicate(timeout=60)
  assert (served.process.returncode, errors) == (128 + signal.SIGTERM, '')
  if _ALL:
    assert max(ratios.values()) < 2


@contextlib.contextmanager
def under_way(served, number):
  """A request whose last byte the server awaits while it stops."""
  head = post('/v1/sessions', b'', _TYPE, 'Expect: 100-continue', length=2)
  with socket.create_connection(('127.0.0.1', served.port)) as connection:
    connection.sendall(head)
    assert connection.recv(100).split()[1] == b'100'
    served.process.send_signal(number)
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
      while True:
        socket.create_connection(('127.0.0.1', served.port)).close()
        time.sleep(0.01)  # a flood would make room of the one under way
    yield connection


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_after_what_is_under_way(number, served):
  with under_way(served, number) as connection:
    connection.sendall(b'{}')
    assert connection.recv(100).split()[1] == b'201'
    _, errors = served.process.communicate(timeout=60)
  assert (served.process.returncode, errors) == (128 + number, '')


def test_a_second_signal_ends_the_server_at_once(served):
  with under_way(served, signal.SIGINT):
    served.process.send_signal(signal.SIGTERM)
    _, errors = served.process.communicate(timeout=5)
  assert (served.process.returncode, errors) == (128 + signal.SIGTERM, '')
