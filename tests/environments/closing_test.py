"""Tests of programs on an environment of a user's own: ends, errors, closes.

Each environment that was made is closed exactly once, however the program ends.
"""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

_HERE = pathlib.Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_SMALL = ('--gin_file=gin/gym.gin', '--gin_file=gin/debug.gin')
_TASK = '--task=written:Diary'


class Field:
  """A folder in which programs run, and the diary of their environments."""

  def __init__(self, folder):
    self.folder = folder

  def start(self, program, *flags, **environ):
    self.diary = self.folder / 'diary'
    self.diary.unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, '-m', f'dreamerv2_tfa.commands.{program}', *flags],
        cwd=_HERE, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': str(_ROOT), 'DIARY': str(self.diary),
             **environ})

  def run(self, program, *flags, **environ):
    process = self.start(program, *flags, **environ)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error

  def train(self, *bindings, **environ):
    return self.run('train', *self.flags(*bindings), **environ)

  def flags(self, *bindings):
    return (*_SMALL, _TASK, f'--root_dir={self.folder / "run"}', *(
        f'--gin_bindings={binding}' for binding in bindings))

  def check_closed(self, at_least):
    """Every environment was closed once, soon."""
    deadline = time.monotonic() + 20
    while True:  # workers of a killed trainer close a moment later
      lines = self.diary.read_text(encoding='utf-8').split()
      count = collections.Counter(zip(lines[::2], lines[1::2], strict=True))
      made = {name for what, name in count if what == 'made'}
      closed = {name: count['closed', name] for name in made}
      if set(closed.values()) == {1} or time.monotonic() > deadline:
        break
      time.sleep(0.1)
    assert closed == dict.fromkeys(made, 1)
    assert len(made) >= at_least


@pytest.fixture
def field(tmp_path):
  return Field(tmp_path)


@pytest.mark.parametrize('environments, made', [(1, 2), (2, 3)])
def test_a_run_to_its_end_closes_every_environment(field, environments, made):
  code, _, error = field.train(f'train.environments = {environments}')
  assert code == 0, error
  field.check_closed(made)


def test_so_does_a_run_that_is_refused_after_they_were_made(field):
  code, _, error = field.train('train.replay_capacity = 3')
  assert code == 1 and error.startswith('Error: ')
  field.check_closed(2)


@pytest.mark.parametrize('environments, called', [
    (1, 'The environment'), (2, r'Environment')])
def test_one_failure_is_reported_and_the_run_goes_on(
    field, environments, called):
  code, out, error = field.train(
      f'train.environments = {environments}', RAISES='step', CALL='50')
  assert code == 0 and 'Done' in out
  assert called in error and 'at step 5 of episode 10' in error
  assert 'in step\n' in error and 'ValueError: a fault in step' in error
  field.check_closed(3)


@pytest.mark.parametrize('method, environments', [
    ('__init__', 1), ('__init__', 2), ('reset', 1), ('step', 2)])
def test_a_value_error_of_theirs_keeps_its_traceback(
    field, method, environments):
  code, _, error = field.train(
      f'train.environments = {environments}', RAISES=method)
  assert code == 1
  *trace, last = error.strip().splitlines()
  assert last.startswith('Error: ') and f'a fault in {method}' in last
  if method != '__init__':
    assert f'{method}(' in last
  assert any('written.py' in line for line in trace)
  if method == '__init__':
    assert not field.diary.exists()
  else:
    field.check_closed(2)


@pytest.mark.parametrize('phase, seconds, how, environments', [
    ('Prefill', '0.2', signal.SIGTERM, 1), ('Prefill', '0.2', signal.SIGINT, 2),
    # Later it is in an endless evaluation.
    ('80 frames', '0', signal.SIGINT, 1),
    ('80 frames', '0', signal.SIGTERM, 2)])
def test_a_signal_is_answered_where_no_episode_ends(
    field, phase, seconds, how, environments):
  process = field.start(
      'train', *field.flags(f'train.environments = {environments}'),
      LENGTH='1000000000', SECONDS=seconds)
  for line in process.stdout:
    if phase in line:
      break
  time.sleep(2)
  process.send_signal(how)
  out, error = process.communicate(timeout=60)
  assert process.returncode == 128 + how, error
  assert 'Stopped and saved' in out
  field.check_closed(1 + environments)


def test_a_trainer_that_is_killed_leaves_closed_environments_in_processes(
    field):
  process = field.start(
      'train',
      *field.flags('train.environments = 2', 'train.eval_episodes = 0'),
      SECONDS='0.1')
  for line in process.stdout:
    if 'Prefill' in line:
      break
  time.sleep(1)
  process.kill()
  process.communicate()
  lines = field.diary.read_text(encoding='utf-8').splitlines()
  workers = {x.split()[1] for x in lines} - {
      x.split()[1] for x in lines if f'{process.pid}/' in x}
  deadline = time.monotonic() + 20
  while time.monotonic() < deadline:
    text = field.diary.read_text(encoding='utf-8')
    if all(text.count(f'closed {name}\n') == 1 for name in workers):
      break
    time.sleep(0.1)
  assert len(workers) == 2
  assert [text.count(f'closed {name}\n') for name in workers] == [1, 1]


def test_an_endless_episode_is_cut_and_the_run_ends(field):
  code, out, error = field.train('train.eval_steps = 33', LENGTH='1000000000')
  assert code == 0, error
  assert 'cut after 33 steps' in out
  lines = (field.folder / 'run' / 'metrics.jsonl').read_text().splitlines()
  last = json.loads(lines[-1])
  assert (last['eval_return'], last['eval_length'], last['eval_cut']) == (
      33, 33, 1)
  field.check_closed(2)


def test_the_check_of_a_task_closes_what_it_made(field):
  assert field.run('check_env', 'written:Diary')[0] == 0
  field.check_closed(3)
  code, out, _ = field.run(
      'check_env', 'written:Diary', RAISES='step', CALL='7')
  assert code == 1
  assert 'step(' in out
  assert 'at step 2 of episode 2: ValueError: a fault in step' in out
  assert 'written.py' in out
  field.check_closed(1)


def test_an_export_closes_what_it_made_and_keeps_their_traceback(field):
  assert field.train()[0] == 0
  flags = (
      '--task=written:Diary', f'--root_dir={field.folder / "run"}',
      f'--out={field.folder / "out"}')
  code, _, error = field.run('export', *flags, RAISES='step', CALL='7')
  assert code == 1 and 'written.py' in error
  assert error.strip().splitlines()[-1].startswith(
      'Error: The environment failed: step(')
  assert 'at step 7: ValueError: a fault in step' in error
  field.check_closed(1)
  assert field.run('export', *flags)[0] == 0
  field.check_closed(1)


def test_sigterm_during_an_export_closes_too(field):
  assert field.train()[0] == 0
  process = field.start(
      'export', '--task=written:Diary',
      f'--root_dir={field.folder / "run"}', f'--out={field.folder / "out"}',
      SECONDS='0.05')
  while not field.diary.exists() or 'made' not in field.diary.read_text():
    assert process.poll() is None, process.communicate()
    time.sleep(0.1)
  time.sleep(3)
  process.terminate()
  process.communicate(timeout=60)
  assert process.returncode == 143
  field.check_closed(1)
