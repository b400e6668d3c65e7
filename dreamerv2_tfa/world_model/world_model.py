"""The world model: encoder, RSSM, heads, and the loss that trains them."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import distributions
from dreamerv2_tfa import losses
from dreamerv2_tfa import scopes
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import decoder
from dreamerv2_tfa.networks import encoder
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.world_model import rssm

_REWARD_TRANSFORMS = {'identity': tf.identity, 'sign': tf.sign, 'tanh': tf.tanh}
_HEADS = ('decoder', 'reward', 'discount')


@gin.configurable
class WorldModel(tf.Module):
  """Learns to predict observations, rewards and ends (paper, equation 2).

    loss = sum over heads of scale * mean(-log p(target | feature))
           + kl_scale * KL-balancing(posterior, prior)
  """

  def __init__(
      self, observation_spec: dict[str, tf.TensorSpec], action_size: int, *,
      discount: float = 0.99, kl_scale: float = 1.0, kl_balance: float = 0.8,
      free_nats: float = 0.0, free_avg: bool = True, kl_forward: bool = False,
      reward_scale: float = 1.0, continue_scale: float = 1.0,
      continue_head: bool = True, grad_heads: Sequence[str] = _HEADS,
      reward_transform: str = 'tanh', name: str | None = None,
  ):
    """Builds encoder, RSSM and heads.

    Args:
      observation_spec: Dict of `tf.TensorSpec` without batch axes.
      action_size: int A.
      discount: float gamma in [0, 1], of one agent step.
      kl_scale: Weight of the KL loss.
      kl_balance: float in [0, 1], share of the KL that trains the prior.
      free_nats: Nats of KL that cost nothing.
      free_avg: False applies the free nats to each element.
      kl_forward: True swaps posterior and prior in the KL.
      reward_scale: Weight of the reward head's loss.
      continue_scale: Weight of the continue head's loss.
      continue_head: False uses gamma everywhere.
      grad_heads: Names among 'decoder', 'reward', 'discount' whose loss trains
        the features too; the others read sg(feature).
      reward_transform: 'identity', 'sign' or 'tanh', before the reward head.
      name: Name of the module.

    Raises:
      ValueError: If a number or a name is out of its range.
    """
    super().__init__(name=name)
    scales = dict(kl_scale=kl_scale, reward_scale=reward_scale,
                  continue_scale=continue_scale, free_nats=free_nats)
    scales = {name: checks.number(f'WorldModel.{name}', value)
              for name, value in scales.items()}
    for key, value in dict(
        free_avg=free_avg, kl_forward=kl_forward, continue_head=continue_head
    ).items():
      checks.flag(f'WorldModel.{key}', value)
    _check(grad_heads, reward_transform)
    self._gamma = checks.number('DreamerV2Agent.discount', discount, 0, 1)
    self._kl: dict[str, Any] = dict(
        balance=checks.number('WorldModel.kl_balance', kl_balance, 0, 1),
        free_nats=scales['free_nats'], free_avg=free_avg, forward=kl_forward,
    )
    self._scales = {'kl': scales['kl_scale'], 'reward': scales['reward_scale'],
                    'discount': scales['continue_scale']}
    self._grad_heads = tuple(grad_heads)
    self._reward_transform = _REWARD_TRANSFORMS[reward_transform]
    self._encoder = encoder.Encoder(observation_spec)
    self.rssm = rssm.RSSM(action_size, self._encoder.output_size)
    feature_size = self.rssm.feature_size
    self._decoder = decoder.Decoder(feature_size, observation_spec)
    with scopes.part('reward', layers.MLP):
      self._reward_head = heads.RegressionHead(feature_size)
    self._continue_head = None
    if continue_head:
      with scopes.part('continue', layers.MLP):
        self._continue_head = heads.BernoulliHead(feature_size)

  @property
  def filter_variables(self) -> tuple[tf.Variable, ...]:
    """The variables that filtering an observation reads: encoder and RSSM."""
    return (*self._encoder.variables, *self.rssm.variables)

  def loss(
      self, sequence: types.Sequence, seed: tf.Tensor, *,
      weights: tf.Tensor | None = None,
  ) -> types.ModelOutput:
    """Loss of one batch; changes nothing.

    Args:
      sequence: `[B, T, ...]`.
      seed: int32 `[2]`.
      weights: None or float32 `[B]`, multiplies each sequence's loss.
    """
    weights = None if weights is None else weights[:, None]
    observation = preprocess(sequence.observation)
    embed = self._encoder(observation)
    posterior, prior = self.rssm.observe(
        embed, sequence.prev_action, sequence.is_first, seed
    )
    feature = self.rssm.feature(posterior)
    kl_loss, kl = losses.kl_loss(
        posterior, prior, weights=weights, **self._kl
    )
    terms, unreduced = {'kl': kl_loss}, {'kl': kl}
    targets = {specs.metric_name(k): x for k, x in observation.items()}
    targets.update(reward=self.transformed(sequence.reward),
                   discount=self._gamma * sequence.continue_)
    for name, prediction in self._predict(feature).items():
      log_prob = prediction.log_prob(tf.cast(targets[name], tf.float32))
      unreduced[name] = -log_prob
      terms[name] = losses.weighted_mean(-log_prob, weights)
    loss = tf.add_n([self._scales.get(k, 1.0) * v for k, v in terms.items()])
    metrics = {f'{key}_loss': value for key, value in terms.items()}
    metrics.update(
        model_loss=loss, model_kl=tf.reduce_mean(kl),
        prior_ent=tf.reduce_mean(distributions.latent(prior).entropy()),
        post_ent=tf.reduce_mean(distributions.latent(posterior).entropy()),
    )
    return types.ModelOutput(
        loss, posterior, prior, embed, feature, unreduced, metrics
    )

  def _predict(self, feature):
    def inputs(head):
      trains = head in self._grad_heads
      return feature if trains else tf.stop_gradient(feature)

    predictions = {
        specs.metric_name(key): prediction
        for key, prediction in self._decoder(inputs('decoder')).items()
    }
    predictions['reward'] = self._reward_head(inputs('reward'))
    if self._continue_head is not None:
      predictions['discount'] = self._continue_head(inputs('discount'))
    return predictions

  @property
  def embed_size(self) -> int:
    """Size E of an embedding: int."""
    return self._encoder.output_size

  @property
  def encoded_keys(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images and vectors that `embed` reads, each in the order in which they
    are joined: two tuples of str.
    """
    return self._encoder.image_keys, self._encoder.vector_keys

  @property
  def decoded_keys(self) -> tuple[str, ...]:
    """Parts of the observation that `decode` predicts: tuple of str."""
    return self._decoder.keys

  @property
  def loss_names(self) -> tuple[str, ...]:
    """Keys of `ModelOutput.losses`: tuple of str."""
    observations = map(specs.metric_name, self._decoder.keys)
    names = ('kl', *observations, 'reward')
    return names + (() if self._continue_head is None else ('discount',))

  def embed(self, observation: dict[str, tf.Tensor]) -> tf.Tensor:
    """Embeds raw observations `[..., event]`: compute dtype `[..., E]`."""
    return self._encoder(preprocess(observation))

  def decode(
      self, feature: tf.Tensor,
  ) -> dict[str, distributions.Distribution]:
    """Predicts observations; see `Decoder`."""
    return self._decoder(feature)

  def transformed(self, reward: tf.Tensor) -> tf.Tensor:
    """What the reward head learns of a raw reward: float32 `[...]`."""
    return self._reward_transform(reward)

  def reward(self, feature: tf.Tensor) -> tf.Tensor:
    """Predicted reward, after its transform: float32 `[...]`."""
    return self._reward_head(feature).mode()

  def discount(self, feature: tf.Tensor) -> tf.Tensor:
    """Predicted discount factor of a state: float32 `[...]` in [0, 1]."""
    if self._continue_head is None:
      return tf.fill(tf.shape(feature)[:-1], tf.constant(self._gamma))
    return self._continue_head(feature).mean()

  def continue_prob(self, feature: tf.Tensor) -> tf.Tensor:
    """Predicted chance that the episode continues: float32 `[...]` in [0, 1].

    It is `discount` without gamma.

    Raises:
      ValueError: If gamma is 0, which tells nothing of ends.
    """
    if not self._gamma:
      raise ValueError(
          'DreamerV2Agent.discount is 0, so the world model was never taught '
          'where episodes end; wanted more than 0.'
      )
    return tf.clip_by_value(self.discount(feature) / self._gamma, 0.0, 1.0)

  def rollout_discount(
      self, feature: tf.Tensor, first: tf.Tensor,
  ) -> tf.Tensor:
    """Discount factors of an imagined rollout: float32 `[H + 1, N]`.

    The first state is real, and so is its discount; the others are predicted.
    Without the continue head it is gamma everywhere.

    Args:
      feature: compute dtype `[H + 1, N, F]`.
      first: float32 `[N]`, gamma, or 0 where the environment terminated.
    """
    predicted = self.discount(feature)
    if self._continue_head is None:
      return predicted
    return tf.concat([first[None], predicted[1:]], 0)


