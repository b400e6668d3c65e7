"""Explorers: what they learn, and the intrinsic reward that follows.

Plan2Explore is of Sekar et al. 2020 (arXiv 2005.05960); all numbers and their
order are the published package's.
"""

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import losses
from dreamerv2_tfa import returns
from dreamerv2_tfa import scopes
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.world_model import world_model as world_model_lib

_TARGETS = ('stoch', 'deter', 'embed', 'feat')


@gin.configurable
class Plan2Explore(tf.Module):
  """Seeks states whose future an ensemble disagrees about.

    loss   = -sum_k mean log N(target_{t+offset} | head_k(feature_t, a_t), 1)
    reward = scale * mean_dim std_k head_k(feature, a)

  As in the published package, `a_t` is the action that led into row t.
  """

  def __init__(
      self, world_model: world_model_lib.WorldModel, action_size: int, *,
      members: int = 10, target: str = 'stoch', log: bool = False,
      offset: int = 1, action_conditioned: bool = True,
      intrinsic_scale: float = 1.0, extrinsic_scale: float = 0.0,
      reward_norm_momentum: float = 1.0, reward_norm_scale: float = 1.0,
      reward_norm_epsilon: float = 1e-8, learning_rate: float = 3e-4,
      name: str | None = None,
  ):
    """Builds the ensemble.

    Args:
      world_model: `WorldModel`.
      action_size: int A.
      members: Heads, at least 2.
      target: 'stoch', 'deter', 'embed' or 'feat', what they predict.
      log: The reward is the logarithm of the disagreement.
      offset: Rows from the feature to what is predicted from it.
      action_conditioned: The heads see the action too.
      intrinsic_scale: Of the disagreement, normalised.
      extrinsic_scale: Of the task's predicted reward, normalised.
      reward_norm_momentum: float in [0, 1]; 1 turns both normalisations off.
      reward_norm_scale: Magnitude of normalised rewards.
      reward_norm_epsilon: Added to the magnitude.
      learning_rate: Of the ensemble.
      name: Name of the module.

    Raises:
      ValueError: If a number or a name is out of its range.
    """
    super().__init__(name=name)
    members = checks.integer('Plan2Explore.members', members, 2)
    checks.choice('Plan2Explore.target', target, _TARGETS)
    reward_norm_momentum = checks.number(
        'Plan2Explore.reward_norm_momentum', reward_norm_momentum, 0, 1)
    checks.flag('Plan2Explore.log', log)
    checks.flag('Plan2Explore.action_conditioned', action_conditioned)
    self.learning_rate = checks.positive(
        'Plan2Explore.learning_rate', learning_rate)
    self._target = target
    self._log = log
    self._offset = checks.integer('Plan2Explore.offset', offset, 0)
    self._action_conditioned = action_conditioned
    self._scales = _scales('Plan2Explore', intrinsic_scale, extrinsic_scale)
    self._norm = dict(
        momentum=reward_norm_momentum,
        scale=checks.number(
            'Plan2Explore.reward_norm_scale', reward_norm_scale),
        epsilon=checks.number(
            'Plan2Explore.reward_norm_epsilon', reward_norm_epsilon))
    feature_size = world_model.rssm.feature_size
    deter = world_model.rssm.initial(1).deter.shape[-1]
    size = {
        'stoch': feature_size - deter, 'deter': deter, 'feat': feature_size,  # pyright: ignore[reportOperatorIssue]
        'embed': world_model.embed_size,
    }[target]
    inputs = feature_size + (action_size if action_conditioned else 0)
    with scopes.part('expl', layers.MLP):
      self._heads = [heads.VectorHead(inputs, size) for _ in range(members)]
    magnitude = lambda: tf.Variable(1.0, dtype=tf.float64, trainable=False)  # pyright: ignore[reportArgumentType]
    self.magnitudes = (magnitude(), magnitude())  # intrinsic, extrinsic

  def loss(
      self, model: types.ModelOutput, sequence: types.Sequence,
      weights: tf.Tensor,
  ) -> tf.Tensor:
    """Loss of the ensemble on replayed rows, float32 scalar.

    Args:
      model: Of the batch.
      sequence: `Sequence` `[B, T, ...]`.
      weights: float32 `[B]`.

    Raises:
      ValueError: If the rows are no more than the offset.
    """
    length = model.feature.shape[1]
    if length is not None and length <= self._offset:
      raise ValueError(
          f'Plan2Explore.offset is {self._offset} rows, and the sequences have '
          f'{length}; raise train.sequence_length.'
      )
    feature, deter = model.feature, model.posterior.deter
    target = {
        'stoch': feature[..., :feature.shape[-1] - deter.shape[-1]],  # pyright: ignore[reportArgumentType, reportOperatorIssue]
        'deter': deter, 'feat': feature, 'embed': model.embed,
    }[self._target]
    count = length - self._offset  # pyright: ignore[reportOptionalOperand]
    inputs = self._inputs(feature, sequence.prev_action)[:, :count]
    inputs = tf.stop_gradient(inputs)
    target = tf.stop_gradient(tf.cast(target[:, self._offset:], tf.float32))
    return tf.add_n([
        -losses.weighted_mean(head(inputs).log_prob(target), weights[:, None])
        for head in self._heads
    ])

  def reward(
      self, world_model: world_model_lib.WorldModel, rollout: types.Rollout,
  ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Reward of imagined states.

    Args:
      world_model: `WorldModel`.
      rollout: `Rollout`.

    Returns:
      float32 `[H + 1, N]`, and the next `magnitudes`; none is assigned.
    """
    inputs = self._inputs(rollout.feature, rollout.action)
    means = tf.stack([head(inputs).mode() for head in self._heads])
    disagreement = tf.reduce_mean(tf.math.reduce_std(means, 0), -1)
    if self._log:
      disagreement = tf.math.log(disagreement)
    intrinsic, extrinsic = self.magnitudes
    normed, intrinsic = returns.normalise(
        disagreement, intrinsic, **self._norm
    )
    reward = self._scales[0] * normed
    if self._scales[1]:
      normed, extrinsic = returns.normalise(
          world_model.reward(rollout.feature), extrinsic, **self._norm
      )
      reward += self._scales[1] * normed
    return reward, (intrinsic, extrinsic)

  def _inputs(self, feature, action):
    if not self._action_conditioned:
      return feature
    return tf.concat([feature, tf.cast(action, feature.dtype)], -1)


def _scales(owner, intrinsic, extrinsic):
  """The scales of both rewards, as floats of any sign."""
  return tuple(
      checks.number(f'{owner}.{name}_scale', value, float('-inf'))
      for name, value in (('intrinsic', intrinsic), ('extrinsic', extrinsic)))


@gin.configurable
class ModelLoss(tf.Module):
  """Seeks states where the world model is known to be poor.

    loss   = -mean log N(model loss_t | head(feature_t), 1)
    reward = scale * head(feature)
  """

  def __init__(
      self, world_model: world_model_lib.WorldModel, action_size: int, *,
      target: str = 'kl', intrinsic_scale: float = 1.0,
      extrinsic_scale: float = 0.0, learning_rate: float = 3e-4,
      name: str | None = None,
  ):
    """Builds the head.

    Args:
      world_model: `WorldModel`.
      action_size: int A; not read.
      target: 'kl', 'reward', 'discount' or the key of an observation: the
        model's loss that is predicted, a row at a time. An observation with
        such a name is 'observation/<key>', see `specs.metric_name`.
      intrinsic_scale: Of the predicted loss.
      extrinsic_scale: Of the task's predicted reward.
      learning_rate: Of the head.
      name: Name of the module.

    Raises:
      ValueError: If the world model has no such loss.
    """
    super().__init__(name=name)
    del action_size
    checks.choice('ModelLoss.target', target, world_model.loss_names)
    self.learning_rate = checks.positive(
        'ModelLoss.learning_rate', learning_rate)
    self._target = target
    self._scales = _scales('ModelLoss', intrinsic_scale, extrinsic_scale)
    with scopes.part('expl', layers.MLP):
      self._head = heads.RegressionHead(world_model.rssm.feature_size)
    self.magnitudes = ()

  def loss(
      self, model: types.ModelOutput, sequence: types.Sequence,
      weights: tf.Tensor,
  ) -> tf.Tensor:
    """Loss of the head; see `Plan2Explore.loss`."""
    del sequence
    target = tf.stop_gradient(model.losses[self._target])
    prediction = self._head(tf.stop_gradient(model.feature))
    return -losses.weighted_mean(
        prediction.log_prob(target), weights[:, None]
    )

  def reward(
      self, world_model: world_model_lib.WorldModel, rollout: types.Rollout,
  ) -> tuple[tf.Tensor, tuple[()]]:
    """Reward of imagined states; see `Plan2Explore.reward`."""
    reward = self._scales[0] * self._head(rollout.feature).mode()
    if self._scales[1]:
      reward += self._scales[1] * world_model.reward(rollout.feature)
    return reward, ()


# An explorer is one class, and one line here.
EXPLORERS = {'plan2explore': Plan2Explore, 'model_loss': ModelLoss}
