"""Tests of runs several at once: what begins, ends, fails and is stopped.

A program of a few lines takes the place of `bin/train`.
"""

import json
import os
import signal
import subprocess
import sys
import time

import disturbed
import psutil
import pytest

from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product

# Notes its beginning and its end in a file, and does what its steps say:
# 1: ends; 2: fails; 3: waits for a signal and saves; 4: does not hear it.
_STUB = """
import os, pathlib, signal, sys, time

def main():
  given = dict(word[2:].split('=', 1) for word in sys.argv[1:])
  root = pathlib.Path(given['root_dir'])
  name, steps = root.name, given['steps']
  def note(what):
    with open(root.parent.parent / 'noted', 'a') as file:
      file.write(f'{name} {what} {os.getpid()}\\n')
  def save(number, frame):
    note('saved')
    sys.exit(128 + number)
  if steps != '1':
    signal.signal(signal.SIGTERM, save if steps == '3' else signal.SIG_IGN)
  note('begun')
  print('Hello from', name, flush=True)
  time.sleep({'1': 0.3, '2': 0.0}.get(steps, 600))
  note('ended')
  if steps == '2':
    sys.exit('Error: it is broken.')

if __name__ == '__main__':
  main()
"""
_PROGRAM = """
import sys
from dreamerv2_tfa import children
from dreamerv2_tfa.sweeps import sweep
sweep.PROGRAM, children.PATIENCE = 'stubs.stub', 1.0
from dreamerv2_tfa.commands import sweep as command
try:
  command.main()
finally:
  assert 'tensorflow' not in sys.modules
"""


