"""The client of `bin/bench peers` against a worker of a few lines."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.speed import peers
from benchmarks.speed import protocol

_ROOT = pathlib.Path(__file__).resolve().parents[2]

# It imports the real protocol, says its own lines, and starts a child.
_WORKER = f"""
import os, subprocess, sys
sys.path.append({str(_ROOT)!r})
from benchmarks.speed import protocol

answers = protocol.claim_stdout()
print('a library prints')
settings = protocol.settings()
print('noise ' * 1000 + 'the last words', file=sys.stderr, flush=True)
if settings.get('die'):
  os._exit(3)
if settings.get('fail'):
  raise ValueError('batch of 0')
child = subprocess.Popen(['sleep', '60'])

def double(number):
  return {{'number': 2 * number}}

def die():
  os._exit(7)

def babble():
  print('not JSON', file=answers, flush=True)
  return {{}}

protocol.say(answers, {{
    'ready': True, 'child': child.pid,
    'onednn': os.environ.get('TF_ENABLE_ONEDNN_OPTS'), **settings}})
protocol.serve(answers, double=double, die=die, babble=babble)
"""


@pytest.fixture(name='command')
def _command(tmp_path):
  path = tmp_path / 'fake.py'
  path.write_text(_WORKER)
  return sys.executable, str(path)


@pytest.fixture(name='worker')
def _worker(command):
  worker = peers.start(command, {'batch': 3})
  yield worker
  peers.stop(worker)


def _alive(pid):
  """Whether a process runs; a zombie that nobody waited for does not."""
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except FileNotFoundError:
    return False
  return state.split()[0] != 'Z'


def _gone(pid):
  """Whether it ends within ten seconds."""
  for _ in range(200):
    if not _alive(pid):
      return True
    time.sleep(0.05)
  return False


def test_start_hands_over_the_settings_and_returns_the_first_answer(worker):
  assert worker.ready['ready'] is True
  assert worker.ready['batch'] == 3


def test_ask_sends_the_command_and_returns_its_answer(worker):
  assert peers.ask(worker, {'do': 'double', 'number': 4}) == {'number': 8}
  assert peers.ask(worker, {'do': 'double', 'number': 5}) == {'number': 10}


def test_two_workers_answer_each_for_itself(worker, command):
  other = peers.start(command, {'batch': 5})
  assert (worker.ready['batch'], other.ready['batch']) == (3, 5)
  peers.stop(other)
  assert peers.ask(worker, {'do': 'double', 'number': 1}) == {'number': 2}


def test_stop_leaves_no_process_behind(worker):
  peers.stop(worker)
  assert worker.process.returncode == 0
  assert _gone(worker.process.pid)
  assert _gone(worker.ready['child'])


def test_stopping_twice_does_nothing_more(worker):
  peers.stop(worker)
  peers.stop(worker)


def test_a_worker_ends_when_its_client_is_killed(command):
  script = (
      f'import sys, time; sys.path.append({str(_ROOT)!r})\n'
      'from benchmarks.speed import peers\n'
      f'worker = peers.start({command!r}, {{}})\n'
      'print(worker.process.pid, flush=True)\n'
      'time.sleep(60)')
  client = subprocess.Popen(
      [sys.executable, '-c', script], stdout=subprocess.PIPE, text=True)
  pid = int(client.stdout.readline())
  client.kill()
  client.communicate()
  assert _gone(pid)


def test_an_error_answer_raises_and_quotes_the_end_of_stderr(command):
  with pytest.raises(RuntimeError) as caught:
    peers.start(command, {'fail': True})
  message = str(caught.value)
  assert 'worker of fake failed: ValueError: batch of 0' in message
  assert 'the last words' in message
  assert len(message) < 2500


def test_a_worker_that_dies_at_the_start_raises_with_its_exit_code(command):
  with pytest.raises(RuntimeError, match='ended with exit code 3.*stderr'):
    peers.start(command, {'die': True})


def test_a_worker_that_dies_while_asked_raises_and_is_stopped(worker):
  with pytest.raises(RuntimeError, match='exit code 7(.|\n)*the last words'):
    peers.ask(worker, {'do': 'die'})
  assert _gone(worker.ready['child'])


def test_an_unknown_command_is_an_error_that_names_those_there_are(worker):
  with pytest.raises(RuntimeError, match='babble, die, double and quit'):
    peers.ask(worker, {'do': 'halve'})


def test_an_answer_that_is_no_json_raises(worker):
  with pytest.raises(RuntimeError, match='no JSON'):
    peers.ask(worker, {'do': 'babble'})


def test_what_a_library_prints_goes_to_stderr(worker):
  worker.stderr.seek(0)
  assert 'a library prints' in worker.stderr.read()


def test_a_package_without_a_worker_is_refused():
  with pytest.raises(ValueError, match='published, sheeprl'):
    peers.start('rainbow', {})


def test_every_package_has_its_launcher_and_its_worker():
  for *_, launcher, worker_file in peers.PACKAGES.values():
    assert os.access(launcher, os.X_OK)
    assert os.path.exists(worker_file)


@pytest.mark.parametrize('package, wanted', [
    ('published', None), ('published_onednn', '1'),
])
def test_a_peer_has_onednn_as_tensorflow_has_it_or_where_it_is_named(
    command, package, wanted, monkeypatch):
  monkeypatch.setenv('TF_ENABLE_ONEDNN_OPTS', '1')
  *before, _, _ = peers.PACKAGES[package]
  worker = peers.start((*before, *command), {})
  peers.stop(worker)
  assert worker.ready['onednn'] == wanted


def test_a_worker_does_not_inherit_the_paths_of_this_python(
    command, monkeypatch, tmp_path):
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir()
  (elsewhere / 'json.py').write_text('raise RuntimeError("shadowed")')
  monkeypatch.setenv('PYTHONPATH', str(elsewhere))
  peers.stop(peers.start(command, {}))


def test_the_batch_is_the_same_each_time_and_has_the_shapes_asked_for():
  settings = {
      'batch': 2, 'length': 5, 'action': {'box': [3]},
      'observation': {'image': {'shape': [4, 4, 1], 'dtype': 'uint8'},
                      'speed': {'shape': [6], 'dtype': 'float32'}},
      'gin': {'WorldModel.reward_transform': 'tanh'},
  }
  one, two = protocol.batch(settings), protocol.batch(settings)
  assert {key: (value.shape, str(value.dtype))
          for key, value in one.items()} == {
      'image': ((2, 5, 4, 4, 1), 'uint8'), 'speed': ((2, 5, 6), 'float32'),
      'action': ((2, 5, 3), 'float32'), 'reward': ((2, 5), 'float32'),
      'is_first': ((2, 5), 'bool'), 'is_terminal': ((2, 5), 'bool')}
  assert all((one[key] == two[key]).all() for key in one)
  assert abs(one['reward']).max() < 1
  assert one['is_first'][:, 0].all()


def test_peak_memory_is_this_process_own():
  assert 1 < protocol.peak_rss_mb() < 1e5
