"""Tests of collection on Catch: steps counted one by one, across episodes."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.environments import py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.metrics import tf_metrics
from tf_agents.policies import tf_policy
from tf_agents.specs import array_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay

EPISODE = 9   # steps of an episode with one ball
FIRST, MID, LAST = ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST


class CountingPolicy(tf_policy.TFPolicy):
  """Plays 0, 1, 2, 0, 1, ... by a count that it carries as its state."""

  def __init__(self, time_step_spec, action_spec):
    super().__init__(
        time_step_spec, action_spec,
        policy_state_spec=tf.TensorSpec([], tf.int32),
        automatic_state_reset=False)

  def _variables(self):
    return []

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError

  def _action(self, time_step, policy_state, seed):
    return policy_step.PolicyStep(policy_state % 3, policy_state + 1, ())


class Run:
  """A collector on Catch with all that it writes to."""

  def __init__(self, batch_size=1):
    tf.random.set_seed(7)
    environment = catch.Catch(batch_size=batch_size, seed=3, balls=1)
    policy = CountingPolicy(
        environment.time_step_spec(), environment.action_spec())
    self.buffer = replay.make_buffer(
        policy.trajectory_spec, batch_size, 100 * batch_size)
    self.steps = tf_metrics.EnvironmentSteps()
    self.collector = collection.Collector(
        environment, policy, self.buffer, self.steps)
    self.collector.begin()

  def rows(self):
    """Stored rows `[rows, ...]` of the first environment, oldest first."""
    return tf.nest.map_structure(
        lambda x: x[0].numpy(), self.buffer.gather_all())


@pytest.fixture(scope='module')
def run():
  """20 random steps, then 5, 1 and 21 with the policy; read-only."""
  result = Run()
  result.counts = []
  result.collector.prefill(20)
  result.counts.append(result.collector.steps)
  for steps in (5, 1, 21):
    result.collector.collect(steps)
    result.counts.append(result.collector.steps)
  return result


def test_nothing_is_collected_before_it_is_asked_for():
  fresh = Run()
  assert fresh.collector.steps == 0
  assert int(fresh.buffer.num_frames()) == 0
  assert fresh.collector.episode_metrics() == {}


def test_counts_are_exact_across_the_ends_of_episodes(run):
  assert run.counts == [20, 25, 26, 47]
  assert int(run.steps.result()) == 47


def test_the_row_between_two_episodes_is_stored_and_not_counted(run):
  step_type = run.rows().step_type
  boundaries = (step_type == LAST).sum()
  assert boundaries == 47 // EPISODE
  assert len(step_type) == 47 + boundaries


def test_rows_go_from_first_to_last_over_and_over(run):
  episode = [FIRST] + [MID] * (EPISODE - 1) + [LAST]
  step_type = run.rows().step_type
  np.testing.assert_array_equal(
      step_type, (episode * 6)[:len(step_type)])
  np.testing.assert_array_equal(
      run.rows().next_step_type[:-1], step_type[1:])


def test_no_row_is_lost_between_two_calls(run):
  rows = run.rows()
  # The ball is at row t of the grid in step t: look for it in the picture.
  ball = (rows.observation['image'][:, 2::6, :, 0] == 255).any(-1).argmax(1)
  steps = np.arange(len(ball)) % (EPISODE + 1)
  np.testing.assert_array_equal(ball, steps)


def test_prefill_is_random_and_collect_plays_the_policy(run):
  rows = run.rows()
  # 20 steps and two boundary rows are random; then the policy counts from 0.
  np.testing.assert_array_equal(
      rows.action[22:], np.arange(len(rows.action) - 22) % 3)
  assert (rows.action[:22] != np.arange(22) % 3).any()


def test_a_call_leaves_next_to_nothing_behind_in_memory():
  # TensorFlow 2.15 on Python 3.11 loses 48 bytes of each tensor that Python
  # sees: 740 bytes of a call that gives its time step and state back.
  assert small.bytes_left("""
import collection_test

