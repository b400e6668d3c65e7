"""Tests of whole runs in several processes, some of which are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import disturbed
import psutil
import pytest

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.reports import diagnostics
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import runs

pytest.importorskip('reverb')

STEPS = 250
UPDATES = 1 + 2 + (STEPS - 60) // 7
ALL = ('--role=all', '--num_collectors=2')


class Watched:
  """A run with all roles, what it prints and its processes."""

  def __init__(self, root, *flags, steps=STEPS):
    self.process = disturbed.start(root, *ALL, *flags, steps=steps)
    self.output = ''

  def until(self, *words):
    """Reads up to a line with all these words."""
    for line in self.process.stdout:
      self.output += line
      if all(word in line for word in words):
        return
    raise AssertionError(self.output)

  def children(self, role=''):
    return [
        child for child in psutil.Process(self.process.pid).children()
        if any(word.startswith(f'--role={role}') for word in child.cmdline())]

  def kill(self, role):
    victim = self.children(role)[0]
    victim.kill()
    self.until('has ended with status -9')

  def end(self):
    rest, _ = self.process.communicate(timeout=300)
    self.output += rest
    return self.process.returncode


@contextlib.contextmanager
def watched(root, *flags, **options):
  run = Watched(root, *flags, **options)
  try:
    yield run
  finally:
    children = run.children() if run.process.poll() is None else []
    run.process.kill()
    run.process.wait()
    run.process.stdout.close()
    psutil.wait_procs(children, timeout=30)


def counts(root):
  """Agent steps and updates of a run's last checkpoint."""
  agent = runs.load(root)
  return runs.RunFolder(root).saved_steps(), int(agent.train_step_counter)


@pytest.mark.slow
def test_a_run_with_a_killed_collector_ends_with_all_steps_and_updates(
    tmp_path):
  root = tmp_path / 'run'
  looks = [f'--gin_bindings=train.{name} = True'
           for name in ('videos', 'diagnostics')]
  with watched(root, *looks) as run:
    run.until('collector 0', 'Collecting')
    run.kill('collector')
    assert run.end() == 0, run.output
    assert f'Done: {STEPS} frames, {UPDATES} updates' in run.output
  assert counts(root) == (STEPS, UPDATES)
  rows = metrics_lib.read(root / 'metrics.jsonl')
  assert rows[-1]['updates'] == UPDATES
  assert rows[-1]['train_length'] == 45.0
  played = metrics_lib.read(root / 'evaluations' / 'metrics.jsonl')
  assert played[-1]['step'] == STEPS
  report = (root / 'report.html').read_text()
  assert 'eval_return' in report and 'policy_image.gif' in report
  found, _ = diagnostics.lines(runs.RunFolder(root), played)
  assert found[-1]['step'] == STEPS
  assert (root / 'policies' / 'greedy' / 'saved_model.pb').exists()
  highest = max(row['eval_return'] for row in played)
  kept = root / 'checkpoints' / 'best' / 'evaluation.json'
  assert json.loads(kept.read_text()) == {'eval_return': highest}
  runs.load(root, best=True)  # which compares its checksum
  evaluated = subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.evaluate',
       f'--root_dir={root}', '--episodes=1'], capture_output=True, text=True,
      check=False, env={**os.environ, 'PYTHONPATH': str(disturbed.ROOT)})
  assert f'at {STEPS} steps, catch' in evaluated.stdout, evaluated.stderr


@pytest.mark.slow
def test_a_killed_learner_and_replay_server_change_no_count(tmp_path):
  steps, root = 600, tmp_path / 'run'
  with watched(root, steps=steps) as run:
    run.until('evaluator', 'Evaluation')
    run.kill('learner')
    run.until('Resumed at')
    run.kill('replay')
    assert run.end() == 0, run.output
  assert counts(root) == (steps, 1 + 2 + (steps - 60) // 7)


@pytest.mark.slow
def test_no_process_is_left_after_its_parent_was_killed(tmp_path):
  with watched(tmp_path / 'run', steps=10**5) as run:
    run.until('collector', 'Collecting')
    children = run.children()
    assert len(children) == 5
    run.process.kill()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert (len(gone), alive) == (5, [])


@pytest.mark.slow
def test_a_signal_saves_and_ends_all_and_the_same_command_resumes(tmp_path):
  # And what two replicas of the learner have saved, one continues.
  root = tmp_path / 'run'
  with watched(root, '--replicas=2') as run:
    run.until('learner', ' fps')
    children = run.children()
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 128 + signal.SIGTERM, run.output
    assert 'Stopped and saved at' in run.output
    assert not any(child.is_running() for child in children)
  with watched(root) as run:
    assert run.end() == 0, run.output
    assert 'Resumed at' in run.output
  assert counts(root) == (STEPS, UPDATES)


@pytest.mark.slow
def test_a_collector_of_another_precision_is_refused_and_a_late_one_joins(
    tmp_path):
  with watched(tmp_path / 'run', steps=10**5) as run:
    run.until('learner', ' fps')
    address = next(
        word for word in run.children('replay')[0].cmdline()
        if word.startswith('--replay_address='))
    code, said = disturbed.run(
        tmp_path / 'other', '--role=collector', address, '--precision=bf16')
    assert code == 1
    assert 'precision: here mixed_bfloat16, there float32' in said
    late = disturbed.start(
        tmp_path / 'late', '--role=collector', address)
    try:
      disturbed.until(late, 'Collecting')
      time.sleep(3)
      late.terminate()
      rest, _ = late.communicate(timeout=60)
      assert 'Collected' in rest and 'Collected 0' not in rest
      assert late.returncode == 128 + signal.SIGTERM
    finally:
      late.kill()
    assert run.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize('role', ['collector', 'evaluator'])
def test_a_role_that_waits_for_the_replay_server_ends_as_a_signal_does(
    tmp_path, role):
  address = f'127.0.0.1:{address_lib.free_port()}'
  waits = disturbed.start(
      tmp_path / 'run', f'--role={role}', f'--replay_address={address}')
  try:
    disturbed.until(waits, 'No answer of the replay server')
    waits.terminate()
    rest, _ = waits.communicate(timeout=60)
    assert waits.returncode == 128 + signal.SIGTERM, rest
    assert 'Error' not in rest
  finally:
    waits.kill()
