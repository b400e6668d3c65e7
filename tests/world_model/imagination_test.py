"""Tests of imagined rollouts: what leads where, and what learns from it."""

import numpy as np
import pytest
import small
import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa import noise
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


def make_actor(model):
  with small.configured():
    return heads.ActionHead(
        model.feature_size, A, kind='onehot', min_std=0.1
    )


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


class Uniform:
  """A policy that is nothing but noise."""

  def parameters(self, feature):
    return (tf.zeros([feature.shape[0], A]),)

  def distribution(self, parameters):
    return tfd.OneHotCategorical(*parameters, dtype=tf.float32)


def parts(model, rollout):
  """One-hot latents `[H + 1, N, 3, 4]` and h of a rollout's features."""
  stoch, deter = tf.split(rollout.feature, [12, 8], -1)
  assert model.feature_size == 20
  return tf.reshape(stoch, stoch.shape[:2] + [3, 4]), deter


class Linear:
  """A policy without noise: the action is a function of the feature."""

  def __init__(self, size):
    weights = np.random.default_rng(1).normal(size=[size, A])
    self.kernel = tf.Variable(weights, dtype=tf.float32)

  def parameters(self, feature):
    return (tf.tanh(feature @ self.kernel),)

  def distribution(self, parameters):
    return tfd.Independent(tfd.Deterministic(*parameters), 1)


def test_index_0_is_the_replayed_state_with_no_action():
  model = make()
  start = make_start(model)
  policy = Linear(model.feature_size)
  rollout = imagination.imagine(model, policy, start, horizon=H, seed=SEED)
  np.testing.assert_array_equal(rollout.feature[0], model.feature(start))
  np.testing.assert_array_equal(rollout.action[0], np.zeros([N, A]))


def test_a_rollout_has_the_horizon_and_one_more_state():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  assert rollout.feature.shape == (H + 1, N, model.feature_size)
  assert rollout.action.shape == (H + 1, N, A)
  assert [x.shape for x in rollout.policy] == [(H, N, A)]


def test_the_policy_of_a_state_is_what_the_actor_makes_of_its_feature():
  model = make()
  policy = Linear(model.feature_size)
  rollout = imagination.imagine(
      model, policy, make_start(model), horizon=H, seed=SEED
  )
  expected = np.tanh(rollout.feature[:-1].numpy() @ policy.kernel.numpy())
  np.testing.assert_allclose(rollout.policy[0], expected, atol=1e-5)


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
  stoch, deter = parts(model, rollout)
  for k in range(H):
    state = model.initial(N)._replace(stoch=stoch[k], deter=deter[k])
    moved = model.img_step(state, rollout.action[k + 1], SEED)
    np.testing.assert_allclose(deter[k + 1], moved.deter, atol=1e-5)
    # What was drawn is possible: it has some probability.
    drawn = tf.reduce_sum(tf.nn.softmax(moved.logits) * stoch[k + 1], -1)
    assert (drawn.numpy() > 0).all()
    np.testing.assert_array_equal(tf.reduce_sum(stoch[k + 1], -1), 1.0)


def test_imagined_latents_are_sampled_not_taken_at_their_mode():
  model = make()
  rollout = imagination.imagine(
      model, Linear(model.feature_size), make_start(model), horizon=H,
      seed=SEED,
  )
  drawn, deter = parts(model, rollout)
  logits = tf.reshape(model._priors[0](deter), [H + 1, N, 3, 4])
  assert (tf.argmax(logits, -1) != tf.argmax(drawn, -1))[1:].numpy().any()


def test_every_step_and_start_has_noise_of_its_own():
  model, many = make(), 200
  small.randomise(model, scale=0.0)  # nothing but noise tells states apart
  rollout = imagination.imagine(
      model, Uniform(), model.initial(many), horizon=H, seed=SEED
  )
  stoch, _ = parts(model, rollout)
  for drawn in (rollout.action[1:], stoch[1:, :, 0]):
    index = tf.argmax(drawn, -1).numpy()
    chance = 1.0 / drawn.shape[-1]
    for one, two in ((0, 1), (1, 2), (0, 2)):
      equal = (index[one] == index[two]).mean()
      assert abs(equal - chance) < 5 * np.sqrt(chance / many)