def preprocess(observation: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Scales what the environment gave to what the networks read.

  Args:
    observation: Dict of tensors `[..., event]`: uint8 images in [0, 255], and
      numbers of any dtype.

  Returns:
    Dict of float32 tensors of the same shapes: uint8 images in [-0.5, 0.5]
    (`x / 255 - 0.5`), the rest unchanged. Layers cast to the compute dtype.
  """
  def scale(x):
    value = tf.cast(x, tf.float32)
    return value / 255.0 - 0.5 if x.dtype == tf.uint8 else value

  return {key: scale(x) for key, x in observation.items()}


def restore(value: tf.Tensor, spec: Any) -> tf.Tensor:
  """Undoes `preprocess` for one part of an observation.

  Args:
    value: float32 `[..., event]`, in the encoder's units.
    spec: Of the part, without leading axes.

  Returns:
    Tensor of the spec's dtype and within its bounds, rounded to integers
    where it wants them.
  """
  if spec.dtype == tf.uint8:
    value = (value + 0.5) * 255.0
  if hasattr(spec, 'minimum'):
    value = tf.clip_by_value(value, spec.minimum, spec.maximum)
  if spec.dtype.is_integer:
    value = tf.round(value)
  return tf.saturate_cast(value, spec.dtype)


def _check(grad_heads, reward_transform):
  for head in checks.several('WorldModel.grad_heads', grad_heads):
    checks.choice('Each of WorldModel.grad_heads', head, _HEADS)
  checks.choice(
      'WorldModel.reward_transform', reward_transform, _REWARD_TRANSFORMS
  )
