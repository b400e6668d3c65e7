"""Tests of evaluation: whole episodes, raw returns, nothing traced twice."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.environments import py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.policies import tf_policy
from tf_agents.specs import array_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import interrupt

# Rewards of the episodes, played in turn: returns 5, -10, 0.5, 100 (whose
# reward would be 1 after a tanh); lengths 2, 1, 3, 1.
_EPISODES = ((2.0, 3.0), (-10.0,), (0.25, 0.0, 0.25), (100.0,))


class _Script(py_environment.PyEnvironment):
  """Plays _EPISODES, over and over; an action of 1 adds 0.125 to a reward."""

  def __init__(self):
    super().__init__(handle_auto_reset=True)
    self.started = 0
    self._left = ()

  def observation_spec(self):
    return array_spec.ArraySpec((3,), np.float32)

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 1)

  def _reset(self):
    self._left = _EPISODES[self.started % len(_EPISODES)]
    self.started += 1
    return ts.restart(np.zeros(3, np.float32))

  def _step(self, action):
    reward, *self._left = self._left
    reward = np.float32(reward + 0.125 * action)
    make = ts.transition if self._left else ts.termination
    return make(np.zeros(3, np.float32), reward)


class _Constant(tf_policy.TFPolicy):
  """Always takes one action; counts its steps and how often it is traced."""

  def __init__(self, environment, action=0):
    super().__init__(
        environment.time_step_spec(), environment.action_spec(),
        policy_state_spec=tf.TensorSpec([1], tf.float32),
        automatic_state_reset=False,
    )
    self._constant = action
    self.traced = 0
    self.state_at_first = tf.Variable(-1.0)  # of the last episode's

  def _action(self, time_step, policy_state, seed):
    self.traced += 1
    self.state_at_first.assign(tf.where(
        time_step.is_first()[0], policy_state[0, 0], self.state_at_first
    ))
    action = tf.fill([tf.shape(policy_state)[0]], self._constant)
    return policy_step.PolicyStep(action, policy_state + 1.0, ())

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError


def _make(episodes, action=0, script=None, most_steps=100):
  script = script or _Script()
  environment = tf_py_environment.TFPyEnvironment(script)
  policy = _Constant(environment, action)
  played = evaluation.Evaluation(environment, policy, episodes, most_steps)
  return played, script, policy


@pytest.mark.parametrize('episodes, returned, length', [
    (1, 5.0, 2.0), (2, -2.5, 1.5), (3, -1.5, 2.0), (4, 23.875, 1.75),
])
def test_the_return_is_the_raw_mean_over_the_episodes_asked_for(
    episodes, returned, length):
  numbers = _make(episodes)[0].run()
  assert numbers == {'eval_return': returned, 'eval_length': length}


def test_no_more_episodes_are_played_than_asked_for():
  played, script, _ = _make(3)
  played.run()
  # TF-Agents' driver starts the next one before it stops.
  assert script.started == 3 + 1


def test_each_run_forgets_the_one_before():
  # Each run leaves one episode unplayed: see above.
  played, _, _ = _make(1)
  assert [played.run()['eval_return'] for _ in range(3)] == [5, 0.5, 5]


def test_the_actions_are_those_of_the_policy():
  # Three episodes of six steps.
  played, _, _ = _make(3, action=1)
  assert played.run()['eval_return'] == pytest.approx(-1.5 + 6 * 0.125 / 3)


def test_each_run_starts_with_the_first_state_of_the_policy():
  played, _, policy = _make(1)
  played.run()
  played.run()
  assert float(policy.state_at_first) == 0.0


def test_repeated_runs_are_traced_once():
  played, _, policy = _make(2)
  played.run()
  traced = policy.traced
  played.run()
  played.run()
  assert policy.traced == traced


def test_an_environment_of_tensorflow_plays_whole_episodes():
  environment = catch.Catch(seed=3, balls=1)
  policy = _Constant(environment)
  numbers = evaluation.Evaluation(environment, policy, 5).run()
  assert numbers['eval_length'] == 9
  assert round(numbers['eval_return'] * 5, 4) in (-5, -3, -1, 1, 3, 5)


def test_making_an_evaluation_plays_nothing():
  assert _make(2)[1].started <= 1


def test_episodes_are_a_graph_where_all_else_runs_line_by_line():
  played, _, policy = _make(3)
  tf.config.run_functions_eagerly(True)
  try:
    numbers = played.run()
    assert tf.config.functions_run_eagerly()
  finally:
    tf.config.run_functions_eagerly(False)
  assert numbers == {'eval_return': -1.5, 'eval_length': 2.0}
  assert policy.traced < 6  # steps of three episodes


# Ends that do not come --------------------------------------------------------


class _Endless(_Script):
  """Pays 0.5 a step for ever, but in the episodes that end at a step."""

  def __init__(self, ends=None):
    super().__init__()
    self.ends, self.t, self.stop = ends or {}, 0, None

  def _reset(self):
    self.t = 0
    return super()._reset()

  def _step(self, action):
    self.t += 1
    if self.stop is not None and self.t == self.stop[0]:
      self.stop[1].requested = True
    over = self.t == self.ends.get(self.started)
    make = ts.termination if over else ts.transition
    return make(np.zeros(3, np.float32), np.float32(0.5))


def test_an_episode_without_an_end_is_cut_and_counted_so():
  played, script, _ = _make(2, script=_Endless(), most_steps=37)
  numbers = played.run()
  assert numbers == {'eval_return': 18.5, 'eval_length': 37, 'eval_cut': 2}
  assert script.started == 2 and script.t == 37
  assert 'train.eval_steps' in evaluation.cut_episodes(numbers, 2, 7)


def test_an_episode_that_ends_at_the_bound_is_not_cut():
  played, _, _ = _make(2, script=_Endless({1: 37, 2: 36}), most_steps=37)
  numbers = played.run()
  assert numbers == {'eval_return': 18.25, 'eval_length': 36.5}
  assert evaluation.cut_episodes(numbers, 2, 7) == ''


def test_cut_and_whole_episodes_are_averaged():
  played, _, _ = _make(3, script=_Endless({2: 7}), most_steps=10)
  assert played.run() == {
      'eval_return': 4.5, 'eval_length': 9, 'eval_cut': 2}


def test_the_next_evaluation_begins_at_its_own_start():
  played, script, _ = _make(1, script=_Endless({3: 4}), most_steps=10)
  assert [played.run()['eval_length'] for _ in range(3)] == [10, 10, 4]


def test_a_signal_ends_an_evaluation_within_a_slice():
  script = _Endless()
  played, _, _ = _make(1, script=script, most_steps=10**9)
  with interrupt.Interrupt() as stop:
    script.stop = (200, stop)
    assert played.run(stop) is None
  assert 200 <= script.t <= 1000 * 4  # slices grow to a thousand steps


def test_an_evaluation_is_the_same_however_it_is_sliced(monkeypatch):
  whole = _make(4)[0].run()
  monkeypatch.setattr('dreamerv2_tfa.training.pace._SECONDS', 0.0)
  assert _make(4)[0].run() == whole  # a step at a time
