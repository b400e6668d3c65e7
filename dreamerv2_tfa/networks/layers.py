"""The hidden layer and the multilayer perceptron that every part is made of."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import gin
import tensorflow as tf

from dreamerv2_tfa import checks

_NORMS = ('none', 'layer')
_EPSILON = 1e-3  # of layer normalisation, Keras' own


def check(owner: str, activation: str, norm: str) -> None:
  """Checks the settings of hidden layers.

  Args:
    owner: Name of the class whose settings they are, such as 'RSSM'.
    activation: Name of a Keras activation, such as 'elu'.
    norm: 'none' or 'layer'.

  Raises:
    UserError: If one of them is another word.
  """
  checks.choice(f'{owner}.norm', norm, _NORMS)
  try:
    if isinstance(activation, dict):  # from which Keras would make an object
      raise TypeError
    tf.keras.activations.get(activation)
  except (ValueError, TypeError) as error:
    known = [name for name in vars(tf.keras.activations) if name.islower()]
    raise checks.UserError(
        f'{owner}.activation must be the name of a Keras activation, such as '
        f"'elu'; got {activation!r}.{checks.did_you_mean(activation, known)}"
    ) from error


def make_norm(
    norm: str, shape: Sequence[int | None],
) -> tf.keras.layers.LayerNormalization | None:
  """Layer normalisation for inputs of `shape`, None on the batch axis.

  Raises:
    ValueError: If `norm` is neither 'none' nor 'layer'.
  """
  checks.choice('norm', norm, _NORMS)
  if norm == 'none':
    return None
  layer = tf.keras.layers.LayerNormalization(epsilon=_EPSILON)
  layer.build(shape)
  return layer


class Weights(NamedTuple):
  """Of one dense layer, read once and cast: an argument of a pure step."""

  kernel: tf.Tensor  # [I, O] compute dtype
  bias: tf.Tensor  # [O] compute dtype
  norm: tuple[tf.Tensor, ...]  # gain and offset, float32 [O]; or none


def read(
    layer: tf.keras.layers.Dense,
    norm: tf.keras.layers.LayerNormalization | None = None,
) -> Weights:
  """The weights of a layer, and of its norm, as they are now."""
  cast = lambda variable: tf.cast(
      tf.convert_to_tensor(variable), layer.compute_dtype
  )
  gains = () if norm is None else tuple(
      map(tf.convert_to_tensor, (norm.gamma, norm.beta))
  )
  return Weights(cast(layer.kernel), cast(layer.bias), gains)


def dense(weights: Weights, inputs: tf.Tensor) -> tf.Tensor:
  """`x W + b`, for `inputs` `[B, I]`: compute dtype `[B, O]`."""
  inputs = tf.cast(inputs, weights.kernel.dtype)
  return tf.nn.bias_add(tf.matmul(inputs, weights.kernel), weights.bias)


def layer_norm(
    inputs: tf.Tensor, gain: tf.Tensor, offset: tf.Tensor,
) -> tf.Tensor:
  """Layer normalisation of `[B, O]`, as Keras' layer computes it.

    gain * (x - mean) / sqrt(variance + 1e-3) + offset
  """
  shape = tf.shape(inputs)
  # Each row is a channel of this operation, which normalises over the rest.
  normalised, _, _ = tf.compat.v1.nn.fused_batch_norm(
      tf.reshape(inputs, [1, shape[0], shape[1], 1]),
      scale=tf.ones([shape[0]]), offset=tf.zeros([shape[0]]),
      epsilon=_EPSILON, data_format='NCHW',
  )
  normalised = tf.ensure_shape(
      tf.reshape(normalised, shape), inputs.shape
  )
  cast = lambda x: tf.cast(x, inputs.dtype)
  return normalised * cast(gain) + cast(offset)


class Hidden(tf.Module):
  """act(norm(layer(x))) for a dense or convolutional Keras layer."""

  def __init__(
      self, layer: Any, input_shape: Sequence[int | None], *,
      activation: str, norm: str, name: str | None = None,
  ):
    """Builds the layer's variables.

    Args:
      layer: Unbuilt Keras layer.
      input_shape: Shape of its input with None for the batch axis.
      activation: Name of a Keras activation, such as 'elu'.
      norm: 'none' or 'layer'; stands before the activation.
      name: Name of the module.
    """
    super().__init__(name=name)
    self._layer = layer
    self._layer.build(input_shape)
    self.output_shape = tuple(layer.compute_output_shape(input_shape))
    self._norm = make_norm(norm, self.output_shape)
    self._activation = tf.keras.activations.get(activation)

  def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
    """Any prefix for a convolution, `[B, I]` for a dense layer."""
    outputs = self._layer(inputs)
    if self._norm is not None:
      outputs = self._norm(outputs)
    return self._activation(outputs)

  def weights(self) -> Weights:
    """What `apply` reads. Dense layers only."""
    return read(self._layer, self._norm)

  def apply(self, weights: Weights, inputs: tf.Tensor) -> tf.Tensor:
    """The layer on `[B, I]`, as a pure function of its weights."""
    return self.finish(weights, dense(weights, inputs))

  def finish(self, weights: Weights, total: tf.Tensor) -> tf.Tensor:
    """act(norm(total)), where `x W + b` has been computed: `[B, O]`."""
    if weights.norm:
      total = layer_norm(total, *weights.norm)
    return self._activation(total)


@gin.configurable
class MLP(tf.Module):
  """Hidden layers of one width: `[..., I]` any float to `[..., units]`."""

  def __init__(
      self, input_size: int, *, layers: int = 4, units: int = 400,
      activation: str = 'elu', norm: str = 'none', name: str | None = None,
  ):
    """Builds the layers.

    Args:
      input_size: Size I of the last axis.
      layers: Number of hidden layers, at least 1.
      units: Width of each.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer'.
      name: Name of the module.

    Raises:
      ValueError: If `layers` or `units` is not positive.
    """
    super().__init__(name=name)
    layers = checks.integer('MLP.layers', layers)
    units = checks.integer('MLP.units', units)
    check('MLP', activation, norm)
    sizes = [input_size] + [units] * (layers - 1)
    self._hidden = [
        Hidden(tf.keras.layers.Dense(units), (None, size),
               activation=activation, norm=norm)
        for size in sizes
    ]
    self.output_size = units

  def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
    """`[..., I]` to `[..., units]`."""
    x = tf.reshape(inputs, [-1, inputs.shape[-1]])
    for hidden in self._hidden:
      x = hidden(x)
    return restore_prefix(x, inputs, 1)


def restore_prefix(
    flat: tf.Tensor, like: tf.Tensor, event_ndims: int,
) -> tf.Tensor:
  """Gives `flat` `[batch, ...]` the leading axes of `like`.

  Args:
    flat: Tensor whose first axis is the flattened prefix.
    like: Tensor `[prefix..., event...]`.
    event_ndims: Number of event axes of `like`.

  Returns:
    Tensor `[prefix..., ...]`; static sizes are kept where known.
  """
  dynamic = tf.shape(like)
  static = like.shape[:-event_ndims]
  prefix = [
      dynamic[i] if size is None else size
      for i, size in enumerate(static.as_list())
  ]
  return tf.reshape(flat, prefix + flat.shape[1:].as_list())
