"""Tests of one environment in this process: restarts, ends, its own errors."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import watched

FIRST, MID, LAST = ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST
_WORN_OUT = KeyError('worn out')


class Fragile(py_environment.PyEnvironment):
  """Ends at its third step; action 1 raises what it was told to."""

  def __init__(self, seed, error=_WORN_OUT):
    super().__init__(handle_auto_reset=True)
    self.seed, self.error, self.closes, self._t = seed, error, 0, 0

  def observation_spec(self):
    return array_spec.ArraySpec((), np.float32)

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 1)

  def _reset(self):
    self._t = 0
    return ts.restart(np.float32(0))

  def _step(self, action):
    if action == 1:
      raise self.error
    self._t += 1
    make = ts.termination if self._t == 3 else ts.transition
    return make(np.float32(self._t), np.float32(1))

  def close(self):
    self.closes += 1


@pytest.fixture
def made():
  """Every environment that was made, and a function that makes more."""
  all_of_them = []

  def construct(seed):
    all_of_them.append(Fragile(seed))
    return all_of_them[-1]

  environment = watched.Watched(construct(7), construct, 7)
  return environment, all_of_them


def test_it_plays_as_what_is_inside(made, errors):
  environment, _ = made
  types = [environment.reset().step_type]
  types += [environment.step(0).step_type for _ in range(4)]
  assert types == [FIRST, MID, MID, LAST, FIRST] and errors == []


def test_a_failure_is_reported_and_the_next_step_is_first(made, errors):
  environment, inside = made
  environment.reset()
  environment.step(0)
  step = environment.step(1)
  assert step.step_type == FIRST and step.reward == 0 and step.discount == 1
  report, = errors
  assert ("failed (step(1) at step 2 of episode 1: KeyError: 'worn out')"
          in report)
  assert 'raise self.error' in report  # the traceback
  assert [env.closes for env in inside] == [1, 0]
  assert inside[1].seed != 7  # it would fail again
  assert environment.step(0).step_type == MID
  assert inside[1]._t == 1  # the new one is played


def test_the_third_failure_without_a_finished_episode_ends_it(made, errors):
  environment, inside = made
  environment.reset()
  environment.step(1)
  environment.step(1)
  with pytest.raises(
      faults.EnvironmentFailed, match="3 times .* KeyError: 'worn out'\nTrace"):
    environment.step(1)
  assert len(errors) == 2
  environment.close()
  assert [env.closes for env in inside] == [1, 1, 1]


def test_a_finished_episode_forgives_what_failed_before(made, errors):
  environment, _ = made
  environment.reset()
  for action in (1, 1, 0, 0, 0, 0, 1, 1):
    environment.step(action)
  assert len(errors) == 4


def test_what_a_check_of_ours_refuses_is_not_tried_again(made):
  environment, inside = made
  inside[0].error = checks.UserError('not in its space')
  environment.reset()
  with pytest.raises(checks.UserError, match='^not in its space$'):
    environment.step(1)
  assert len(inside) == 1


def test_it_may_be_told_to_end_at_the_first_failure():
  task = task_lib.from_constructor('fragile', 1, Fragile)
  environment = task.make(0)
  batch.end_at_first_failure(environment)
  environment.reset()
  with pytest.raises(faults.EnvironmentFailed, match=r'step\(1\) at step 1'):
    with faults.surfaced():
      environment.step(tf.constant([1]))


@pytest.mark.parametrize('num_environments', [1, 2])
@pytest.mark.parametrize('error', [
    TypeError('x'), ValueError('x'), OSError('x'), StopIteration('x'),
    NotImplementedError('x'), AssertionError()])
def test_tensorflow_hides_neither_the_error_nor_its_traceback(
    error, num_environments):
  environment = task_lib.from_constructor(
      'fragile', 1, lambda seed: Fragile(seed, error)).make(0, num_environments)
  batch.end_at_first_failure(environment)
  step = tf.function(environment.step, autograph=False)
  environment.reset()
  with pytest.raises(faults.EnvironmentFailed) as caught, faults.surfaced():
    step(tf.ones([num_environments], tf.int32))
  assert type(error).__name__ in caught.value.said
  assert 'raise self.error' in caught.value.trace
  batch.close(environment)


def test_tensorflow_hides_no_refusal():
  refused = checks.UserError('got this, wanted that')
  environment = task_lib.from_constructor(
      'fragile', 1, lambda seed: Fragile(seed, refused)).make(0)
  environment.reset()
  with pytest.raises(checks.UserError, match='got this'), faults.surfaced():
    environment.step(tf.constant([1]))


def test_an_error_of_tensorflow_stays_where_no_environment_failed():
  with pytest.raises(tf.errors.InvalidArgumentError), faults.surfaced():
    tf.reshape(tf.zeros([3]), [2])


def test_an_environment_that_cannot_be_made_says_so_with_its_traceback():
  def construct(seed):
    return {}[seed]

  with pytest.raises(
      faults.EnvironmentFailed, match='cannot be made: KeyError: 5\nTraceback'):
    task_lib.from_constructor('none', 1, construct).make(5)
