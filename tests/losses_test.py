"""Tests of the losses: values by numpy, gradients by their shares."""

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import losses
from dreamerv2_tfa import types

B, T, S, C, D = 2, 3, 4, 5, 7


def random_logits(seed):
  random = np.random.default_rng(seed)
  return random.normal(size=(B, T, S, C)).astype(np.float32)


POSTERIOR, PRIOR = random_logits(1), random_logits(2)


def discrete(logits):
  return types.DiscreteState(
      tf.zeros([B, T, D]), tf.zeros([B, T, S, C]), tf.convert_to_tensor(logits))


def naive_kl(left, right):
  """KL of categoricals in nats, summed over the variables: `[B, T]`."""
  result = np.zeros((B, T))
  for b, t, s in np.ndindex(B, T, S):
    p = np.exp(left[b, t, s].astype(np.float64))
    q = np.exp(right[b, t, s].astype(np.float64))
    p, q = p / p.sum(), q / q.sum()
    result[b, t] += (p * np.log(p / q)).sum()
  return result


def loss_and_gradients(posterior=POSTERIOR, prior=PRIOR, **kwargs):
  """Returns the loss and its gradients to posterior and prior logits."""
  posterior, prior = map(tf.convert_to_tensor, (posterior, prior))
  with tf.GradientTape() as tape:
    tape.watch((posterior, prior))
    loss, _ = losses.kl_loss(discrete(posterior), discrete(prior), **kwargs)
  return loss.numpy(), [
      g.numpy() for g in tape.gradient(
          loss, (posterior, prior), unconnected_gradients='zero')]


def plain_gradients(left, right):
  """Gradients of the mean KL to both logits, by the softmax rule."""
  to_left, to_right = np.zeros_like(left), np.zeros_like(right)
  for index in np.ndindex(B, T, S):
    p, q = np.exp(left[index]), np.exp(right[index])
    p, q = p / p.sum(), q / q.sum()
    ratio = np.log(p / q)
    to_left[index] = p * (ratio - (p * ratio).sum()) / (B * T)
    to_right[index] = (q - p) / (B * T)
  return to_left, to_right


# KL balancing.


@pytest.mark.parametrize('balance', [0.0, 0.3, 0.5, 0.8, 1.0])
def test_the_value_is_the_mean_kl_whatever_the_balance(balance):
  loss, _ = loss_and_gradients(balance=balance, free_nats=0.0)
  np.testing.assert_allclose(
      loss, naive_kl(POSTERIOR, PRIOR).mean(), rtol=1e-5)


@pytest.mark.parametrize('forward', [False, True])
@pytest.mark.parametrize('balance', [0.5, 0.8])
def test_the_kl_of_each_state_is_returned_unclipped_and_unweighted(
    balance, forward):
  _, kl = losses.kl_loss(
      discrete(POSTERIOR), discrete(PRIOR), balance=balance, free_nats=100.0,
      forward=forward, weights=tf.constant([[3.0], [4.0]]))
  pair = (PRIOR, POSTERIOR) if forward else (POSTERIOR, PRIOR)
  np.testing.assert_allclose(kl, naive_kl(*pair), rtol=1e-5)


@pytest.mark.parametrize('balance', [0.0, 0.3, 0.8, 1.0])
def test_the_prior_gets_the_share_a_and_the_posterior_the_rest(balance):
  _, (to_posterior, to_prior) = loss_and_gradients(
      balance=balance, free_nats=0.0)
  plain_posterior, plain_prior = plain_gradients(POSTERIOR, PRIOR)
  np.testing.assert_allclose(to_prior, balance * plain_prior, atol=1e-6)
  np.testing.assert_allclose(
      to_posterior, (1 - balance) * plain_posterior, atol=1e-6)


def test_at_a_balance_of_one_half_both_get_the_whole_gradient():
  _, (to_posterior, to_prior) = loss_and_gradients(balance=0.5, free_nats=0.0)
  plain_posterior, plain_prior = plain_gradients(POSTERIOR, PRIOR)
  np.testing.assert_allclose(to_prior, plain_prior, atol=1e-6)
  np.testing.assert_allclose(to_posterior, plain_posterior, atol=1e-6)


def test_forward_swaps_the_roles_in_the_value():
  loss, _ = loss_and_gradients(balance=0.8, free_nats=0.0, forward=True)
  np.testing.assert_allclose(
      loss, naive_kl(PRIOR, POSTERIOR).mean(), rtol=1e-5)


def test_forward_leaves_the_prior_the_share_a():
  _, (to_posterior, to_prior) = loss_and_gradients(
      balance=0.8, free_nats=0.0, forward=True)
  plain_prior, plain_posterior = plain_gradients(PRIOR, POSTERIOR)
  np.testing.assert_allclose(to_prior, 0.8 * plain_prior, atol=1e-6)
  np.testing.assert_allclose(to_posterior, 0.2 * plain_posterior, atol=1e-6)


# Free nats between the smallest and the largest KL of a state.
KL = naive_kl(POSTERIOR, PRIOR)
MIDDLE = float(np.sort(KL.ravel())[2:4].mean())


@pytest.mark.parametrize('balance', [0.3, 0.8])
def test_a_mean_below_the_free_nats_costs_them_and_has_no_gradient(balance):
  loss, gradients = loss_and_gradients(
      balance=balance, free_nats=float(KL.mean()) + 0.1)
  np.testing.assert_allclose(loss, KL.mean() + 0.1, rtol=1e-5)
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


