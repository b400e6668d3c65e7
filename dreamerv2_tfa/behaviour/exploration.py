"""Behaviours that explore: their own actor-critic, on an intrinsic reward."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dreamerv2_tfa import distributions
from dreamerv2_tfa import replicas
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.behaviour import actor_critic
from dreamerv2_tfa.behaviour import explorers
from dreamerv2_tfa.world_model import world_model as world_model_lib

# What may collect: the task's own actor, a random one, or an explorer's.
BEHAVIOURS = ('greedy', 'random', *explorers.EXPLORERS)


class Exploration(tf.Module):
  """A behaviour that learns to explore: what it predicts, and how it acts."""

  def __init__(
      self, behaviour: str, world_model: world_model_lib.WorldModel,
      actions: specs.Actions,
      make_optimizers: Callable[..., tuple[Any, ...]],
  ):
    """Builds explorer, actor-critic and optimizers.

    Args:
      behaviour: One of `explorers.EXPLORERS`.
      world_model: `WorldModel`.
      actions: `specs.Actions`.
      make_optimizers: Function of the explorer and the actor-critic to their
        optimizers: explorer, actor, critic.
    """
    super().__init__()
    self._world_model = world_model
    self.explorer = explorers.EXPLORERS[behaviour](world_model, actions.size)
    self.actor_critic = actor_critic.ActorCritic(
        world_model.rssm.feature_size, actions.size, actions.discrete
    )
    self._optimizers = make_optimizers(self.explorer, self.actor_critic)

  def update(
      self, model: types.ModelOutput, sequence: types.Sequence,
      weights: tf.Tensor, starts: types.Starts, seed: tf.Tensor,
      apply: tf.Tensor | bool = True, *, step: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """Trains the explorer, then the actor-critic on its reward.

    Args:
      model: Of the batch.
      sequence: `[B, T, ...]`.
      weights: float32 `[B]`.
      starts: `[N, ...]`.
      seed: int32 `[2]`.
      apply: bool scalar; where false, nothing changes.
      step: Scalar that schedules read, agent steps.

    Returns:
      Metrics, float32 scalars.
    """
    first, *others = self._optimizers
    with tf.GradientTape() as tape:
      loss = self.explorer.loss(model, sequence, weights)
    metrics = {'expl_expl_loss': loss, **first.minimize(tape, loss, apply)}

    magnitudes = []

    def reward(rollout):
      value, following = self.explorer.reward(self._world_model, rollout)
      magnitudes.extend(following)
      return value

    with tf.GradientTape(persistent=True) as tape:
      output = self.actor_critic.loss(
          self._world_model, starts, seed, step=step, reward=reward
      )
    both = output.actor_loss, output.critic_loss
    for optimizer, loss in zip(others, both, strict=True):
      metrics.update(optimizer.minimize(tape, loss, apply))
    self.actor_critic.end_update(output, apply)
    if apply is not False:
      for variable, value in zip(
          self.explorer.magnitudes, magnitudes, strict=True
      ):
        replicas.own(variable).assign(tf.where(apply, value, variable))
    return metrics | _prefixed(output.metrics)


def _prefixed(metrics):
  return {f'expl_{key}': value for key, value in metrics.items()}


def random_actor(
    action_size: int, discrete: bool,
) -> Callable[[tf.Tensor], distributions.Distribution]:
  """An actor that is uniformly random: function of features `[..., F]`."""
  def actor(feature):
    shape = tf.concat([tf.shape(feature)[:-1], [action_size]], 0)
    zeros = tf.ensure_shape(
        tf.zeros(shape), feature.shape[:-1].as_list() + [action_size]
    )
    if discrete:
      return distributions.one_hot(zeros)
    return distributions.uniform_box(zeros)

  return actor
