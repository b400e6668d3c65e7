"""Rollouts of a policy inside the world model."""

import tensorflow as tf

from dreamerv2_tfa import noise
from dreamerv2_tfa import types


def imagine(rssm, policy, start, *, horizon, seed):
  """Rolls a policy out under fixed world-model weights (paper, section 2.2).

    state    s_0 --> s_1 --> ... --> s_H      s_0 is the replayed state
    action   0   a_1     a_2    ...  a_H      a_{k+1} ~ policy(sg(feature_k))

  Args:
    rssm: `RSSM`.
    policy: Function from a feature `[N, F]` to a distribution over actions.
    start: `RSSMState` `[N, ...]`, posteriors of replayed rows.
    horizon: int H, steps.
    seed: int32 `[2]`.

  Returns:
    `Rollout`, time-major. Gradients flow from states to the actions that led
    into them, not from an action to the feature it was chosen in.
  """
  def step(prev, step_seed):
    action_seed, state_seed = tf.unstack(
        noise.split(step_seed, 2)
    )
    feature = tf.stop_gradient(rssm.feature(prev[0]))
    action = policy(feature).sample(seed=action_seed)
    return rssm.img_step(prev[0], action, state_seed), action

  first = policy(tf.stop_gradient(rssm.feature(start)))
  no_action = tf.zeros(first.batch_shape + first.event_shape)
  seeds = noise.split(seed, horizon)
  states, actions = tf.scan(step, seeds, (start, no_action))
  states, actions = tf.nest.map_structure(
      lambda head, tail: tf.concat([head[None], tail], 0),
      (start, no_action), (states, actions),
  )
  return types.Rollout(rssm.feature(states), actions, states)
