"""Tests of environments in processes: seeds, failures, no orphans."""

import functools
import importlib
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from tf_agents.metrics import tf_metrics
from tf_agents.policies import random_tf_policy
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import server
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import worker
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay

_TOYS = pathlib.Path(__file__).with_name('toys.py')
FIRST, MID, LAST = ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST


def _load_toys():
  """The module as the workers find it, which share no package with tests."""
  if str(_TOYS.parent) not in sys.path:
    sys.path.insert(0, str(_TOYS.parent))
  return importlib.import_module('toys')


toys = _load_toys()


@pytest.fixture(scope='module')
def shared():
  """Two counters in processes, started once; every test resets them."""
  made = parallel.ProcessBatch(toys.Counter, [7, 8])
  yield made
  made.close()


def test_rows_are_stepped_side_by_side_each_with_its_seed(shared):
  first = shared.reset()
  np.testing.assert_array_equal(first.observation['seed'], [7, 8])
  step = shared.step(np.array([1, 0]))
  np.testing.assert_array_equal(step.reward, [1, 0])
  np.testing.assert_array_equal(step.observation['step'], [[1], [1]])
  assert shared.batched and shared.batch_size == 2
  assert shared.action_spec().maximum == 3


def test_each_row_starts_anew_after_its_own_last_step():
  made = parallel.ProcessBatch(
      lambda seed: toys.Counter(seed, length=seed), [2, 3])
  try:
    types = [made.reset().step_type] + [
        made.step(np.array([0, 0])).step_type for _ in range(6)]
  finally:
    made.close()
  np.testing.assert_array_equal(np.transpose(types), [
      [FIRST, MID, LAST, FIRST, MID, LAST, FIRST],
      [FIRST, MID, MID, LAST, FIRST, MID, MID]])


@pytest.mark.parametrize('action, trace', [
    (2, "KeyError: 'worn out at step 2'"), (3, 'ended without a word')])
def test_a_worker_that_fails_is_reported_and_restarted_at_a_first_step(
    shared, errors, action, trace):
  shared.reset()
  shared.step(np.array([0, 0]))
  shared.step(np.array([0, 0]))
  step = shared.step(np.array([0, action]))
  np.testing.assert_array_equal(step.step_type, [MID, FIRST])
  np.testing.assert_array_equal(step.observation['step'], [[3], [0]])
  np.testing.assert_array_equal([step.reward[1], step.discount[1]], [0, 1])
  assert step.observation['seed'][1] not in (7, 8)   # it would fail again
  report, = errors
  assert 'Environment 1 of 2 failed' in report and trace in report
  for _ in range(toys.LENGTH):
    step = shared.step(np.array([0, 0]))
  np.testing.assert_array_equal(step.observation['step'], [[2], [5]])
  np.testing.assert_array_equal(step.step_type, [MID, LAST])


def test_one_that_fails_again_and_again_ends_the_run_with_its_traceback(errors):
  made = parallel.ProcessBatch(toys.Counter, [7, 8])
  try:
    made.reset()
    for _ in range(2):
      made.step(np.array([2, 0]))
    with pytest.raises(RuntimeError, match="3 times .*(\n.*)*KeyError: 'worn"):
      made.step(np.array([2, 0]))
  finally:
    made.close()
  assert len(errors) == 2


def test_a_mistake_in_making_an_environment_is_a_value_error():
  with pytest.raises(ValueError, match='no game with seed 4'):
    parallel.ProcessBatch(toys.refused, [4])


def test_a_fault_in_making_an_environment_is_shown_with_its_traceback():
  with pytest.raises(
      RuntimeError, match='The environment cannot be made: K.*\n(.*\n)*.*K'):
    parallel.ProcessBatch(toys.broken, [4])


def test_what_a_check_of_ours_refuses_ends_the_run_at_once(errors):
  made = parallel.ProcessBatch(toys.Refusing, [1, 2])
  try:
    made.reset()
    with pytest.raises(checks.UserError, match='^not in its space$'):
      made.step(np.array([0, 2]))
  finally:
    made.close()
  assert errors == []


