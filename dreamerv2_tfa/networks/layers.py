"""The hidden layer and the multilayer perceptron that every part is made of."""

import gin
import tensorflow as tf

from dreamerv2_tfa import checks


def make_norm(norm, shape):
  """Layer normalisation for inputs of `shape`, or nothing.

  Args:
    norm: 'none' or 'layer'; epsilon is Keras' 1e-3.
    shape: Input shape with None for the batch axis.

  Returns:
    A callable from a tensor to a tensor of the same shape.

  Raises:
    ValueError: If `norm` is another word.
  """
  checks.choice('norm', norm, ('none', 'layer'))
  if norm == 'none':
    return tf.identity
  layer = tf.keras.layers.LayerNormalization()
  layer.build(shape)
  return layer


class Hidden(tf.Module):
  """act(norm(layer(x))) for a dense or convolutional Keras layer."""

  def __init__(self, layer, input_shape, *, activation, norm, name=None):
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

  def __call__(self, inputs):
    return self._activation(self._norm(self._layer(inputs)))


@gin.configurable
class MLP(tf.Module):
  """Hidden layers of one width: `[..., I]` any float to `[..., units]`."""

  def __init__(
      self, input_size, *, layers=4, units=400, activation='elu', norm='none',
      name=None,
  ):
    """Builds the layers.

    Args:
      input_size: int, size I of the last axis.
      layers: int, number of hidden layers, at least 1.
      units: int, width of each.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer'.
      name: Name of the module.

    Raises:
      ValueError: If `layers` or `units` is not positive.
    """
    super().__init__(name=name)
    layers = checks.integer('MLP.layers', layers)
    units = checks.integer('MLP.units', units)
    sizes = [input_size] + [units] * (layers - 1)
    self._hidden = [
        Hidden(tf.keras.layers.Dense(units), (None, size),
               activation=activation, norm=norm)
        for size in sizes
    ]
    self.output_size = units

  def __call__(self, inputs):
    x = tf.reshape(inputs, [-1, inputs.shape[-1]])
    for hidden in self._hidden:
      x = hidden(x)
    return restore_prefix(x, inputs, 1)


def restore_prefix(flat, like, event_ndims):
  """Gives `flat` `[batch, ...]` the leading axes of `like`.

  Args:
    flat: Tensor whose first axis is the flattened prefix.
    like: Tensor `[prefix..., event...]`.
    event_ndims: int, number of event axes of `like`.

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