def test_a_mean_above_the_free_nats_does_not_feel_them():
  assert KL.min() < KL.mean() - 0.1   # else both kinds are the same
  free = loss_and_gradients(balance=0.8, free_nats=float(KL.mean()) - 0.1)
  plain = loss_and_gradients(balance=0.8, free_nats=0.0)
  tf.nest.map_structure(np.testing.assert_array_equal, free, plain)


def test_without_free_avg_each_state_is_clipped_before_the_mean():
  loss, _ = loss_and_gradients(balance=0.8, free_nats=MIDDLE, free_avg=False)
  np.testing.assert_allclose(loss, np.maximum(KL, MIDDLE).mean(), rtol=1e-5)


def test_without_free_avg_only_the_states_above_have_a_gradient():
  _, gradients = loss_and_gradients(
      balance=0.8, free_nats=MIDDLE, free_avg=False)
  for gradient in gradients:
    np.testing.assert_array_equal(
        np.abs(gradient).max((2, 3)) > 0, KL > MIDDLE)


@pytest.mark.parametrize('free_avg', [True, False])
def test_at_a_balance_of_one_half_each_state_is_clipped(free_avg):
  loss, _ = loss_and_gradients(
      balance=0.5, free_nats=MIDDLE, free_avg=free_avg)
  np.testing.assert_allclose(loss, np.maximum(KL, MIDDLE).mean(), rtol=1e-5)


@pytest.mark.parametrize('balance', [0.5, 0.8])
def test_weights_multiply_the_kl_of_their_sequence(balance):
  loss, _ = loss_and_gradients(
      balance=balance, free_nats=0.0, weights=tf.constant([[3.0], [0.5]]))
  by_hand = (3.0 * KL[0].sum() + 0.5 * KL[1].sum()) / (B * T)
  np.testing.assert_allclose(loss, by_hand, rtol=1e-5)


@pytest.mark.parametrize('balance', [0.5, 0.8])
def test_weights_multiply_a_state_after_it_is_clipped(balance):
  loss, _ = loss_and_gradients(
      balance=balance, free_nats=MIDDLE, free_avg=False,
      weights=tf.constant([[3.0], [0.5]]))
  clipped = np.maximum(KL, MIDDLE)
  by_hand = (3.0 * clipped[0].sum() + 0.5 * clipped[1].sum()) / (B * T)
  np.testing.assert_allclose(loss, by_hand, rtol=1e-5)


@pytest.mark.parametrize('balance', [0.5, 0.8])
def test_the_kl_of_gaussians_is_summed_over_the_variables(balance):
  random = np.random.default_rng(3)
  means = random.normal(size=(2, B, T, S)).astype(np.float32)
  stds = random.uniform(0.3, 2.0, (2, B, T, S)).astype(np.float32)
  state = lambda i: types.GaussianState(
      tf.zeros([B, T, D]), tf.zeros([B, T, S]), tf.constant(means[i]),
      tf.constant(stds[i]))
  loss, kl = losses.kl_loss(
      state(0), state(1), balance=balance, free_nats=0.0)
  by_hand = (
      np.log(stds[1] / stds[0])
      + (stds[0] ** 2 + (means[0] - means[1]) ** 2) / (2 * stds[1] ** 2) - 0.5
  ).sum(-1)
  np.testing.assert_allclose(kl, by_hand, rtol=1e-5)
  np.testing.assert_allclose(loss, by_hand.mean(), rtol=1e-5)


def test_a_half_precision_state_has_a_float32_loss():
  half = lambda logits: discrete(logits)._replace(
      deter=tf.zeros([B, T, D], tf.float16),
      stoch=tf.zeros([B, T, S, C], tf.float16))
  loss, kl = losses.kl_loss(
      half(POSTERIOR), half(PRIOR), balance=0.8, free_nats=0.0)
  assert loss.dtype == kl.dtype == tf.float32


# Means, actor, critic.


def test_weights_scale_the_mean_and_do_not_average():
  values = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
  np.testing.assert_allclose(losses.weighted_mean(values), 3.5)
  np.testing.assert_allclose(
      losses.weighted_mean(values, tf.constant([[2.0], [0.0]])), 2.0)


def test_the_actor_gains_weighted_objective_and_entropy_by_hand():
  loss = losses.actor_loss(
      tf.constant([[1.0, -2.0, 3.0], [0.5, 4.0, 0.0]]),
      tf.constant([[0.2, 0.4, 0.6], [1.0, 0.0, 2.0]]),
      tf.constant([[1.0, 1.0, 1.0], [0.5, 0.9, 0.0]]), entropy_scale=0.5)
  # 1.1 - 1.8 + 3.3 + 0.5 * 1.0 + 0.9 * 4.0 + 0 = 6.7, negated, over 6
  np.testing.assert_allclose(loss, -6.7 / 6, rtol=1e-6)


def test_the_critic_loses_the_weighted_log_prob_by_hand():
  loss = losses.critic_loss(
      tf.constant([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]),
      tf.constant([[1.0, 1.0, 0.5], [0.25, 0.2, 0.0]]))
  np.testing.assert_allclose(loss, (1 + 2 + 1.5 + 1 + 1) / 6, rtol=1e-6)
