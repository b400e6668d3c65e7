"""Tests of kill -9: whenever it comes, the run ends as an undisturbed one.

In CI one kill at each kind of moment; `FAULTS=all` makes it 50, at
random moments besides.
"""

import os
import random

import disturbed
import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import timetable

pytestmark = pytest.mark.slow

_STEPS = 250
_KILL = 'os.kill(os.getpid(), signal.SIGKILL)'
# A function in which the process is killed, and at which of its calls.
_MOMENTS = {
    'start': ('training.trainer.Trainer.prefill', 1),
    'prefill': ('experience.collection.Collector.prefill', 3),
    'first mid-append': ('experience.segments.Writer.write', 1),
    'first mid-checkpoint': ('training.checkpoints.Checkpoints.save', 1),
    'evaluation': ('training.evaluation.Evaluation._begin', 1),
    'update': ('training.metrics.Updates.__call__', 12),
    'mid-append': ('experience.segments.Writer.write', 2),
    'before the checkpoint': ('training.checkpoints.Checkpoints.save', 2),
    'mid-checkpoint': ('training.checkpoint_files.write_state', 2),
    'export': ('training.policies.Policies.save', 1),
}
_ALL = os.environ.get('FAULTS') == 'all'
_TIMES = 41 if _ALL else 2  # kills at random times


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that nothing disturbs."""
  root = tmp_path_factory.mktemp('whole') / 'run'
  assert disturbed.run(root, steps=_STEPS)[0] == 0
  return root


def rows(root):
  """All stored rows of a run."""
  folder = runs.RunFolder(root)
  spec = runs._read_specs(folder)
  return tf.nest.flatten(store.read(folder.replay, spec, at_least=10**9))


def check_counts(root):
  """The last checkpoint counts as many updates as its steps ask for."""
  path = checkpoint_files.find(root / 'checkpoints')
  if path is None:
    return
  reader = tf.train.load_checkpoint(path)
  number = lambda name: int(reader.get_tensor(
      f'{name}/.ATTRIBUTES/VARIABLE_VALUE'))
  steps = number('agent/_schedule_step')
  plan = timetable.make(
      steps=_STEPS, prefill=60, pretrain=2, steps_per_update=7, log_every=40,
      eval_every=100, save_every=50)
  assert number('agent/_train_step_counter') == plan.updates_due(steps)
  assert number('position/taken') == plan.updates_due(steps)
  assert checkpoint_files.step(path) == steps


def test_a_run_that_is_killed_again_and_again_is_an_undisturbed_one(
    whole, tmp_path):
  root, draw = tmp_path / 'run', random.Random(0)
  for moment, (function, call) in _MOMENTS.items():
    status, output = disturbed.run(
        root, steps=_STEPS, code=disturbed.at(function, _KILL, call))
    assert status == -9, (moment, output)
    assert 'Traceback' not in output
    check_counts(root)
  for _ in range(_TIMES):
    process = disturbed.start(
        root, steps=_STEPS, code=f'import threading\nthreading.Timer('
        f'{draw.uniform(4.0, 14.0)}, lambda: {_KILL}).start()')
    output, _ = process.communicate(timeout=300)
    assert process.returncode in (0, -9) and 'Traceback' not in output, output
    check_counts(root)
  status, output = disturbed.run(root, steps=_STEPS)
  assert status == 0, output

  check_counts(root)
  assert disturbed.metrics(root) == disturbed.metrics(whole)
  mine, its = rows(root), rows(whole)
  assert all(np.array_equal(*pair) for pair in zip(mine, its, strict=True))
  names = lambda folder: sorted(
      str(path.relative_to(folder)) for path in folder.rglob('*')
      if 'events.out' not in path.name and 'replay' not in path.parts)
  assert names(root) == names(whole)
