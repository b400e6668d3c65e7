"""Tests of what `reset` and `step` of a Gym environment may return."""

import gymnasium
import numpy as np
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import gym

_SHOWN = np.zeros(2, np.float32)


class Told(gymnasium.Env):
  """Returns what it is told."""

  observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, step=None, start=(_SHOWN, {})):
    self._step, self._start = step, start

  def reset(self, *, seed=None, options=None):
    return self._start

  def step(self, action):
    return self._step


def _played(step):
  environment = gym.GymEnvironment(Told(step))
  environment.reset()
  return environment.step(np.int32(0))


@pytest.mark.parametrize('start', [
    _SHOWN, (_SHOWN, {}), (_SHOWN, {'a': 1}), (_SHOWN, None)], ids=str)
def test_a_reset_may_have_an_info_or_none(start):
  step = gym.GymEnvironment(Told(start=start)).reset()
  np.testing.assert_array_equal(step.observation, _SHOWN)


@pytest.mark.parametrize('step, last, discount', [
    ((_SHOWN, 1.0, False, None), False, 1),
    ((_SHOWN, 1.0, True, None), True, 0),
    ([_SHOWN, 1.0, True, False, None], True, 0),
    ((_SHOWN, 1.0, True, {'TimeLimit.truncated': True}), True, 1),
    ((_SHOWN, 1.0, np.True_, {}), True, 0)], ids=str)
def test_a_step_may_be_of_either_form_without_an_info(step, last, discount):
  step = _played(step)
  assert (step.is_last(), step.discount) == (last, discount)


@pytest.mark.parametrize('step, when', [
    ((None, 1.0, True, False, {}), 'a last step'),
    ((None, 1.0, False, True, {}), 'a last step'),
    ((None, 1.0, True, {}), 'a last step'), ((None, 1.0, False, {}), 'a step')])
def test_no_observation_is_refused_at_an_end_too(step, when):
  with pytest.raises(checks.UserError, match=f'None as .* of {when}; wanted'):
    _played(step)


@pytest.mark.parametrize('start', [None, (None, {})])
def test_a_reset_without_an_observation_is_refused(start):
  with pytest.raises(checks.UserError, match='observation of a reset'):
    gym.GymEnvironment(Told(start=start)).reset()


@pytest.mark.parametrize('step', [None, _SHOWN, (_SHOWN, 1.0, False), 5])
def test_a_step_of_no_known_form_is_refused_with_both(step):
  with pytest.raises(
      checks.UserError, match='wanted observation, reward, term'):
    _played(step)


@pytest.mark.parametrize('flag', [
    'False', None, float('nan'), 2, np.array([False, True]), []])
@pytest.mark.parametrize('place', [2, 3])
def test_an_end_that_is_no_bool_is_refused(flag, place):
  result = [_SHOWN, 1.0, False, False, {}]
  result[place] = flag
  with pytest.raises(checks.UserError, match='terminated|truncated'):
    gym._read_step(tuple(result))
  with pytest.raises(checks.UserError, match='returned done = '):
    gym._read_step((_SHOWN, 1.0, flag, {}))


@pytest.mark.parametrize('flag', [True, np.True_, 1, np.int64(1), np.ones(1)>0])
def test_an_end_that_is_a_bool_of_any_kind_is_taken(flag):
  assert gym._read_step((_SHOWN, 1.0, flag, False, {}))[2] is True
