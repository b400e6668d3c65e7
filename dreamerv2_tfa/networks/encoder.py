"""Images and vectors of a nested observation to one embedding."""

from collections.abc import Collection
from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import scopes
from dreamerv2_tfa.networks import convolutions
from dreamerv2_tfa.networks import layers

IMAGE_SIZE = 64  # pixels a side: what four strided convolutions are made for


def select(
    observation_spec: dict[str, tf.TensorSpec], pattern: str,
    ranks: Collection[int], name: str = 'The pattern',
) -> list[str]:
  """Keys whose name matches and whose shape has one of the ranks.

  Args:
    observation_spec: Dict of `tf.TensorSpec` without batch axes.
    pattern: Regular expression, matched at the start of the key.
    ranks: Container of ints.
    name: Name of the setting that holds the pattern.

  Returns:
    List of keys, in the order of the observation.

  Raises:
    ValueError: If the pattern is no regular expression.
  """
  compiled = checks.pattern(name, pattern)
  return [
      key for key, spec in observation_spec.items()
      if compiled.match(key) and spec.shape.rank in ranks
  ]


def select_images(
    observation_spec: dict[str, tf.TensorSpec], pattern: str,
    owner: str = 'Encoder',
) -> list[str]:
  """Keys of images `[64, 64, channels]`; see `select`.

  Args:
    observation_spec: Dict of `tf.TensorSpec` without batch axes.
    pattern: Regular expression, matched at the start of the key.
    owner: Name of the class whose setting the pattern is.

  Raises:
    ValueError: If a selected image has another size.
  """
  keys = select(observation_spec, pattern, {3}, f'{owner}.image_keys')
  for key in keys:
    shape = tuple(observation_spec[key].shape)
    if shape[:2] != (IMAGE_SIZE, IMAGE_SIZE) or not shape[2]:
      raise ValueError(
          f'Images must have shape ({IMAGE_SIZE}, {IMAGE_SIZE}, channels); '
          f'the observation {key!r} has {shape}. Resize it in the environment,'
          ' or leave it out with Encoder.image_keys and Decoder.image_keys.'
      )
  return keys


def select_vectors(
    observation_spec: dict[str, tf.TensorSpec], pattern: str,
    owner: str = 'Encoder',
) -> list[str]:
  """Keys of vectors and scalars; see `select`."""
  return select(observation_spec, pattern, {0, 1}, f'{owner}.vector_keys')


def vector_size(spec: tf.TensorSpec) -> int:
  """Numbers in a vector or scalar: int, from its `tf.TensorSpec`."""
  return int(np.prod(spec.shape.as_list(), dtype=np.int64))  # pyright: ignore[reportArgumentType, reportCallIssue]


@gin.configurable
class Encoder(tf.Module):
  """Convolutions over images, an MLP over vectors, joined (paper, table D.1).

  Several images join on their channels, several vectors on their features, in
  the order of the observation.
  """

  def __init__(
      self, observation_spec: dict[str, tf.TensorSpec], *,
      image_keys: str = '.*', vector_keys: str = '.*', depth: int = 48,
      kernels: Sequence[int] = (4, 4, 4, 4), activation: str = 'elu',
      norm: str = 'none', name: str | None = None,
  ):
    """Builds the layers.

    Args:
      observation_spec: Dict of `tf.TensorSpec` without batch axes.
      image_keys: Regular expression of the images (rank 3) to read.
      vector_keys: Regular expression of the vectors (rank 0 or 1) to read.
      depth: Channels of the first convolution; doubles at each.
      kernels: Sizes of the kernels, pixels; every stride is 2.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer'.
      name: Name of the module.

    Raises:
      ValueError: If nothing is selected, or an image is not 64x64.
    """
    super().__init__(name=name)
    depth = checks.integer('Encoder.depth', depth)
    layers.check('Encoder', activation, norm)
    kernels = checks.several('Encoder.kernels', kernels)
    kernels = [checks.integer('Encoder.kernels', size) for size in kernels]
    self._image_keys = select_images(observation_spec, image_keys)
    self._vector_keys = select_vectors(observation_spec, vector_keys)
    self._scalar_keys = [
        key for key in self._vector_keys
        if observation_spec[key].shape.rank == 0
    ]
    if not self._image_keys and not self._vector_keys:
      shapes = {k: tuple(v.shape) for k, v in observation_spec.items()}
      raise ValueError(
          'The encoder has nothing to read. It takes images (64, 64, '
          f'channels) whose key matches {image_keys!r}, and vectors whose key '
          f'matches {vector_keys!r}; the observation has {shapes}. Widen '
          'Encoder.image_keys or Encoder.vector_keys, or change the shapes.'
      )
    self.output_size = 0
    self._convolutions = []
    if self._image_keys:
      channels = sum(observation_spec[k].shape[-1] for k in self._image_keys)  # pyright: ignore[reportArgumentType, reportCallIssue]
      shape = (None, IMAGE_SIZE, IMAGE_SIZE, channels)
      for i, kernel in enumerate(kernels):
        layer = convolutions.Convolution(depth * 2**i, kernel, 2)
        hidden = layers.Hidden(layer, shape, activation=activation, norm=norm)
        self._convolutions.append(hidden)
        shape = hidden.output_shape
      self.output_size += int(np.prod(shape[1:]))
    if self._vector_keys:
      size = sum(vector_size(observation_spec[k]) for k in self._vector_keys)
      with scopes.part('vectors/encoder', layers.MLP):
        self._mlp = layers.MLP(size)
      self.output_size += self._mlp.output_size

  @property
  def image_keys(self) -> tuple[str, ...]:
    """Keys of the observation that the convolutions read."""
    return tuple(self._image_keys)

  @property
  def vector_keys(self) -> tuple[str, ...]:
    """Keys of the observation that the MLP reads."""
    return tuple(self._vector_keys)

  def __call__(self, observation: dict[str, tf.Tensor]) -> tf.Tensor:
    """Embeds observations.

    Args:
      observation: Dict of float `[..., H, W, channels]` images in [-0.5, 0.5]
        and float `[..., n]` vectors or `[...]` scalars, all with one prefix.

    Returns:
      `[..., E]`, compute dtype.
    """
    parts = []
    if self._image_keys:
      images = [observation[key] for key in self._image_keys]
      images = tf.concat(images, -1)
      x = tf.reshape(images, [-1] + images.shape[-3:].as_list())
      for convolution in self._convolutions:
        x = convolution(x)
      x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])  # pyright: ignore[reportArgumentType, reportCallIssue]
      parts.append(layers.restore_prefix(x, images, 3))
    if self._vector_keys:
      vectors = [
          observation[key][..., None] if key in self._scalar_keys  # pyright: ignore[reportArgumentType]
          else observation[key] for key in self._vector_keys
      ]
      parts.append(self._mlp(tf.concat(vectors, -1)))
    return tf.concat(parts, -1)