@pytest.fixture
def start(tmp_path):
  """A function that writes a list of runs of these steps and starts it."""
  (tmp_path / 'stubs').mkdir()
  (tmp_path / 'stubs' / 'stub.py').write_text(_STUB)
  folder = entries.Folder(tmp_path / 'sweep')
  folder.root.mkdir()
  processes = []

  def run(steps, *flags):
    made = product.make(['catch'], range(len(steps)), {}, [])
    entries.write(folder, [
        entry._replace(command=[*entry.command, f'--steps={each}'])
        for entry, each in zip(made, steps, strict=True)])
    processes.append(subprocess.Popen(
        [sys.executable, '-c', _PROGRAM, f'--sweep_dir={folder.root}', *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=disturbed.heed_hangup,
        env={**os.environ, 'PYTHONPATH': f'{disturbed.ROOT}:{tmp_path}'}))
    return processes[-1]

  yield run
  for process in processes:
    process.kill()
    process.wait()
    process.stdout.close()
    process.stderr.close()


def _noted(tmp_path):
  path = tmp_path / 'noted'
  return [line.split() for line in path.read_text().splitlines()
          ] if path.exists() else []


def _until(tmp_path, what, count):
  """Waits for so many notes; returns the processes that made them."""
  deadline = time.monotonic() + 60
  while time.monotonic() < deadline:
    found = [int(pid) for _, word, pid in _noted(tmp_path) if word == what]
    if len(found) >= count:
      return found
    time.sleep(0.05)
  raise AssertionError(_noted(tmp_path))


def test_all_runs_end_and_no_more_than_asked_for_run_at_once(tmp_path, start):
  process = start([1] * 5, '--at_once=2')
  out, err = process.communicate(timeout=60)
  assert (process.returncode, err) == (0, '')
  running, most = 0, 0
  for _, what, _ in _noted(tmp_path):
    running += {'begun': 1, 'ended': -1}[what]
    most = max(most, running)
  assert most == 2 and len(_noted(tmp_path)) == 10
  for seed in range(5):
    assert f'catch-seed{seed} begins ({seed + 1} of 5).\n' in out
    assert f'catch-seed{seed} has ended.\n' in out
    log = tmp_path / 'sweep' / f'catch-seed{seed}.log'
    assert log.read_text() == f'Hello from catch-seed{seed}\n'
  assert out.splitlines()[-2].split() == [
      'task', 'finished', 'frames', 'return', 'std', 'min', 'max']
  assert '0 of 5' in out.splitlines()[-1]


def test_a_run_that_fails_does_not_end_the_others_and_is_named(
    tmp_path, start):
  (tmp_path / 'sweep' / 'catch-seed3.log').mkdir()
  process = start([2, 1, 2, 1])
  out, err = process.communicate(timeout=60)
  assert process.returncode == 1
  log = tmp_path / 'sweep' / 'catch-seed0.log'
  assert (f'catch-seed0 failed with status 1: Error: it is broken. Its log: '
          f'{log}\n') in out
  assert 'catch-seed1 has ended.' in out
  first, second, third = err.splitlines()
  assert first.startswith('Failed: catch-seed0 failed with status 1: Error: it')
  assert second.startswith('Failed: catch-seed2')
  assert third.startswith('Failed: catch-seed3 could not begin: ')


def test_a_log_is_added_to(tmp_path, start):
  for _ in range(2):
    start([1]).communicate(timeout=60)
  log = tmp_path / 'sweep' / 'catch-seed0.log'
  assert log.read_text() == 'Hello from catch-seed0\n' * 2


@pytest.mark.parametrize('number', [
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_runs_save_and_begins_no_other(
    tmp_path, start, number):
  process = start([3, 3, 3], '--at_once=2')
  pids = _until(tmp_path, 'begun', 2)
  process.send_signal(number)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 128 + number
  assert sorted(_until(tmp_path, 'saved', 2)) == sorted(pids)
  assert len(_noted(tmp_path)) == 4
  assert 'Stopping catch-seed0, catch-seed1, which saves first.' in out
  assert err == 'Stopped. The same command resumes.\n'
  assert not any(map(psutil.pid_exists, pids))


def test_runs_save_when_the_terminal_is_closed(tmp_path, start):
  process = start([3, 3], '--at_once=2')
  pids = _until(tmp_path, 'begun', 2)
  process.stdout.close()
  process.stderr.close()
  process.send_signal(signal.SIGHUP)
  assert process.wait(timeout=60) == 128 + signal.SIGHUP
  assert sorted(_until(tmp_path, 'saved', 2)) == sorted(pids)


def test_all_runs_end_when_nobody_reads_what_is_printed(tmp_path, start):
  process = start([1, 1, 2])
  process.stdout.close()
  process.stderr.close()
  assert process.wait(timeout=60) == 1
  assert [what for _, what, _ in _noted(tmp_path)] == ['begun', 'ended'] * 3


def test_a_run_that_does_not_end_is_killed(tmp_path, start):
  process = start([4])
  pid, = _until(tmp_path, 'begun', 1)
  process.terminate()
  out, _ = process.communicate(timeout=60)
  assert process.returncode == 143 and not psutil.pid_exists(pid)
  assert 'was killed' in out


def test_no_run_is_left_after_the_sweep_was_killed(tmp_path, start):
  process = start([3, 4], '--at_once=2')
  children = [psutil.Process(pid) for pid in _until(tmp_path, 'begun', 2)]
  process.kill()
  gone, alive = psutil.wait_procs(children, timeout=20)
  assert (len(gone), alive) == (2, [])


def test_two_sweeps_in_one_folder_are_refused(tmp_path, start):
  first = start([3])
  _until(tmp_path, 'begun', 1)
  second = start([3])
  _, err = second.communicate(timeout=60)
  assert second.returncode == 1
  assert f'is in use: process {first.pid} on' in err
  assert 'two sweeps in one folder' in err and 'another --sweep_dir' in err
  assert len(_noted(tmp_path)) == 1


def test_the_list_may_be_deleted_while_it_runs(tmp_path, start):
  process = start([1, 1])
  _until(tmp_path, 'begun', 1)
  (tmp_path / 'sweep' / 'sweep.jsonl').unlink()
  process.communicate(timeout=60)
  assert process.returncode == 0 and len(_noted(tmp_path)) == 4


def test_an_index_is_the_run_of_this_line_in_the_same_process(
    tmp_path, start):
  process = start([1, 3, 1], '--index=1')
  pid, = _until(tmp_path, 'begun', 1)
  assert pid == process.pid
  process.terminate()
  out, _ = process.communicate(timeout=60)
  assert process.returncode == 143 and out == 'Hello from catch-seed1\n'
  assert [line[:2] for line in _noted(tmp_path)] == [
      ['catch-seed1', 'begun'], ['catch-seed1', 'saved']]


def test_a_list_is_plain_json(tmp_path, start):
  start([1]).communicate(timeout=60)
  text = (tmp_path / 'sweep' / 'sweep.jsonl').read_text()
  assert json.loads(text) == {
      'run': 'catch-seed0', 'task': 'catch', 'seed': 0, 'vary': {},
      'command': ['--task=catch', '--seed=0', '--steps=1']}
