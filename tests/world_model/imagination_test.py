"""Tests of imagined rollouts: what leads where, and what learns from it."""

import numpy as np
import pytest
import small
import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.world_model import imagination
from dreamerv2_tfa.world_model import rssm

tfd = tfp.distributions

A, H, N = small.A, small.H, 7
SEED = tf.constant([2, 9])


def make(**kwargs):
  with small.configured():
    model = rssm.RSSM(A, 10, **kwargs)
  small.randomise(model)
  return model


def make_start(model):
  """States that might be posteriors: one-hot latents, h in (-1, 1)."""
  rng = np.random.default_rng(0)
  zeros = model.initial(N)
  stoch = np.eye(4, dtype=np.float32)[rng.integers(0, 4, [N, 3])]
  return zeros._replace(
      stoch=tf.constant(stoch),
      deter=tf.constant(rng.uniform(-1, 1, [N, 8]), tf.float32),
      logits=tf.constant(rng.normal(size=[N, 3, 4]), tf.float32),
  )


class Linear:
  """A policy without noise: the action is a function of the feature."""

  def __init__(self, size):
    weights = np.random.default_rng(1).normal(size=[size, A])
    self.kernel = tf.Variable(weights, dtype=tf.float32)

  def __call__(self, feature):
    return tfd.Independent(
        tfd.Deterministic(tf.tanh(feature @ self.kernel)), 1
    )


def test_index_0_is_the_replayed_state_with_no_action():
  model = make()
  start = make_start(model)
  policy = Linear(model.feature_size)
  rollout = imagination.imagine(model, policy, start, horizon=H, seed=SEED)
  assert small.same([x[0] for x in rollout.state], list(start))
  np.testing.assert_array_equal(rollout.action[0], np.zeros([N, A]))


def test_a_rollout_has_the_horizon_and_one_more_state():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  assert rollout.feature.shape == (H + 1, N, model.feature_size)
  assert rollout.action.shape == (H + 1, N, A)
  assert {x.shape[:2] for x in rollout.state} == {(H + 1, N)}


def test_features_are_those_of_the_states():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  flat = np.reshape(rollout.state.stoch, [H + 1, N, 12])
  expected = np.concatenate([flat, rollout.state.deter], -1)
  np.testing.assert_array_equal(rollout.feature, expected)


def test_each_action_is_chosen_in_the_state_before_it():
  model = make()
  policy = Linear(model.feature_size)
  rollout = imagination.imagine(
      model, policy, make_start(model), horizon=H, seed=SEED
  )
  for k in range(H):
    chosen = np.tanh(rollout.feature[k].numpy() @ policy.kernel.numpy())
    np.testing.assert_allclose(rollout.action[k + 1], chosen, atol=1e-5)


def test_each_state_is_an_img_step_from_the_one_before_with_its_action():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  at = lambda k: tf.nest.map_structure(lambda x: x[k], rollout.state)
  for k in range(H):
    moved = model.img_step(at(k), rollout.action[k + 1], SEED, sample=False)
    np.testing.assert_allclose(at(k + 1).deter, moved.deter, atol=1e-5)
    np.testing.assert_allclose(at(k + 1).logits, moved.logits, atol=1e-5)


def test_imagined_latents_are_sampled_not_taken_at_their_mode():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  mode = tf.argmax(rollout.state.logits[1:], -1)
  drawn = tf.argmax(rollout.state.stoch[1:], -1)
  assert (mode != drawn).numpy().any()


def test_every_step_and_start_has_noise_of_its_own():
  model, many = make(), 200
  small.randomise(model, scale=0.0)  # nothing but noise tells states apart
  policy = lambda feature: tfd.Independent(
      tfd.OneHotCategorical(tf.zeros([many, A]), dtype=tf.float32), 0
  )
  rollout = imagination.imagine(
      model, policy, model.initial(many), horizon=H, seed=SEED
  )
  for drawn in (rollout.action[1:], rollout.state.stoch[1:, :, 0]):
    index = tf.argmax(drawn, -1).numpy()
    chance = 1.0 / drawn.shape[-1]
    for one, two in ((0, 1), (1, 2), (0, 2)):
      equal = (index[one] == index[two]).mean()
      assert abs(equal - chance) < 5 * np.sqrt(chance / many)


def test_the_same_seed_imagines_the_same_and_another_something_else():
  model = make()
  with small.configured():
    actor = heads.ActionHead(
        model.feature_size, A, kind='onehot', min_std=0.1
    )
  roll = lambda seed: tf.nest.flatten(imagination.imagine(
      model, actor, make_start(model), horizon=H, seed=seed
  ))
  assert small.same(roll(SEED), roll(SEED))
  assert not small.same(roll(SEED), roll(SEED + 1))


def test_states_pass_gradients_to_the_actions_that_led_into_them():
  model = make()
  policy = Linear(model.feature_size)
  with tf.GradientTape() as tape:
    rollout = imagination.imagine(
        model, policy, make_start(model), horizon=H, seed=SEED
    )
    last = tf.reduce_sum(rollout.state.deter[-1])
  assert np.abs(tape.gradient(last, policy.kernel)).max() > 0


@pytest.mark.parametrize('k', [2, 3])
def test_an_action_passes_no_gradient_to_the_state_it_was_chosen_in(k):
  """Only the policy's weights as used at step k move action k."""
  model = make()
  policy = Linear(model.feature_size)
  with tf.GradientTape() as tape:
    rollout = imagination.imagine(
        model, policy, make_start(model), horizon=H, seed=SEED
    )
    total = tf.reduce_sum(rollout.action[k])
  gradient = tape.gradient(total, policy.kernel)
  feature = rollout.feature[k - 1].numpy()
  slope = 1.0 - rollout.action[k].numpy() ** 2
  np.testing.assert_allclose(gradient, feature.T @ slope, atol=1e-4)


def test_an_ensemble_of_priors_can_be_imagined_in():
  model = make(ensemble=3)
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  assert all(np.isfinite(x).all() for x in rollout.state)
