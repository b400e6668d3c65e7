"""Tests of the random policy of prefill: uniform, and the same when resumed."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.experience import random_policy

_SEEN = ts.restart(tf.zeros([2000, 3]), 2000)


def _spec(shape, dtype, low, high):
  return tensor_spec.BoundedTensorSpec(shape, dtype, low, high)


def _policy(spec, seed=0):
  return random_policy.RandomPolicy(
      ts.time_step_spec(tf.TensorSpec([3], tf.float32)), spec, seed=seed)


def _draw(policy):
  return policy.action(_SEEN).action.numpy()


@pytest.mark.parametrize('low, high', [(0, 1), (2, 6), (-3, 0)])
def test_every_integer_is_drawn_about_as_often(low, high):
  actions = _draw(_policy(_spec([], tf.int32, low, high)))
  values, counts = np.unique(actions, return_counts=True)
  assert values.tolist() == list(range(low, high + 1))
  expected = len(actions) / len(values)
  assert np.abs(counts - expected).max() < 5 * expected**0.5


def test_integers_of_several_bounds_keep_to_their_own():
  actions = _draw(_policy(_spec([3], tf.int64, [0, 1, 5], [1, 1, 7])))
  assert actions.shape == (2000, 3)
  assert [set(x) for x in actions.T] == [{0, 1}, {1}, {5, 6, 7}]


def test_a_box_is_filled_evenly():
  actions = _draw(_policy(_spec([2], tf.float32, [-2.0, 0.0], [2.0, 0.5])))
  low, high = np.array([-2.0, 0.0]), np.array([2.0, 0.5])
  assert (actions >= low).all() and (actions <= high).all()
  place = (actions - low) / (high - low)
  assert np.abs(np.quantile(place, [0.1, 0.5, 0.9], axis=0)
                - np.array([[0.1], [0.5], [0.9]])).max() < 0.06


def test_a_restored_generator_draws_what_would_have_come():
  spec = _spec([], tf.int32, 0, 5)
  one, other = _policy(spec), _policy(spec)
  _draw(one)
  other.generator.reset(one.generator.state)
  assert np.array_equal(_draw(one), _draw(other))
  assert not np.array_equal(_draw(_policy(spec)), _draw(_policy(spec, seed=1)))


def test_actions_are_not_drawn_from_the_numbers_of_the_environment():
  ours = _policy(_spec([], tf.int32, 0, 9)).generator
  its = tf.random.Generator.from_key_counter(0, [0, 0], 'philox')
  both = [x.uniform([1000], dtype=tf.float64).numpy() for x in (ours, its)]
  assert abs(np.corrcoef(*both)[0, 1]) < 0.15