def test_the_same_seed_imagines_the_same_and_another_something_else():
  model = make()
  actor = make_actor(model)
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
    last = tf.reduce_sum(parts(model, rollout)[1][-1])
  assert np.abs(tape.gradient(last, policy.kernel)).max() > 0


def test_where_it_is_not_differentiable_the_policies_alone_have_gradients():
  model = make()
  policy = Linear(model.feature_size)
  with tf.GradientTape(persistent=True) as tape:
    rollout = imagination.imagine(
        model, policy, make_start(model), horizon=H, seed=SEED,
        differentiable=False,
    )
    states = tf.reduce_sum(rollout.feature)
    actions = tf.reduce_sum(rollout.action)
    policies = tf.reduce_sum(rollout.policy[0])
  assert tape.gradient(states, policy.kernel) is None
  assert tape.gradient(actions, policy.kernel) is None
  assert not any(
      x is not None and np.any(x)
      for x in tape.gradient(policies, model.trainable_variables)
  )
  feature = tf.reshape(rollout.feature[:-1], [H * N, -1]).numpy()
  slope = np.reshape(1.0 - rollout.policy[0].numpy() ** 2, [H * N, A])
  np.testing.assert_allclose(
      tape.gradient(policies, policy.kernel), feature.T @ slope, rtol=1e-4,
      atol=1e-4,
  )


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
  assert np.isfinite(rollout.feature).all()


def given_actions():
  picked = np.random.default_rng(3).integers(0, A, [H, N])
  return tf.constant(np.eye(A, dtype=np.float32)[picked])


@pytest.mark.parametrize('sample', [True, False])
def test_given_actions_are_followed_one_after_the_other(sample):
  model, actions = make(), given_actions()
  state = make_start(model)
  states = imagination.rollout_actions(
      model, state, actions, seed=SEED, sample=sample)
  seeds = noise.split(SEED, H)
  for k in range(H):
    state = model.img_step(state, actions[k], seeds[k], sample=sample)
    for found, wanted in zip(
        tf.nest.flatten(states), tf.nest.flatten(state), strict=True):
      np.testing.assert_allclose(found[k], wanted, rtol=1e-5, atol=1e-6)


def test_following_works_for_a_number_of_steps_known_only_when_it_runs():
  model, start = make(), make_start(make())
  traced = tf.function(
      lambda actions: imagination.rollout_actions(
          model, start, actions, seed=SEED),
      input_signature=[tf.TensorSpec([None, N, A])])
  for length in (1, H):
    assert traced(given_actions()[:length]).deter.shape == [length, N, 8]


@pytest.mark.parametrize('differentiable, loops', [(False, 1), (True, 2)])
def test_a_rollout_without_gradient_has_no_loop_back(differentiable, loops):
  model = make()
  actor = make_actor(model)

  @tf.function(autograph=False)
  def slopes():
    with tf.GradientTape() as tape:
      rollout = imagination.imagine(
          model, actor, make_start(model), horizon=H, seed=SEED,
          differentiable=differentiable)
      loss = tf.reduce_sum(rollout.policy[0] ** 2) + tf.reduce_sum(
          rollout.feature)
    return tape.gradient(loss, actor.trainable_variables)

  kinds = [op.type for op in slopes.get_concrete_function().graph
           .get_operations()]
  assert len([x for x in kinds if 'While' in x]) == loops


def test_policies_are_the_same_with_gradient_and_without():
  model = make()
  actor = make_actor(model)
  one, other = (
      imagination.imagine(
          model, actor, make_start(model), horizon=H, seed=SEED,
          differentiable=differentiable)
      for differentiable in (False, True))
  for mine, its in zip(
      tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
    assert mine.shape == its.shape
    np.testing.assert_allclose(mine, its, atol=1e-5)