run = collection_test.Run()
function = lambda: run.collector.collect(4)
""", 'experience') < 200


def test_prefill_plays_every_action():
  fresh = Run()
  fresh.collector.prefill(60)
  counts = np.bincount(fresh.rows().action, minlength=3)
  assert (counts > 8).all()   # 22 each on average, 4 standard deviations


def test_the_policy_state_is_kept_over_calls(run):
  rows = run.rows()
  np.testing.assert_array_equal(np.diff(rows.action[22:]) % 3, 1)


def test_a_slice_that_ends_with_an_episode_stops_at_its_last_step():
  fresh = Run()
  fresh.collector.collect(EPISODE)
  rows = fresh.rows()
  assert fresh.collector.steps == len(rows.step_type) == EPISODE
  assert rows.next_step_type[-1] == LAST
  fresh.collector.collect(1)   # the boundary row, and one step
  assert fresh.collector.steps == EPISODE + 1
  np.testing.assert_array_equal(
      fresh.rows().step_type[-2:], [LAST, FIRST])


def test_rewards_and_lengths_of_whole_episodes_are_reported(run):
  rows = run.rows()
  counted = rows.reward[rows.step_type != LAST]
  returns = counted[:5 * EPISODE].reshape(5, EPISODE).sum(1)
  assert set(returns) <= {-1.0, 1.0}
  metrics = run.collector.episode_metrics()
  assert metrics['train_length'] == EPISODE
  np.testing.assert_allclose(metrics['train_return'], returns.mean())


def test_an_episode_that_is_not_over_is_not_reported():
  fresh = Run()
  fresh.collector.collect(EPISODE - 1)
  assert fresh.collector.episode_metrics() == {}


def test_steps_of_all_environments_are_counted():
  fresh = Run(batch_size=2)
  fresh.collector.prefill(8)
  fresh.collector.collect(16)
  assert fresh.collector.steps == 24
  step_type = fresh.buffer.gather_all().step_type.numpy()
  assert step_type.shape == (2, 13)   # 12 steps each, one boundary
  np.testing.assert_array_equal((step_type == LAST).sum(1), [1, 1])


def test_a_count_restored_from_a_checkpoint_goes_on():
  fresh = Run()
  fresh.steps.environment_steps.assign(1000)
  fresh.collector.collect(4)
  assert fresh.collector.steps == 1004
  assert int(fresh.buffer.num_frames()) == 4


class Broken(py_environment.PyEnvironment):
  """Shows and pays 1, but what is not finite at one of its steps."""

  def __init__(self, key, at, value):
    super().__init__(handle_auto_reset=True)
    self._key, self._at, self._value, self._count = key, at, value, 0

  def observation_spec(self):
    return {'a': array_spec.ArraySpec((2,), np.float32),
            'b': array_spec.ArraySpec((), np.int32)}

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 2)

  def _reset(self):
    return ts.restart({'a': np.ones(2, np.float32), 'b': np.int32(0)})

  def _step(self, action):
    self._count += 1
    numbers = {'a': np.ones(2, np.float32), 'reward': np.float32(1)}
    if self._count == self._at:
      numbers[self._key] = numbers[self._key] * np.float32(self._value)
    observation = {'a': numbers['a'], 'b': np.int32(self._count)}
    make = ts.termination if self._count % 5 == 0 else ts.transition
    # `transition` itself refuses a reward that is NaN.
    return make(observation, 0.0)._replace(reward=numbers['reward'])


def collect_broken(*args):
  """Collects from a `Broken` until it raises: the error, stored rows."""
  environment = tf_py_environment.TFPyEnvironment(Broken(*args))
  policy = CountingPolicy(
      environment.time_step_spec(), environment.action_spec())
  buffer = replay.make_buffer(policy.trajectory_spec, 1, 100)
  collector = collection.Collector(
      environment, policy, buffer, tf_metrics.EnvironmentSteps())
  collector.begin()
  with pytest.raises(FloatingPointError) as raised:
    collector.prefill(4)
    collector.collect(20)
  return str(raised.value), tf.nest.map_structure(
      lambda x: x[0].numpy(), buffer.gather_all())


@pytest.mark.parametrize('value', [np.nan, np.inf, -1e30])
# A reward is part of the row before what it leads to. Step 7 is in the second
# episode: a row between episodes comes before.
@pytest.mark.parametrize('key, name, at, stored', [
    ('a', "The observation 'a'", 2, 2), ('reward', 'The reward', 2, 1),
    ('a', "The observation 'a'", 7, 8), ('reward', 'The reward', 7, 7)])
def test_a_number_that_is_not_finite_ends_collection_and_is_not_stored(
    key, name, at, stored, value):
  message, rows = collect_broken(key, at, value)
  assert message.startswith(f'{name} is not finite, or 1e+15 or more, by agent')
  assert 'what came before it is saved' in message
  assert len(rows.step_type) == stored
  assert all(np.isfinite(x).all() for x in tf.nest.flatten(rows))


def test_line_by_line_such_a_number_ends_collection_as_well():
  tf.config.run_functions_eagerly(True)
  try:
    message, rows = collect_broken('a', 2, np.nan)
  finally:
    tf.config.run_functions_eagerly(False)
  assert message.startswith("The observation 'a'")
  assert len(rows.step_type) == 2


def test_errors_of_the_environment_are_passed_on(monkeypatch):
  def fail(*unused):
    raise RuntimeError('out of coffee')

  environment = tf_py_environment.TFPyEnvironment(Broken('a', -1, 0))
  policy = CountingPolicy(
      environment.time_step_spec(), environment.action_spec())
  collector = collection.Collector(
      environment, policy, replay.make_buffer(policy.trajectory_spec, 1, 100),
      tf_metrics.EnvironmentSteps())
  collector.begin()
  monkeypatch.setattr(Broken, '_step', fail)
  with pytest.raises(tf.errors.OpError, match='out of coffee'):
    collector.collect(4)


def test_a_clock_lets_steps_pass_and_plays_nothing():
  steps = tf_metrics.EnvironmentSteps()
  clock = collection.Clock(steps)
  clock.prefill(30)
  clock.collect(7)
  assert clock.steps == 37 == int(steps.result())
  assert clock.episode_metrics() == {}
