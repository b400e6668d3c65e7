"""Features back to the images and vectors of an observation."""

from collections.abc import Sequence

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import distributions
from dreamerv2_tfa import scopes
from dreamerv2_tfa.networks import convolutions
from dreamerv2_tfa.networks import encoder
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.networks import layers


@gin.configurable
class Decoder(tf.Module):
  """Transposed convolutions for images, an MLP for vectors (paper, D.1).

  Each key is a unit-variance Gaussian. Images are born together, on the
  channels, and split in the order of the observation.
  """

  def __init__(
      self, feature_size: int, observation_spec: dict[str, tf.TensorSpec], *,
      image_keys: str = '.*', vector_keys: str = '.*', depth: int = 48,
      kernels: Sequence[int] = (5, 5, 6, 6), activation: str = 'elu',
      norm: str = 'none', name: str | None = None,
  ):
    """Builds the layers.

    Args:
      feature_size: int F.
      observation_spec: Dict of `tf.TensorSpec` without batch axes.
      image_keys: Regular expression of the images (rank 3) to predict.
      vector_keys: Regular expression of the vectors (rank 0 or 1) to predict.
      depth: Channels before the image; doubles towards the feature.
      kernels: Sizes of the kernels, pixels; every stride is 2.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer'; never on the image itself.
      name: Name of the module.

    Raises:
      ValueError: If nothing is selected, or the kernels make no 64x64 image.
    """
    super().__init__(name=name)
    depth = checks.integer('Decoder.depth', depth)
    layers.check('Decoder', activation, norm)
    kernels = checks.several('Decoder.kernels', kernels)
    kernels = [checks.integer('Decoder.kernels', size) for size in kernels]
    images = encoder.select_images(observation_spec, image_keys, 'Decoder')
    vectors = encoder.select_vectors(
        observation_spec, vector_keys, 'Decoder')
    if not images and not vectors:
      raise ValueError(
          'The decoder has nothing to predict: no key of the observation '
          f'{sorted(observation_spec)} matches Decoder.image_keys = '
          f'{image_keys!r} or Decoder.vector_keys = {vector_keys!r}.'
      )
    self._channels = {k: observation_spec[k].shape[-1] for k in images}
    if images:
      self._build_images(feature_size, depth, kernels, activation, norm)
    self._vectors = {}
    if vectors:
      with scopes.part('vectors/decoder', layers.MLP):
        self._mlp = layers.MLP(feature_size)
      self._vectors = {
          key: heads.Output(
              self._mlp.output_size, observation_spec[key].shape.as_list()  # pyright: ignore[reportArgumentType]
          )
          for key in vectors
      }

  @property
  def keys(self) -> tuple[str, ...]:
    """What is predicted, images first: tuple of str."""
    return (*self._channels, *self._vectors)

  def _build_images(self, feature_size, depth, kernels, activation, norm):
    self._start = tf.keras.layers.Dense(32 * depth)
    self._start.build((None, feature_size))
    shape = (None, 1, 1, 32 * depth)
    self._convolutions = []
    for i, kernel in enumerate(kernels[:-1]):
      channels = depth * 2 ** (len(kernels) - i - 2)
      layer = convolutions.TransposedConvolution(channels, kernel, 2)
      hidden = layers.Hidden(layer, shape, activation=activation, norm=norm)
      self._convolutions.append(hidden)
      shape = hidden.output_shape
    self._image = convolutions.TransposedConvolution(
        sum(self._channels.values()), kernels[-1], 2  # pyright: ignore[reportArgumentType, reportCallIssue]
    )
    self._image.build(shape)
    size = self._image.compute_output_shape(shape)[1:3]
    if tuple(size) != (encoder.IMAGE_SIZE,) * 2:
      raise ValueError(
          f'Decoder.kernels = {tuple(kernels)} make images of {tuple(size)} '
          f'pixels; wanted {encoder.IMAGE_SIZE} a side, as (5, 5, 6, 6) do.'
      )

  def __call__(
      self, feature: tf.Tensor,
  ) -> dict[str, distributions.Distribution]:
    """Predicts observations.

    Args:
      feature: `[..., F]`, compute dtype.

    Returns:
      Dict of distributions over float32: images `[..., 64, 64, channels]` in
      the encoder's units (pixel / 255 - 0.5), and vectors.
    """
    predictions = {}
    if self._channels:
      x = self._start(tf.reshape(feature, [-1, feature.shape[-1]]))
      x = tf.reshape(x, [-1, 1, 1, x.shape[-1]])
      for convolution in self._convolutions:
        x = convolution(x)
      x = tf.cast(self._image(x), tf.float32)
      means = layers.restore_prefix(x, feature, 1)
      means = tf.split(means, list(self._channels.values()), -1)  # pyright: ignore[reportArgumentType]
      for key, mean in zip(self._channels, means, strict=True):
        predictions[key] = distributions.unit_normal(mean, 3)
    if self._vectors:
      hidden = self._mlp(feature)
      for key, output in self._vectors.items():
        mean = output(hidden)
        ndims = mean.shape.rank - feature.shape.rank + 1
        predictions[key] = distributions.unit_normal(mean, ndims)
    return predictions
