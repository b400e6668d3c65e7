"""Rollouts of a policy inside the world model."""

import tensorflow as tf

from dreamerv2_tfa import noise
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.world_model import rssm as rssm_lib


def imagine(
    rssm: rssm_lib.RSSM, actor: heads.ActionHead, start: types.RSSMState, *,
    horizon: int, seed: tf.Tensor, differentiable: bool = True,
) -> types.Rollout:
  """Rolls an actor out under fixed world-model weights (paper, section 2.2).

    state    s_0 --> s_1 --> ... --> s_H      s_0 is the replayed state
    action   0   a_1     a_2    ...  a_H      a_{k+1} ~ policy_k
    policy   p_0     p_1    ...  p_{H-1}      p_k = actor(sg(feature_k))

  Args:
    rssm: `RSSM`.
    actor: `ActionHead`.
    start: `RSSMState` `[N, ...]`, posteriors of replayed rows.
    horizon: int H, steps.
    seed: int32 `[2]`.
    differentiable: False stops gradients at each action, which cuts
      the states off from what led to them. The policies keep theirs.

  Returns:
    `Rollout`, time-major. Gradients flow from states to the actions that led
    into them, not from an action to the feature it was chosen in.
  """
  def step(k, state, feature, written):
    action_seed, state_seed = tf.unstack(noise.split(seeds[k], 2))
    policy = actor.parameters(tf.stop_gradient(feature))
    action = actor.distribution(policy).sample(seed=action_seed)
    state = rssm.img_step(state, action, state_seed, weights=weights)
    feature = rssm.feature(state)
    policy = policy if differentiable else ()
    places = types.Rollout(k + 1, k + 1, tuple(k for _ in policy))
    values = types.Rollout(feature, action, policy)
    written = tf.nest.map_structure(
        lambda array, place, value: array.write(place, value),
        written, places, values,
    )
    return k + 1, state, feature, written

  weights = rssm.weights()  # once, not at every step
  seeds = noise.split(seed, horizon)
  feature = rssm.feature(start)
  written = _arrays(actor, feature, horizon, differentiable)
  *_, written = tf.while_loop(
      lambda k, *unused: k < horizon, step,
      (tf.constant(0), start, feature, written), maximum_iterations=horizon,
  )
  rollout = tf.nest.map_structure(lambda array: array.stack(), written)
  if differentiable:
    return rollout
  # Policies once more, of all steps in one call: so the loop has no gradient,
  # and the actor's is one product a weight.
  rollout = tf.nest.map_structure(tf.stop_gradient, rollout)
  return rollout._replace(policy=actor.parameters(rollout.feature[:-1]))


def _arrays(actor, feature, horizon, with_policy):
  """Room for a `Rollout`; what there is at index 0 is in it."""
  policy = actor.parameters(tf.stop_gradient(feature))
  no_action = tf.zeros_like(policy[0])
  room = lambda x, length: tf.TensorArray(
      x.dtype, length, element_shape=x.shape, clear_after_read=False
  )
  return types.Rollout(
      room(feature, horizon + 1).write(0, feature),
      room(no_action, horizon + 1).write(0, no_action),
      tuple(room(x, horizon) for x in policy) if with_policy else (),
  )


def rollout_actions(
    rssm: rssm_lib.RSSM, start: types.RSSMState, actions: tf.Tensor, *,
    seed: tf.Tensor, sample: bool = True,
) -> types.RSSMState:
  """Rolls given actions out: what would follow from them (open loop).

    state    s_0 --> s_1 --> ... --> s_H      s_0 is `start`, not returned
    action        a_1     a_2    ...  a_H

  Args:
    rssm: `RSSM`.
    start: `RSSMState` `[N, ...]`.
    actions: float32 `[H, N, A]`, as the model sees them: one-hot, or scaled
      to [-1, 1].
    seed: int32 `[2]`.
    sample: False takes the mode of each prior.

  Returns:
    `RSSMState` `[H, N, ...]`, s_1 to s_H.
  """
  length = actions.shape[0] or tf.shape(actions)[0]
  weights = rssm.weights()
  return tf.scan(
      lambda state, x: rssm.img_step(
          state, *x, sample=sample, weights=weights
      ),
      (actions, noise.split(seed, length)), start,
  )
