"""Heads: an MLP, a last layer, and a float32 distribution of what it means."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa import checks
from dreamerv2_tfa import distributions
from dreamerv2_tfa.networks import layers

tfd = tfp.distributions

_ACTION_KINDS = ('onehot', 'trunc_normal', 'normal', 'tanh_normal')


class Output(tf.Module):
  """A linear layer that ends in float32 `[..., event_shape]`."""

  def __init__(
      self, input_size: int, event_shape: Sequence[int] = (),
      name: str | None = None,
  ):
    super().__init__(name=name)
    self._event_shape = list(event_shape)
    size = 1
    for length in self._event_shape:
      size *= length
    self._dense = tf.keras.layers.Dense(size)
    self._dense.build((None, input_size))

  def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
    """`[..., I]` to float32 `[..., event_shape]`."""
    flat = self._dense(tf.reshape(inputs, [-1, inputs.shape[-1]]))
    flat = tf.reshape(tf.cast(flat, tf.float32), [-1] + self._event_shape)
    return layers.restore_prefix(flat, inputs, 1)


class RegressionHead(tf.Module):
  """Unit-variance Gaussian of a scalar: rewards and values."""

  def __init__(self, feature_size: int, name: str | None = None):
    super().__init__(name=name)
    self._mlp = layers.MLP(feature_size)
    self._output = Output(self._mlp.output_size)

  def __call__(self, feature: tf.Tensor) -> distributions.Distribution:
    """`feature` `[..., F]` to a distribution over float32 `[...]`."""
    return distributions.unit_normal(self._output(self._mlp(feature)), 0)


class VectorHead(tf.Module):
  """Unit-variance Gaussian of a vector: what an ensemble predicts."""

  def __init__(self, input_size: int, size: int, name: str | None = None):
    super().__init__(name=name)
    self._mlp = layers.MLP(input_size)
    self._output = Output(self._mlp.output_size, [size])

  def __call__(self, inputs: tf.Tensor) -> distributions.Distribution:
    """`inputs` `[..., I]` to a distribution over float32 `[..., size]`."""
    return distributions.unit_normal(self._output(self._mlp(inputs)), 1)


class BernoulliHead(tf.Module):
  """Probability of an event, such as that the episode continues."""

  def __init__(self, feature_size: int, name: str | None = None):
    super().__init__(name=name)
    self._mlp = layers.MLP(feature_size)
    self._output = Output(self._mlp.output_size)

  def __call__(self, feature: tf.Tensor) -> distributions.Distribution:
    """`feature` `[..., F]` to a distribution over soft labels `[...]`."""
    return distributions.bernoulli(self._output(self._mlp(feature)))


class ActionHead(tf.Module):
  """The actor: a distribution over actions `[A]`.

    onehot        one_hot(logits)
    trunc_normal  loc = tanh(raw), scale = 2 sigmoid(raw / 2) + min_std
    normal        loc = raw,       scale = softplus(raw) + min_std
    tanh_normal   loc = 5 tanh(raw / 5), scale = softplus(raw) + min_std
  """

  def __init__(
      self, feature_size: int, action_size: int, *, kind: str, min_std: float,
      name: str | None = None,
  ):
    """Builds the layers.

    Args:
      feature_size: int F.
      action_size: int A.
      kind: One of the four kinds above.
      min_std: Positive, smallest scale of the continuous kinds.
      name: Name of the module.

    Raises:
      ValueError: If `kind` is none of the four, or `min_std` is not positive.
    """
    super().__init__(name=name)
    checks.choice('ActorCritic.actor_distribution', kind, _ACTION_KINDS)
    self._kind = kind
    self._min_std = checks.positive('ActorCritic.actor_min_std', min_std)
    self._mlp = layers.MLP(feature_size)
    self._output = Output(self._mlp.output_size, [action_size])
    if kind != 'onehot':
      self._scale = Output(self._mlp.output_size, [action_size])

  def __call__(self, feature: tf.Tensor) -> distributions.Distribution:
    """`feature` `[..., F]` to a distribution over float32 `[..., A]`."""
    return self.distribution(self.parameters(feature))

  def parameters(self, feature: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """`[..., F]` to what `distribution` takes: a tuple of float32 `[..., A]`.

    Logits of the one-hot, or loc and scale.
    """
    hidden = self._mlp(feature)
    raw = self._output(hidden)
    if self._kind == 'onehot':
      return (raw,)
    scale = self._scale(hidden)
    if self._kind == 'trunc_normal':
      return tf.tanh(raw), 2.0 * tf.sigmoid(scale / 2.0) + self._min_std
    if self._kind == 'tanh_normal':
      raw = 5.0 * tf.tanh(raw / 5.0)
    return raw, tf.nn.softplus(scale) + self._min_std

  def distribution(
      self, parameters: tuple[tf.Tensor, ...],
  ) -> distributions.Distribution:
    """The distribution over float32 `[..., A]` with these parameters."""
    if self._kind == 'onehot':
      return distributions.one_hot(*parameters)
    if self._kind == 'trunc_normal':
      actions = distributions.TruncatedNormal(*parameters, -1.0, 1.0)
    elif self._kind == 'normal':
      actions = distributions.Normal(*parameters)
    else:
      actions = distributions.tanh_normal(*parameters)
    return tfd.Independent(actions, 1)
