"""Tests of `dm_env` environments: specs and values as they are."""

import dm_env
from dm_env import specs
import numpy as np
import pytest

from dreamerv2_tfa.environments import custom


class Script(dm_env.Environment):
  """Shows a choice and a number, and takes float64 actions up to 0.1."""

  def __init__(self, reward=1.0, choice=2):
    self._reward, self._choice, self.played = reward, choice, []

  def observation_spec(self):
    return {'choice': specs.DiscreteArray(4, dtype=np.int64, name='choice'),
            'place': specs.Array((2,), np.float64, name='place')}

  def action_spec(self):
    return specs.BoundedArray((2,), np.float64, -0.1, 0.1, name='action')

  def _see(self):
    return {'choice': self._choice, 'place': np.array([0.5, -0.25])}

  def reset(self):
    return dm_env.restart(self._see())

  def step(self, action):
    self.played.append(action)
    return dm_env.transition(self._reward, self._see())


def test_a_discrete_array_is_one_hot():
  observation = custom.as_environment(Script()).reset().observation
  np.testing.assert_array_equal(observation['choice'], [0, 0, 1, 0])
  np.testing.assert_array_equal(observation['place'], [0.5, -0.25])


def test_actions_never_leave_bounds_of_float64_by_rounding():
  script = Script()
  env = custom.as_environment(script)
  env.reset()
  for end in (env.action_spec().minimum, env.action_spec().maximum, 9.0):
    env.step(np.full((2,), end, np.float32))
  script.action_spec().validate(script.played[0])
  for action in script.played:
    assert action.dtype == np.float64
    assert (abs(action) <= 0.1).all() and (abs(action) > 0.0999).all()


@pytest.mark.parametrize('reward', [None, np.nan, 'one', [1.0, 2.0]])
def test_a_reward_that_is_missing_is_refused(reward):
  env = custom.as_environment(Script(reward))
  env.reset()
  with pytest.raises(ValueError, match='The reward must be'):
    env.step(np.zeros(2, np.float32))


def test_a_choice_out_of_range_is_refused():
  with pytest.raises(ValueError, match="'choice' is not in its space: .* 4"):
    custom.as_environment(Script(choice=4)).reset()
