"""The hidden layer and the multilayer perceptron that every part is made of."""

import contextlib

import gin
import tensorflow as tf

from dreamerv2_tfa import checks

_NORMS = ('none', 'layer')


def check(owner, activation, norm):
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
    tf.keras.activations.get(activation)
  except (ValueError, TypeError) as error:
    known = [name for name in vars(tf.keras.activations) if name.islower()]
    raise checks.UserError(
        f'{owner}.activation must be the name of a Keras activation, such as '
        f"'elu'; got {activation!r}.{checks.did_you_mean(activation, known)}"
    ) from error


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
  checks.choice('norm', norm, _NORMS)
  if norm == 'none':
    return tf.identity
  layer = tf.keras.layers.LayerNormalization()
  layer.build(shape)
  return layer


class Dense(tf.keras.layers.Dense):
  """Keras' layer; in a loop it can use weights that were read before it."""

  held = None

  def call(self, inputs):
    if self.held is None:
      return super().call(inputs)
    kernel, bias = self.held
    return tf.nn.bias_add(tf.matmul(inputs, kernel), bias)

  def product(self, inputs, first):
    """`inputs` times as many rows of the kernel, from row `first` on."""
    kernel = read([self])[0][0] if self.held is None else self.held[0]
    return tf.matmul(inputs, kernel[first:first + inputs.shape[-1]])


def dense_layers(modules):
  """Every `Dense` in some `tf.Module`s: list."""
  return [
      part for module in modules for part in module.submodules
      if isinstance(part, Dense)
  ]


def read(dense):
  """Kernel and bias of each layer, in its compute dtype: list of pairs."""
  return [
      tuple(tf.cast(tf.convert_to_tensor(variable), layer.compute_dtype)
            for variable in (layer.kernel, layer.bias))
      for layer in dense
  ]


@contextlib.contextmanager
def holding(dense, weights):
  """Makes layers use these weights: read and cast once, not at every step."""
  for layer, pair in zip(dense, weights, strict=True):
    layer.__dict__['held'] = pair  # past Keras, which would track it
  try:
    yield
  finally:
    for layer in dense:
      del layer.__dict__['held']


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

  def project(self, inputs, first):
    """What the columns from `first` on add before the norm, and the bias.

    Dense layers only. `join` takes it: what the steps of a loop do not change
    is made before it, for all of them.
    """
    inputs = tf.convert_to_tensor(inputs)
    flat = tf.reshape(inputs, [-1, inputs.shape[-1]])
    total = self._layer.product(flat, first)
    total += tf.cast(self._layer.bias, inputs.dtype)
    return restore_prefix(total, inputs, 1)

  def join(self, inputs, projected):
    """The layer on `[inputs, more]`, where `project` made something of more."""
    total = self._layer.product(inputs, 0) + projected
    return self._activation(self._norm(total))


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
    check('MLP', activation, norm)
    sizes = [input_size] + [units] * (layers - 1)
    self._hidden = [
        Hidden(Dense(units), (None, size),
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