def test_a_batch_in_a_process_of_its_own_is_refused():
  with pytest.raises(checks.UserError, match='train.processes = False'):
    parallel.ProcessBatch(toys.Double, [1])


def _closed(folder):
  return sorted(path.name for path in folder.iterdir())


def test_every_environment_is_closed_once_before_its_process_ends(tmp_path):
  made = parallel.ProcessBatch(
      functools.partial(toys.Closing, tmp_path), [1, 2])
  made.reset()
  made.close()
  made.close()
  assert _closed(tmp_path) == ['1', '2']


def test_one_that_failed_is_closed_before_the_one_in_its_place(
    tmp_path, errors):
  made = parallel.ProcessBatch(
      functools.partial(toys.Closing, tmp_path), [1, 2])
  made.reset()
  made.step(np.array([2, 0]))
  assert _closed(tmp_path) == ['1']
  made.close()
  assert len(_closed(tmp_path)) == 3 and len(errors) == 1


def test_one_that_cannot_be_closed_is_reported(tmp_path, errors):
  made = parallel.ProcessBatch(
      functools.partial(toys.Closing, tmp_path / 'no folder'), [1])
  made.close()
  report, = errors
  assert 'The environment was not closed' in report
  assert 'FileNotFoundError' in report and 'toys.py' in report


def test_closing_answers_after_a_step_that_nobody_waited_for(tmp_path):
  made = parallel.ProcessBatch(functools.partial(toys.Closing, tmp_path), [1])
  made.reset()
  made._workers[0].send('step', (np.int32(0),))  # as at Ctrl-C
  made._workers[0].send('step', (np.int32(2),))  # which fails
  made.close()
  assert _closed(tmp_path) == ['1']


def _workers():
  return psutil.Process(server.running().process.pid).children()


def test_closing_ends_the_workers():
  before = set(_workers())
  made = parallel.ProcessBatch(toys.Counter, [1, 2])
  workers = set(_workers()) - before
  assert len(workers) == 2
  made.close()
  assert psutil.wait_procs(workers, timeout=10)[1] == []


def test_a_server_that_was_killed_is_started_again(errors):
  made = parallel.ProcessBatch(toys.Counter, [1, 2])
  made.reset()
  made.step(np.array([0, 0]))
  server.running().process.kill()
  server.running().process.wait()
  step = made.step(np.array([0, 0]))
  np.testing.assert_array_equal(step.step_type, [FIRST, FIRST])
  assert made.step(np.array([1, 1])).step_type.tolist() == [MID, MID]
  assert len(errors) == 2
  made.close()


@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_trainer(how):
  code = (
      'import signal, sys, numpy as np\n'
      # A shell's background jobs ignore it, and hand that on.
      'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
      f'sys.path.insert(0, {str(_TOYS.parent)!r})\n'
      'import toys\n'
      'from dreamerv2_tfa.environments import parallel\n'
      'made = parallel.ProcessBatch(toys.Counter, [1, 2])\n'
      'made.reset()\n'
      'print("ready", flush=True)\n'
      'while True: made.step(np.zeros(2, int))\n')
  trainer = subprocess.Popen(
      [sys.executable, '-c', code], stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL, start_new_session=True)
  assert trainer.stdout.readline() == b'ready\n'
  children = psutil.Process(trainer.pid).children(recursive=True)
  assert len(children) == 3
  os.killpg(trainer.pid, how)   # as the terminal does
  trainer.wait(timeout=60)
  # Where nobody waits for orphans they stay as zombies.
  _, left = psutil.wait_procs(children, timeout=20)
  assert all(child.status() == psutil.STATUS_ZOMBIE for child in left)


# In TensorFlow ----------------------------------------------------------------


def _collect(make, num_environments, steps, policy=None):
  """Stored rows `[environments, rows, ...]`, and the collector."""
  policy = policy or random_tf_policy.RandomTFPolicy(
      make.time_step_spec(), make.action_spec())
  buffer = replay.make_buffer(
      policy.trajectory_spec, num_environments, 100 * num_environments)
  counter = tf_metrics.EnvironmentSteps()
  collector = collection.Collector(make, policy, buffer, counter)
  collector.collect(steps)
  return buffer.gather_all(), collector


