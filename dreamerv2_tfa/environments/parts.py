"""Decides how the agent reads each part of an observation."""

from collections.abc import Sequence
import re
from typing import Any

import numpy as np
import tree

from dreamerv2_tfa import observations
from dreamerv2_tfa import specs as specs_lib

_BARE = ('image', 'observation')  # names of observations without a key
_SMALLEST_PICTURE = 16  # pixels a side
_PIXEL_RANGES = ((0, 1), (0, 255), (-1, 1))  # of floats
_MOST_CHANNELS = 4  # of one picture in a stack
_MANY = 2000  # numbers of one part that an MLP reads
# Gym and TF-Agents write an infinite bound as the largest number of a dtype.
ENDLESS = 1e30


def make(
    specs: Any, *, keys: str = '.*', size: int = 64, pictures: str = '$^',
    numbers: str = '$^') -> list[observations.Part]:
  """Decides how an environment's observation is read.

  Args:
    specs: Nest of the environment's `ArraySpec`.
    keys: Regular expression of the observations to keep.
    size: Pixels, height and width of pictures.
    pictures: Regular expression of those that are pictures. It overrides what
      their bounds and sides say.
    numbers: Regular expression of those that are no pictures.

  Raises:
    ValueError: If none is left, two have one name, or one is not supported.
  """
  parts = []
  for path, spec in tree.flatten_with_path(specs):
    name = '/'.join(map(str, path))
    layout = _layout(spec, name, pictures, numbers)
    name = name or _BARE[not layout]
    if re.match(keys, name) and 0 not in spec.shape:
      parts.append(_part(name, path, spec, layout, size))
  if not parts:
    raise ValueError(
        f'No observation is left: got {specs}, keys that match {keys!r}, '
        'wanted one with numbers. Widen the pattern of keys.')
  names = [part.key for part in parts]
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise ValueError(
        f'Two observations are called {twice[0]!r}, joined by "/" on the path: '
        f'got {names}. Rename one in the environment.')
  return parts


def large(
    parts: Sequence[observations.Part], numbers: str = '$^') -> list[str]:
  """Warns of parts that are no picture and have many numbers for an MLP.

  Args:
    parts: What `make` returned.
    numbers: Regular expression of those for which no warning is wanted.
  """
  lines = []
  for part in parts:
    count = int(np.prod(part.spec.shape))
    meant = any(
        re.match(numbers, name) for name in (
            [part.key] if part.path else _BARE))
    if part.kind != observations.PICTURE and count >= _MANY and not meant:
      lines.append(
          f'The observation {part.key!r} is {count:,} numbers for the MLP: '
          f'{part.dtype} {list(part.shape)} is no picture by its shape and '
          f"bounds. If it is one, set load_gym.pictures = '{part.key}' or its "
          f"bounds; if it is not, load_gym.numbers = '{part.key}' says so.")
  return lines


def _part(name, path, spec, layout, size):
  """The `Part` of one spec."""
  if not (np.issubdtype(spec.dtype, np.number) or spec.dtype == np.bool_):
    raise ValueError(
        f'The observation {name!r} is not supported: got {spec.name}, '
        f'{spec.dtype}; wanted numbers (Box, Discrete, MultiDiscrete, '
        'MultiBinary, and Dict or Tuple of these). Leave it out with a pattern '
        'of keys, such as load_gym.keys, or convert it in the environment.')
  low, high = _bounds(spec)
  kind = observations.PICTURE if layout else _kind(spec, low, high)
  return observations.Part(
      name, tuple(path), kind, tuple(spec.shape), spec.dtype.name, low, high,
      layout, size if layout else 0)


def _bounds(spec):
  """Bounds as plain numbers or lists; None without bounds."""
  if not hasattr(spec, 'minimum') or spec.dtype == np.bool_:
    return None, None
  bounds = [
      np.broadcast_to(x, spec.shape) for x in (spec.minimum, spec.maximum)]
  if spec.dtype.kind == 'f':
    bounds = [np.where(np.abs(x) < ENDLESS, x, np.copysign(np.inf, x))
              for x in np.asarray(bounds, np.float64)]
    if np.isinf(bounds).all():
      return None, None
  return tuple(specs_lib.plain(x) if x.size else None for x in bounds)


def _kind(spec, low, high):
  """The kind of a part that is no picture."""
  integer = spec.dtype.kind in 'iu'
  if isinstance(spec, observations.Choices):
    return observations.ONE_HOT
  if not integer or low is None:
    return observations.NUMBERS
  limits = np.iinfo(spec.dtype)
  if np.min(low) > limits.min or np.max(high) < limits.max:
    return observations.SCALED
  # The bounds are those of the dtype: a vector of bytes is memory (RAM), a
  # small grid is symbols.
  memory = spec.dtype == np.uint8 and len(spec.shape) == 1
  return observations.BYTES if memory else observations.NUMBERS


def _layout(spec, name, pictures, numbers):
  """Order of a picture's axes; '' if it is no picture."""
  # The name of a bare array depends on the result.
  chosen = lambda pattern: any(
      re.match(pattern, each) for each in ([name] if name else _BARE))
  if chosen(numbers) or spec.dtype.kind not in 'iuf':
    return ''
  layout, sides, channels = _axes(spec.shape)
  if chosen(pictures):
    if not layout:
      raise ValueError(
          f'The observation {name!r} cannot be a picture: got the shape '
          f'{spec.shape}, wanted [height, width], [height, width, channels], '
          'with the channels first, or a stack of pictures. Take it out of '
          'load_gym.pictures.')
    return layout
  big = layout and min(sides) >= _SMALLEST_PICTURE
  return layout if big and _is_pixels(spec, channels) else ''


def _axes(shape):
  """Layout, height and width, and channels; '' if it is no picture."""
  if len(shape) == 2:
    return 'none', shape, 1
  if len(shape) == 3:
    first = shape[0] < min(shape[1:]) and shape[2] > _MOST_CHANNELS
    return ('first', shape[1:], shape[0]) if first else (
        'last', shape[:2], shape[2])
  if len(shape) == 4 and shape[3] <= _MOST_CHANNELS:
    return 'stack', shape[1:3], shape[0] * shape[3]
  return '', (), 0


def _is_pixels(spec, channels):
  """Whether the bounds are those of pixels.

    integers                [0, 255]; all of uint16
    floats                  [0, 1], [0, 255] or [-1, 1]
    floats, one channel     any finite bounds from 0 or more: depth
  """
  low, high = _bounds(spec)
  if low is None or high is None or isinstance(low, list) or (
      isinstance(high, list)):
    return False
  if spec.dtype.kind != 'f':
    return (low, high) == (0, 255) or (
        spec.dtype == np.uint16 and (low, high) == (0, 2**16 - 1))
  depth = channels == 1 and 0 <= low < high < np.inf
  return (low, high) in _PIXEL_RANGES or depth
