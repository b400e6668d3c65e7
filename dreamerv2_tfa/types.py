"""Data that crosses module borders.

Letters in shapes: `B` sequences, `T` steps, `N = B * T` starts of imagination,
`H` horizon, `A` action size, `E` embedding size, `D` deterministic units, `S`
stochastic variables, `C` classes of each, `F` feature size.
"""

from typing import NamedTuple

import tensorflow as tf


class DiscreteState(NamedTuple):
  """Belief s_t = (h_t, z_t), categorical z_t; `...` is any prefix of axes."""

  deter: tf.Tensor  # [..., D] compute dtype, h_t
  stoch: tf.Tensor  # [..., S, C] compute dtype, one-hot sample z_t
  logits: tf.Tensor  # [..., S, C] float32, of the distribution z_t came from


class GaussianState(NamedTuple):
  """Belief s_t = (h_t, z_t), Gaussian z_t; `...` is any prefix of axes."""

  deter: tf.Tensor  # [..., D] compute dtype, h_t
  stoch: tf.Tensor  # [..., S] compute dtype, sample z_t
  mean: tf.Tensor  # [..., S] float32, of the distribution z_t came from
  std: tf.Tensor  # [..., S] float32, likewise; positive


RSSMState = DiscreteState | GaussianState


class Sequence(NamedTuple):
  """What the world model reads: each row holds what arrived together."""

  observation: dict[str, tf.Tensor]  # [B, T, ...] as the environment gave it
  prev_action: tf.Tensor  # [B, T, A] float32, one-hot or in [-1, 1]
  reward: tf.Tensor  # [B, T] float32, raw, that led into the observation
  continue_: tf.Tensor  # [B, T] float32; 0 where the environment terminated
  is_first: tf.Tensor  # [B, T] bool; the past is forgotten before this row


class ModelOutput(NamedTuple):
  """What the world model makes of one batch of sequences."""

  loss: tf.Tensor  # [] float32
  posterior: RSSMState  # [B, T, ...]
  prior: RSSMState  # [B, T, ...], its `stoch` is the posterior's
  embed: tf.Tensor  # [B, T, E] compute dtype
  feature: tf.Tensor  # [B, T, F] compute dtype
  # [B, T] float32 each: 'kl' in nats; -log p of the heads 'reward', 'discount'
  # and of observations by `specs.metric_name` of their key.
  losses: dict[str, tf.Tensor]
  metrics: dict[str, tf.Tensor]  # [] float32 each


class Starts(NamedTuple):
  """Where imagination starts: in replayed posteriors, gradients stopped."""

  state: RSSMState  # [N, ...]
  discount: tf.Tensor  # [N] float32: gamma, or 0 where the episode terminated
  weights: tf.Tensor | None = None  # [N] float32, of each start's losses


class Rollout(NamedTuple):
  """An imagined trajectory, time-major; index 0 is the replayed state."""

  feature: tf.Tensor  # [H + 1, N, F] compute dtype, of each state
  action: tf.Tensor  # [H + 1, N, A] float32, that led into the state; 0 at 0
  policy: tuple[tf.Tensor, ...]  # [H, N, A] float32, what `ActionHead`
  # makes of the state: parameters of the distribution the next action is from


class Foresight(NamedTuple):
  """What the heads predict; `...` is any prefix of axes."""

  observation: tf.Tensor  # nest of [..., event], dtypes as the environment's
  reward: tf.Tensor  # [...] float32, mode, after the reward's transform
  continue_: tf.Tensor  # [...] float32 in [0, 1], continue probability


class BehaviourOutput(NamedTuple):
  """What the actor-critic makes of one imagined batch."""

  actor_loss: tf.Tensor  # [] float32
  critic_loss: tf.Tensor  # [] float32
  reward_magnitude: tf.Tensor  # [] float64, next state of the normalisation
  metrics: dict[str, tf.Tensor]  # [] float32 each