@pytest.mark.parametrize('processes', [False, True])
def test_environments_of_a_batch_differ_in_seed_and_repeat(processes):
  task = task_lib.from_constructor('counter', 1, toys.Counter)
  seeds = []
  for seed in (3, 3, 4):
    made = task.make(seed, 2, processes)
    seeds.append(tuple(made.reset().observation['seed'].numpy()))
    batch.close(made)
  assert seeds[0] == seeds[1]
  assert len({*seeds[0], *seeds[2]}) == 4
  assert seeds[0] == tuple(parallel.seeds_of(3, 2))


def test_one_environment_has_the_seed_itself():
  made = task_lib.from_constructor('counter', 1, toys.Counter).make(3)
  assert made.reset().observation['seed'].numpy() == [3]


def test_a_failed_episode_is_neither_joined_to_the_next_nor_counted(errors):
  def construct(seed):
    environment = toys.Counter(seed)
    play = environment._step
    # The second environment fails in its second episode, after two more steps.
    fails = iter([0] * (toys.LENGTH + 2) + [2] + [0] * 100)
    if seed == seeds[1]:
      environment._step = lambda _: play(next(fails))
    else:
      environment._step = lambda _: play(0)
    return environment

  seeds = parallel.seeds_of(3, 2)
  made = task_lib.from_constructor('counter', 1, construct).make(3, 2, True)
  rows, collector = _collect(made, 2, 4 * toys.LENGTH)
  batch.close(made)
  assert len(errors) == 1
  step_type, after = rows.step_type.numpy()[1], rows.next_step_type.numpy()[1]
  first = np.flatnonzero(step_type == FIRST)
  # An episode, the boundary, two steps and the one that failed.
  np.testing.assert_array_equal(
      first[:3], [0, toys.LENGTH + 1, toys.LENGTH + 4])
  failed = first[2] - 1
  assert step_type[failed] == MID and after[failed] == FIRST
  assert rows.reward.numpy()[1][failed] == 0
  assert rows.discount.numpy()[1][failed] == 1
  assert collector.episode_metrics()['train_length'] == toys.LENGTH


def test_a_batch_of_the_wrong_size_is_refused():
  task = task_lib.from_constructor('counter', 1, toys.Counter)
  double = lambda seed: task.make(seed, 2)
  with pytest.raises(ValueError, match='batch size 2; wanted 1'):
    task_lib.from_constructor('double', 1, double).make(0)


def test_metrics_of_all_environments_are_gathered_in_both_ways():
  def construct(seed):
    environment = toys.Counter(seed)
    environment.pop_metrics = lambda: [{'seed': seed}]
    return environment

  task = task_lib.from_constructor('counter', 1, construct, ['seed'])
  for processes in (False, True):
    made = task.make(3, 2, processes)
    found = [metrics['seed'] for metrics in batch.pop_metrics(made)]
    batch.close(made)
    assert found == parallel.seeds_of(3, 2)


def test_memory_of_a_worker_stays_flat():
  before = set(_workers())
  made = parallel.ProcessBatch(functools.partial(toys.Counter, length=50), [1])
  worker, = set(_workers()) - before
  try:
    made.reset()
    sizes = []
    for _ in range(3):
      for _ in range(1000):
        made.step(np.array([0]))
      sizes.append(worker.memory_info().rss)
  finally:
    made.close()
  assert sizes[2] - sizes[1] < 2e6


@pytest.mark.parametrize('processors, num_environments, shares', [
    (1, 2, [{4}, {4}]), (2, 2, [{4}, {5}]), (2, 4, [{4}, {5}, {4}, {5}]),
    (3, 2, [{4, 6}, {5}]),
])
def test_rows_share_the_processors_there_are(
    processors, num_environments, shares, monkeypatch):
  kept = []
  monkeypatch.setattr(
      os, 'sched_getaffinity', lambda _: set(range(4, 4 + processors)))
  monkeypatch.setattr(
      os, 'sched_setaffinity', lambda _, share: kept.append(set(share)))
  for index in range(num_environments):
    worker.keep_to_share(index, num_environments)
  assert kept == shares
