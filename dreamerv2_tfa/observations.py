"""How the parts of an observation get from the environment to the agent.

A `Part` says what the environment shows and what the agent reads instead. It
does the same in NumPy and in TensorFlow, bit for bit, and is plain data, so an
export carries it.

    the environment shows                          the agent reads
    picture (`environments.parts` decides)         uint8 [size, size, channels]
    a choice of n, or several                      float32, one-hot, joined
    integers with narrower bounds than the dtype   float32 in [0, 1], by those
    a vector of bytes from 0 to 255                uint8, as it is
    all other numbers                              float32, as they are
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.specs import array_spec

from dreamerv2_tfa import pictures

_COMMON = {  # dtypes of TFLite and ONNX in place of others
    'float64': 'float32', 'float16': 'float32', 'int8': 'int32',
    'int16': 'int32', 'uint16': 'int32', 'uint32': 'int64', 'uint64': 'int64'}
_ROUNDING = 1e-5  # share of its bound by which a float may leave it

PICTURE, ONE_HOT, SCALED, BYTES, NUMBERS = (
    'picture', 'one_hot', 'scaled', 'bytes', 'numbers')


class Choices(array_spec.BoundedArraySpec):
  """Integers each of which names one of several things, as Gym's Discrete."""


@dataclasses.dataclass(frozen=True)
class Part:
  """One part of an observation, as the environment shows it."""

  key: str  # what the agent calls it
  path: tuple  # keys and indices that lead to it in the observation
  kind: str  # PICTURE, ONE_HOT, SCALED, BYTES or NUMBERS
  shape: tuple  # of the environment's array
  dtype: str  # likewise
  low: Any = None  # likewise, smallest value: number, nested list or None
  high: Any = None  # largest
  layout: str = ''  # of a picture: 'last', 'first', 'none' or 'stack'
  size: int = 0  # pixels a side of the picture that the agent reads

  @functools.cached_property
  def spec(self) -> array_spec.ArraySpec:
    """`ArraySpec` of what the agent reads."""
    if self.kind == PICTURE:
      shape = (self.size, self.size, self.form.grid[2])
      return array_spec.BoundedArraySpec(
          shape, np.uint8, 0, 255, name=self.key)
    shape = (int(np.prod(self.shape)),) if self.shape else ()
    if self.kind == ONE_HOT:
      shape = (len(self._choices[0]),)
    if self.kind in (ONE_HOT, SCALED):
      return array_spec.BoundedArraySpec(
          shape, np.float32, 0.0, 1.0, name=self.key)
    dtype = np.uint8 if self.kind == BYTES else np.float32
    if self.low is None:
      return array_spec.ArraySpec(shape, dtype, name=self.key)
    with np.errstate(over='ignore'):
      bound = lambda x: np.broadcast_to(
          np.asarray(x, np.float64), self.shape).astype(dtype).reshape(shape)
      return array_spec.BoundedArraySpec(
          shape, dtype, bound(self.low), bound(self.high), self.key)

  def to_json(self) -> dict[str, Any]:
    """This part as plain data that JSON can hold: dict."""
    return {**dataclasses.asdict(self), 'path': list(self.path),
            'shape': list(self.shape), 'low': _to_json(self.low),
            'high': _to_json(self.high)}

  def given(self, exact: bool = True) -> tuple[tuple[int, ...], str]:
    """What an export takes of this part: `(shape, dtype)` of a row.

    That is what the environment shows, but for a picture that shrinks: there it
    is what the agent reads.

    Args:
      exact: False takes dtypes that every runtime has instead.
    """
    if self.shrinks:
      return self.spec.shape, 'uint8'
    return self.shape, self.dtype if exact else _COMMON.get(
        self.dtype, self.dtype)

  def prepare(self, value: Any, axes: int = 0) -> np.ndarray:
    """What an export takes of what the environment shows.

    Args:
      value: What NumPy takes for an array.
      axes: 0 or 1, axes before those of `shape`.

    Returns:
      Array of the shape and dtype of `given`, with those axes before.

    Raises:
      ValueError: If it is not in the space; see `check`.
    """
    array = self.check(value, axes)
    if not self.shrinks:
      return array.astype(self.dtype)
    return np.stack([self.read(row) for row in array]) if axes else (
        self.read(array))

  def find(self, observation: Any) -> Any:
    """The environment's value of this part, which may be anything.

    Args:
      observation: What the environment shows: a nest, or one array.

    Raises:
      ValueError: If there is no such part.
    """
    for step in self.path:
      try:
        observation = observation[step]
      except (KeyError, IndexError, TypeError) as error:
        there = sorted(map(str, observation)) if isinstance(
            observation, dict) else type(observation).__name__
        raise ValueError(
            f'The observation {self.key!r} is missing: got {there}, wanted '
            f'{step!r} in it. Let the environment return all of its space.'
        ) from error
    return observation

  def check(self, value: Any, axes: int = 0, whole: bool = True) -> np.ndarray:
    """The value as an array, if it is in the environment's space.

    Args:
      value: What NumPy takes for an array.
      axes: Axes before those of `shape`.
      whole: False leaves out the range of what is no choice, which takes
        time where there are many numbers.

    Returns:
      Array of `shape`, of the environment's dtype or one of the same kind.

    Raises:
      ValueError: If shape, kind of dtype or range differ, or a number is not
        finite: key, got, wanted, and what is likely to help.
    """
    if whole is False and self.kind != ONE_HOT and self._is_plain(value):
      return value  # the usual case, in a hundredth of the time
    wanted = self._shown()
    refuse = lambda got, way_out: ValueError(
        f'The observation {self.key!r} is not in its space: got {got}, wanted '
        f'{wanted}. {way_out}')
    try:
      array = np.asarray(value)
    except ValueError:
      array = np.asarray(None)
    got = f'{array.dtype} {list(array.shape[axes:])}'
    if array.dtype.kind not in 'biuf':
      raise refuse(f'{value!r}'[:80], 'Return numbers in an array.')
    if array.shape[axes:] != self.shape:
      raise refuse(got, _shape_mend(array.shape[axes:], self.shape))
    if array.dtype.kind == 'f' and np.dtype(self.dtype).kind != 'f':
      raise refuse(
          f'{got} from {array.min():g} to {array.max():g}', 'Return whole '
          'numbers (a picture of floats times 255), or declare a space of '
          'floats.')
    if array.dtype.kind == 'f' and not _is_finite(array):
      raise refuse(
          f'{got} with NaN or infinity, in float32 too',
          'Find where the environment makes it.')
    if self.dtype == 'bool' and not np.isin(array, (0, 1)).all():
      raise refuse(f'{got} from {array.min():g} to {array.max():g}',
                   'Return True and False.')
    if whole or self.kind == ONE_HOT:
      self._check_range(array, got, refuse)
    return array

  def _is_plain(self, value):
    """Whether it is an array as declared, and finite; its range is not seen."""
    return (
        type(value) is np.ndarray and value.dtype.name == self.dtype
        and value.shape == self.shape
        and (value.dtype.kind != 'f' or _is_finite(value)))

  def _check_range(self, array, got, refuse):
    if self.low is None or not array.size:
      return
    low, high = (np.asarray(x, np.float64) for x in (self.low, self.high))
    slack = 0.0
    if array.dtype.kind == 'f':
      slack = _ROUNDING * np.maximum(1.0, np.maximum(abs(low), abs(high)))
      slack = np.where(np.isfinite(slack), slack, 0.0)
    if (array < low - slack).any() or (array > high + slack).any():
      raise refuse(
          f'{got} from {array.min():g} to {array.max():g}',
          'Return what is in the space, or widen its bounds.')

  def check_brightness(self, array: np.ndarray) -> None:
    """Refuses a picture of floats in [0, 1] where the space says [0, 255].

    Raises:
      ValueError: If no pixel is above 1 though some are above 0.
    """
    if (self.kind == PICTURE and np.max(self.high) == 255
        and np.dtype(self.dtype).kind == 'f' and 0 < array.max() <= 1):
      raise ValueError(
          f'The picture {self.key!r} would be black: got values from '
          f'{array.min():g} to {array.max():g}, wanted 0 to 255 as its space '
          'says. Multiply it by 255, or declare Box(0, 1).')

  def describe(self) -> str:
    """What the environment shows and how it is read: a few words."""
    how = {
        PICTURE: 'a picture', ONE_HOT: 'choices, one-hot',
        SCALED: 'integers, scaled by their bounds', BYTES: 'bytes',
        NUMBERS: 'numbers as they are'}[self.kind]
    return f'shown as {self._shown()}, {how}'

  def _shown(self):
    """Dtype, shape and bounds of what the environment shows."""
    return f'{self.dtype} {list(self.shape)}' + (
        '' if self.low is None else
        f' from {np.min(self.low):g} to {np.max(self.high):g}')

  @functools.cached_property
  def shrinks(self) -> bool:
    """Whether a side of the picture becomes smaller, by averaged areas."""
    return self.kind == PICTURE and self.form.shrinks

  def read(self, array: np.ndarray) -> np.ndarray:
    """What the agent reads of the environment's array, in NumPy.

    Args:
      array: Array of `shape`, or with axes before it where nothing shrinks.

    Returns:
      Array that fits `spec`, with the same axes before it.
    """
    array = np.asarray(array)
    if self.kind == PICTURE:
      return pictures.read(self.form, array)
    prefix = array.shape[:array.ndim - len(self.shape)]
    flat = array.reshape(prefix + self._flat_shape)
    if self.kind == ONE_HOT:
      groups, values = self._choices
      return np.asarray(flat[..., groups] == values, np.float32)
    if self.kind == SCALED:
      low, scale = self._scale
      above = (flat.astype(np.int64) - low).astype(np.float32)
      share = np.clip(above * scale, 0.0, 1.0)
      return np.asarray(share, np.float32)  # a scalar would be float64
    return np.asarray(flat, self.spec.dtype)

  def read_tensor(self, tensor: Any) -> Any:
    """The same of a tensor `[B, *shape]`, in TensorFlow.

    Raises:
      ValueError: If the picture shrinks, which OpenCV alone does in its way.
    """
    if self.shrinks:
      raise ValueError(
          f'The picture {self.key!r} shrinks from {self.shape}, which '
          'TensorFlow does not do bit for bit as OpenCV. Shrink it before.')
    if self.kind == PICTURE:
      return pictures.read_tensor(self.form, tensor)
    flat = tf.reshape(tensor, tf.concat(
        [tf.shape(tensor)[:1], np.array(self._flat_shape, np.int32)], 0))
    if self.kind == ONE_HOT:
      groups, values = self._choices
      chosen = tf.gather(tf.cast(flat, tf.int32), groups, axis=-1)
      return tf.cast(tf.equal(chosen, values.astype(np.int32)), tf.float32)
    if self.kind == SCALED:
      low, scale = self._scale
      above = tf.cast(tf.cast(flat, tf.int64) - low, tf.float32)
      return tf.clip_by_value(above * scale, 0.0, 1.0)
    return tf.cast(flat, self.spec.dtype)

  @functools.cached_property
  def form(self) -> pictures.Form:
    """`pictures.Form` of a picture."""
    return pictures.Form(
        self.layout, self.shape, float(np.min(self.low)),
        float(np.max(self.high)), self.size)

  @functools.cached_property
  def _flat_shape(self):
    """A vector, or the scalar that it is; choices are a vector always."""
    if self.shape or self.kind == ONE_HOT:
      return (int(np.prod(self.shape, dtype=np.int64)),)
    return ()

  @functools.cached_property
  def _choices(self):
    """Of each place of the one-hot vector: which integer, and its value."""
    low = np.broadcast_to(self.low, self.shape).ravel()
    high = np.broadcast_to(self.high, self.shape).ravel()
    counts = high - low + 1
    groups = np.repeat(np.arange(len(counts)), counts)
    values = np.concatenate([
        np.arange(one, other + 1)
        for one, other in zip(low, high, strict=True)])
    return groups, values

  @functools.cached_property
  def _scale(self):
    """Smallest value, int64, and the float32 factor that leads to [0, 1]."""
    flat = lambda x: np.broadcast_to(
        np.asarray(x, np.int64), self.shape).reshape(self._flat_shape)
    low, high = flat(self.low), flat(self.high)
    return low, np.float32(1.0 / np.maximum(high - low, 1))


def from_json(described: dict[str, Any]) -> Part:
  """The `Part` that `Part.to_json` has described."""
  return Part(**{
      **described, 'path': tuple(described['path']),
      'shape': tuple(described['shape']),
      'low': _from_json(described['low']),
      'high': _from_json(described['high'])})


def _to_json(bound):
  """A bound without infinities, which JSON has not: they become text."""
  if isinstance(bound, list):
    return [_to_json(each) for each in bound]
  return bound if bound is None or np.isfinite(bound) else str(bound)


def _from_json(bound):
  if isinstance(bound, list):
    return [_from_json(each) for each in bound]
  return float(bound) if isinstance(bound, str) else bound


def _is_finite(array):
  """Whether all numbers are finite in float32, which the agent reads."""
  with np.errstate(over='ignore'):
    return bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _shape_mend(got, wanted):
  if sorted(got) == sorted(wanted):
    return ('The axes are in another order: declare the space in the order of '
            'the array, or use np.transpose.')
  if got == (1, *wanted):
    return 'Return it without the batch axis.'
  return 'Declare the space with the shape of what is returned.'
