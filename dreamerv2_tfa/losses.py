"""Losses of the world model, the actor and the critic: tensors in and out."""

import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa import distributions
from dreamerv2_tfa import replicas
from dreamerv2_tfa import types


def weighted_mean(
    values: tf.Tensor, weights: tf.Tensor | None = None,
) -> tf.Tensor:
  """Mean of `values * weights`: weights scale the loss, they do not average.

  Args:
    values: float32 tensor.
    weights: None, or float32 that broadcasts against `values`.

  Returns:
    float32 scalar.
  """
  return tf.reduce_mean(values if weights is None else values * weights)


def kl_loss(
    posterior: types.RSSMState, prior: types.RSSMState, *, balance: float,
    free_nats: float, free_avg: bool = True, forward: bool = False,
    weights: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """KL balancing with free nats (DreamerV2 paper, algorithm 2).

    loss = a * max(mean KL(sg(post) || prior), free)
           + (1 - a) * max(mean KL(post || sg(prior)), free)

  The first term pulls the prior, the second the posterior. With a = 0.5 there
  is one KL with all its gradients, clipped elementwise, as in the published
  package.

  Args:
    posterior: `RSSMState` `[B, T, ...]`.
    prior: `RSSMState` `[B, T, ...]`.
    balance: float a in [0, 1].
    free_nats: Nats below which there is no gradient.
    free_avg: False clips each element before the mean.
    forward: True swaps the roles, to KL(prior || posterior).
    weights: None or float32 that broadcasts against `[B, T]`.

  Returns:
    The loss, a float32 scalar, and the KL in nats, float32 `[B, T]`.
  """
  sg = lambda state: tf.nest.map_structure(tf.stop_gradient, state)
  left, right = (prior, posterior) if forward else (posterior, prior)
  if balance == 0.5:
    value = _kl(left, right)
    return weighted_mean(tf.maximum(value, free_nats), weights), value
  to_left, to_right = _kl(left, sg(right)), _kl(sg(left), right)
  mix = balance if forward else 1.0 - balance
  loss = mix * _floored_mean(to_left, free_nats, free_avg, weights)
  loss += (1.0 - mix) * _floored_mean(to_right, free_nats, free_avg, weights)
  return loss, to_left


def _kl(left, right):
  return tfp.distributions.kl_divergence(
      distributions.latent(left), distributions.latent(right)
  )


def _floored_mean(value, free_nats, free_avg, weights):
  if free_avg:
    mean = replicas.mean(weighted_mean(value, weights))
    return tf.maximum(mean, free_nats)
  return weighted_mean(tf.maximum(value, free_nats), weights)


def actor_loss(
    objective: tf.Tensor, entropy: tf.Tensor, weights: tf.Tensor, *,
    entropy_scale: tf.Tensor | float,
) -> tf.Tensor:
  """Loss of the actor over imagined states (DreamerV2 paper, equation 6).

    loss = -mean_k,n weight_k * (objective_{k+1} + eta * entropy_k)

    state      s_0      s_1      ...  s_{H-2}     s_{H-1}  s_H
    action        a_1      a_2   ...       a_{H-1}
    entropy    e_0      e_1      ...  e_{H-2}
    objective  o_1      o_2      ...  o_{H-1}      of the state it leads into
    weight     w_0      w_1      ...  w_{H-2}

  The last action leads into the bootstrap state, which has no target.

  Args:
    objective: float32 `[H - 1, N]`, what action a_{k+1} is worth.
    entropy: float32 `[H - 1, N]`, nats, of the policy in state k.
    weights: float32 `[H - 1, N]`, of state k.
    entropy_scale: float scalar, eta.

  Returns:
    float32 scalar.
  """
  return -tf.reduce_mean(weights * (objective + entropy_scale * entropy))


def critic_loss(log_prob: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
  """Loss of the critic over imagined states (DreamerV2 paper, equation 5).

    loss = -mean_k,n weight_k * log N(target_k | critic(feature_k), 1)

  Args:
    log_prob: float32 `[H, N]`, of the target in state k.
    weights: float32 `[H, N]`, of state k.

  Returns:
    float32 scalar.
  """
  return -tf.reduce_mean(weights * log_prob)
