"""Tests of lambda-returns and state weights: by hand, by a naive twin."""

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import returns

H, N = 4, 3


def random_rollout(seed=0):
  """Returns rewards, discount, values `[H, N]` and bootstrap `[N]`."""
  random = np.random.default_rng(seed)
  draw = lambda *shape: random.normal(size=shape).astype(np.float32)
  discount = random.uniform(0.1, 1.0, (H, N)).astype(np.float32)
  return draw(H, N), discount, draw(H, N), draw(N)


def naive_returns(rewards, discount, values, bootstrap, lambda_):
  """The recursion of the specification, one number at a time."""
  targets = np.zeros((H, N))
  for n in range(N):
    next_value = next_target = float(bootstrap[n])
    for k in range(H - 1, -1, -1):
      mixed = (1 - lambda_) * next_value + lambda_ * next_target
      targets[k, n] = rewards[k, n] + discount[k, n] * mixed
      next_value, next_target = float(values[k, n]), targets[k, n]
  return targets


def lambda_returns(rollout, lambda_):
  return returns.lambda_returns(
      *map(tf.convert_to_tensor, rollout), lambda_=lambda_)


def test_two_steps_by_hand():
  column = lambda *x: tf.constant([[y] for y in x])
  targets = returns.lambda_returns(
      column(1.0, 2.0), column(0.5, 0.9), column(100.0, 10.0),
      tf.constant([20.0]), lambda_=0.75)
  # target_1 = 2 + 0.9 * 20 = 20
  # target_0 = 1 + 0.5 * (0.25 * 10 + 0.75 * 20) = 9.75
  np.testing.assert_allclose(targets, [[9.75], [20.0]], rtol=1e-6)


@pytest.mark.parametrize('lambda_', [0.0, 0.4, 0.95, 1.0])
def test_returns_equal_the_recursion_written_as_loops(lambda_):
  rollout = random_rollout()
  np.testing.assert_allclose(
      lambda_returns(rollout, lambda_), naive_returns(*rollout, lambda_),
      rtol=1e-5, atol=1e-6)


def test_lambda_0_is_the_reward_and_the_next_value():
  rewards, discount, values, bootstrap = random_rollout()
  following = np.concatenate([values[1:], bootstrap[None]])
  np.testing.assert_allclose(
      lambda_returns((rewards, discount, values, bootstrap), 0.0),
      rewards + discount * following, rtol=1e-5)


def test_lambda_1_looks_at_no_value_but_the_last():
  rewards, discount, values, bootstrap = random_rollout()
  np.testing.assert_array_equal(
      lambda_returns((rewards, discount, values, bootstrap), 1.0),
      lambda_returns((rewards, discount, values + 7.0, bootstrap), 1.0))


def test_nothing_after_a_discount_of_0_counts():
  rewards, discount, values, bootstrap = random_rollout()
  discount[1, 2] = 0.0
  ended = lambda_returns((rewards, discount, values, bootstrap), 0.95).numpy()
  np.testing.assert_allclose(ended[1, 2], rewards[1, 2], rtol=1e-6)
  rewards[2:], values[2:], bootstrap[:] = 50.0, 60.0, 70.0
  changed = lambda_returns((rewards, discount, values, bootstrap), 0.95)
  np.testing.assert_array_equal(ended[:2, 2], changed[:2, 2])


def test_gradients_flow_to_every_input_as_finite_differences_say():
  rollout = [tf.convert_to_tensor(x) for x in random_rollout()]
  weights = np.random.default_rng(1).normal(size=(H, N))
  with tf.GradientTape() as tape:
    tape.watch(rollout)
    targets = returns.lambda_returns(*rollout, lambda_=0.6)
    loss = tf.reduce_sum(targets * weights.astype(np.float32))
  gradients = tape.gradient(loss, rollout)

  step = 1e-5
  for i, gradient in enumerate(gradients):
    numeric = np.zeros(gradient.shape)
    for index in np.ndindex(*gradient.shape):
      moved = []
      for sign in (1, -1):
        arrays = [x.numpy().astype(np.float64) for x in rollout]
        arrays[i][index] += sign * step
        moved.append((naive_returns(*arrays, 0.6) * weights).sum())
      numeric[index] = (moved[0] - moved[1]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('which', [1, 2])
def test_inputs_of_another_shape_are_refused(which):
  rollout = list(random_rollout())
  rollout[which] = rollout[which][1:]
  with pytest.raises(ValueError, match='must have one shape'):
    lambda_returns(rollout, 0.95)


def test_a_bootstrap_with_a_time_axis_is_refused():
  rewards, discount, values, bootstrap = random_rollout()
  with pytest.raises(ValueError, match='bootstrap must have shape'):
    lambda_returns((rewards, discount, values, bootstrap[None]), 0.95)


def test_a_state_weighs_the_product_of_the_discounts_before_it():
  discount = tf.constant([[0.5, 1.0], [0.8, 0.0], [0.1, 0.9]])
  np.testing.assert_allclose(
      returns.state_weights(discount),
      [[1.0, 1.0], [0.5, 1.0], [0.4, 0.0]], rtol=1e-6)


def test_weights_after_an_end_are_0_and_stay_finite_in_the_gradient():
  discount = tf.constant([[0.0], [0.0], [0.7]])
  with tf.GradientTape() as tape:
    tape.watch(discount)
    weights = returns.state_weights(discount)
  np.testing.assert_array_equal(weights, [[1.0], [0.0], [0.0]])
  assert np.isfinite(tape.gradient(weights, discount)).all()
