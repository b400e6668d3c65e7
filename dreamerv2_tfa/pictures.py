"""Pictures of any layout, size and range as uint8 squares.

The same in NumPy and in TensorFlow, bit for bit; but where a side shrinks, by
averaged areas, OpenCV does it, and TensorFlow cannot do it in the same way.
"""

import dataclasses
import functools
import types
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

_CV_CHANNELS = 4  # that OpenCV resizes at once
_ORDER = {  # of the axes, so that channels come last
    'last': (0, 1, 2),  # [height, width, channels]
    'none': (0, 1),  # [height, width]
    'first': (1, 2, 0),  # [channels, height, width]
    'stack': (1, 2, 0, 3),  # [pictures, height, width, channels]
}


@dataclasses.dataclass(frozen=True)
class Form:
  """How a picture is shown, and how large it is read."""

  layout: str  # key of `_ORDER`
  shape: tuple  # of the environment's array
  low: float  # value of a black pixel
  high: float  # of a white one
  size: int  # pixels a side that are read

  @functools.cached_property
  def grid(self) -> tuple[int, ...]:
    """Height, width and channels before the picture is resized."""
    shape = self.shape
    return {
        'last': shape, 'none': (*shape, 1), 'first': (*shape[1:], *shape[:1]),
        'stack': (*shape[1:3], shape[0] * shape[-1]),
    }[self.layout]

  @functools.cached_property
  def shrinks(self) -> bool:
    """Whether a side becomes shorter."""
    return max(self.grid[:2]) > self.size


  @functools.cached_property
  def is_as_read(self) -> bool:
    """Whether the picture is read as it is shown, where it is uint8."""
    return self.layout == 'last' and (self.low, self.high) == (0, 255) and (
        self.grid[:2] == (self.size, self.size))


def read(form: Form, array: np.ndarray) -> np.ndarray:
  """Reads one picture in NumPy, or a batch of those that do not shrink.

  Args:
    form: `Form`.
    array: Array `[*shape]` or `[B, *shape]`.

  Returns:
    uint8 `[size, size, channels]`, or `[B, ...]`.
  """
  if form.is_as_read and array.dtype == np.uint8:
    return np.array(array)
  image = _pixels(form, np.asarray(array), _NUMPY)
  if form.shrinks:
    image = _shrunk(form, image)
  return np.array(_grown(form, image, np.take), np.uint8)


def read_tensor(form: Form, tensor: Any) -> Any:
  """Reads pictures that do not shrink, `[B, *shape]`, in TensorFlow."""
  return _grown(form, _pixels(form, tensor, _TENSORFLOW), tf.gather)


def _pixels(form, array, library):
  """The picture as uint8 `[..., height, width, channels]`."""
  order, grid = _ORDER[form.layout], form.grid
  if len(array.shape) > len(form.shape):
    order, grid = (0, *(axis + 1 for axis in order)), (-1, *grid)
  array = library.reshape(library.transpose(array, order), grid)
  if array.dtype == 'uint8' and (form.low, form.high) == (0, 255):
    return array
  scale = np.float32(255.0 / (form.high - form.low))
  scaled = (library.cast(array, 'float32') - np.float32(form.low)) * scale
  return library.cast(
      library.clip(library.round(scaled), 0.0, 255.0), 'uint8')


def _shrunk(form, image):
  """Sides that are too long, averaged over areas."""
  height, width, channels = form.grid
  sides = (min(width, form.size), min(height, form.size))
  return np.concatenate([
      cv2.resize(
          np.ascontiguousarray(image[..., i:i + _CV_CHANNELS]), sides,
          interpolation=cv2.INTER_AREA).reshape(*sides[::-1], -1)
      for i in range(0, channels, _CV_CHANNELS)], -1)


def _grown(form, image, take):
  """Sides that are too short, with repeated pixels, as OpenCV repeats them."""
  for axis, side in ((-3, form.grid[0]), (-2, form.grid[1])):
    if side < form.size:
      index = np.floor(np.arange(form.size) * (1 / (form.size / side)))
      image = take(image, index.astype(np.int32), axis=axis)
  return image


_NUMPY = types.SimpleNamespace(
    transpose=np.transpose, reshape=np.reshape, clip=np.clip, round=np.rint,
    cast=lambda array, dtype: np.asarray(array).astype(dtype))
_TENSORFLOW = types.SimpleNamespace(
    transpose=tf.transpose, reshape=tf.reshape, clip=tf.clip_by_value,
    round=tf.round, cast=tf.cast)
