"""Tests of collection beside updates: nobody reads what the other writes."""

import disturbed
import numpy as np
import pytest
import small
import stored
import tensorflow as tf
from tf_agents.metrics import tf_metrics
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.training import acting
from dreamerv2_tfa.training import crash

_EXPLORERS = pytest.mark.parametrize('bindings, steps', [
    ((), 0),
    (("DreamerV2Agent.exploration = 'random'",), 5),
    (("DreamerV2Agent.exploration = 'plan2explore'",), 5),
])


class _Run:
  """An agent, what acts beside it, and one observation of three."""

  def __init__(self, bindings=(), steps=0, **kwargs):
    self.steps = tf_metrics.EnvironmentSteps()
    self.agent = small.make_agent(
        *bindings, observation=small.IMAGE, exploration_steps=steps,
        schedule_step=self.steps.environment_steps, **kwargs)
    self.acting = acting.Beside(self.agent, self.steps)
    rng = np.random.default_rng(0)
    self.time_step = ts.restart({'image': tf.constant(
        rng.integers(0, 256, (3, 64, 64, 1), np.uint8))}, 3)

  def act(self, policy):
    return policy.action(
        self.time_step, policy.get_initial_state(3), seed=(1, 2))

  def update(self):
    self.agent.train(small.make_batch(self.agent))


def _same(one, other):
  return all(np.array_equal(*pair) for pair in zip(
      map(np.asarray, tf.nest.flatten(one)),
      map(np.asarray, tf.nest.flatten(other)), strict=True))


@_EXPLORERS
def test_it_acts_as_the_agent_did_until_it_takes_its_weights(bindings, steps):
  run = _Run(bindings, steps)
  before = run.act(run.agent.collect_policy)
  assert _same(run.act(run.acting.policy), before)
  run.update()
  assert _same(run.act(run.acting.policy), before)
  assert not _same(run.act(run.agent.collect_policy), before)
  run.acting.take_weights()
  assert _same(
      run.act(run.acting.policy), run.act(run.agent.collect_policy))


@_EXPLORERS
def test_a_step_reads_nothing_that_an_update_writes(bindings, steps):
  run = _Run(bindings, steps)
  policy = run.acting.policy
  step = tf.function(
      lambda: run.act(policy), autograph=False).get_concrete_function()
  written = {id(x) for x in crash.updated(run.agent)}
  shared = [x for x in step.variables if id(x) in written]
  assert len(step.variables) - len(shared) > 5
  # But for the random states, which updates leave as they are.
  before = list(map(np.asarray, shared))
  run.update()
  assert _same(shared, before)


def test_draws_go_on_from_those_of_the_agent():
  one, other = _Run(), _Run()
  act = lambda run, policy: policy.action(
      run.time_step, policy.get_initial_state(3))
  act(one, one.acting.policy)
  act(other, other.agent.collect_policy)
  assert _same(act(one, one.agent.collect_policy),
               act(other, other.agent.collect_policy))


def test_schedules_read_the_steps_that_an_update_began_with():
  run = _Run(("DreamerV2Agent.exploration = 'random'",), 5)
  run.steps.environment_steps.assign(3)
  run.acting.read_steps()
  run.acting.steps.environment_steps.assign_add(4)
  assert int(run.steps.result()) == 3
  # What explores until step 5 has ended where steps are collected.
  run.acting.write_steps()
  assert int(run.steps.result()) == 7
  assert _same(run.act(run.acting.policy), run.act(run.agent.collect_policy))


def test_what_acts_copies_no_decoder():
  run = _Run()
  copied = len(tf.nest.flatten(run.acting.state.weights))
  model, actor = run.agent.world_model, run.agent.actor_critic.actor
  assert copied == len(model.filter_variables) + len(actor.variables)
  assert copied < len(model.variables)


# Whole runs -------------------------------------------------------------------

_ON = "--gin_bindings=train.overlap = 'on'"
_OFF = "--gin_bindings=train.overlap = 'off'"
_COLLECT = 'experience.collection.Collector.collect'


def _whole(root, *flags):
  status, output = disturbed.run(root, *flags)
  assert status == 0, output
  return disturbed.metrics(root)


@pytest.fixture(scope='module')
def beside(tmp_path_factory):
  """The folder of a run that nothing disturbs."""
  root = tmp_path_factory.mktemp('beside') / 'run'
  _whole(root, _ON)
  return root


def _check_same(root, other):
  assert disturbed.metrics(root) == disturbed.metrics(other)
  assert _same(stored.columns(root), stored.columns(other))


@pytest.mark.slow
def test_the_same_seed_is_the_same_run(beside, tmp_path):
  _whole(tmp_path / 'run', _ON)
  _check_same(tmp_path / 'run', beside)


@pytest.mark.slow
def test_there_are_as_many_updates_at_each_report_as_apart(beside, tmp_path):
  counts = lambda lines: [(x['step'], x.get('updates')) for x in lines]
  lines = disturbed.metrics(beside)
  apart = _whole(tmp_path / 'run', _OFF)
  assert counts(lines) == counts(apart)
  assert lines != apart  # the weights that act are one update older


@pytest.mark.slow
@pytest.mark.parametrize('action, status', [
    ('signal.raise_signal(signal.SIGTERM)', 143),
    ('os.kill(os.getpid(), signal.SIGKILL)', -9)])
def test_a_run_that_is_stopped_inside_a_slice_goes_on_exactly(
    action, status, beside, tmp_path):
  root = tmp_path / 'run'
  stopped, output = disturbed.run(
      root, _ON, code=disturbed.at(_COLLECT, action, 19))
  assert stopped == status, output
  _whole(root, _ON)
  _check_same(root, beside)


@pytest.mark.slow
@pytest.mark.parametrize('before, after', [(_ON, _OFF), (_OFF, _ON)])
def test_a_run_may_go_on_the_other_way(before, after, tmp_path):
  stop = disturbed.at(_COLLECT, 'signal.raise_signal(signal.SIGTERM)', 9)
  status, output = disturbed.run(tmp_path / 'run', before, code=stop)
  assert status == 143, output
  assert 'Traceback' not in output
  lines = _whole(tmp_path / 'run', after)
  assert lines[-1]['step'] == 250


@pytest.mark.slow
def test_an_error_in_an_update_ends_a_run_whose_environment_steps(tmp_path):
  code = disturbed.at(
      'experience.replay.Samples.next', 'raise RuntimeError("mine")') + (
          'from dreamerv2_tfa.training import metrics\n'
          'before = metrics.Updates.__init__\n'
          'def init(self, *args, **kwargs):\n'
          '  before(self, *args, **kwargs)\n'
          '  self._compiled = True\n'  # so that the first has a thread too
          'metrics.Updates.__init__ = init\n')
  status, output = disturbed.run(tmp_path / 'run', _ON, code=code)
  assert status == 1 and 'RuntimeError: mine' in output


@pytest.mark.slow
def test_an_environment_that_fails_saves_what_the_update_has_done(tmp_path):
  disturbed.write_environment(
      tmp_path, 'if Mine.taken > 150 and "WHOLE" not in os.environ: '
      'raise OSError("mine")', ends='Mine.taken % 10 == 0')
  flags = dict(task='mine:Mine', cwd=tmp_path)
  status, output = disturbed.run(tmp_path / 'run', _ON, **flags)
  assert status == 1 and 'OSError: mine' in output, output
  status, output = disturbed.run(
      tmp_path / 'run', _ON, code='os.environ["WHOLE"] = "1"', **flags)
  assert status == 0 and 'Resumed at' in output, output
