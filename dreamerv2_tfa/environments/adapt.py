"""Any environment's observations and actions as the agent takes them."""

import re
from typing import NamedTuple

import cv2
import numpy as np
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
import tree

_SMALLEST_IMAGE = 16   # pixels a side, of floats or of a grey picture
_MOST_CHOICES = 4096   # of an action made of several
_IMAGE_RANGES = ((0, 1), (0, 255), (-1, 1))


class Adapted(wrappers.PyEnvironmentBaseWrapper):
  """An environment with observations and actions of the agent's kinds.

  Observations become a flat dict. What has the shape of an image becomes uint8
  `[size, size, channels]`, grown by repeated pixels or shrunk by area; all else
  a float32 vector (bytes stay uint8) or scalar. Keys join the names on the path
  with '/'; a bare image is called 'image', another bare array 'observation'.

  Actions: a box of numbers is float32 in [-1, 1], stretched to its bounds where
  those are finite. Several integers are one, that counts their combinations.
  """

  def __init__(self, env, *, keys='.*', size=64):
    """Reads the specs of `env`.

    Args:
      env: Unbatched `PyEnvironment`.
      keys: Regular expression of the observations to keep.
      size: Python int, pixels, height and width of images.

    Raises:
      ValueError: If an observation or the action has no such form.
    """
    super().__init__(env, handle_auto_reset=True)
    self._readers = _readers(env.observation_spec(), keys, size)
    self._action = _action(env.action_spec())

  def observation_spec(self):
    """Returns the flat dict of observation specs."""
    return {
        reader.spec.name: reader.spec for reader in self._readers if reader}

  def action_spec(self):
    """Returns the spec of the one action."""
    return self._action.spec

  def _reset(self):
    """Starts an episode."""
    return self._read(self._env.reset())

  def _step(self, action):
    """Plays `action`, a step in the bounds of `action_spec`."""
    return self._read(self._env.step(self._action.outside(action)))

  def _read(self, time_step):
    parts = tree.flatten(time_step.observation)
    observation = {
        reader.spec.name: reader.read(part)
        for reader, part in zip(self._readers, parts, strict=True) if reader}
    return time_step._replace(observation=observation)


class _Reader(NamedTuple):
  """How one part of an observation is read."""

  spec: array_spec.ArraySpec
  read: callable  # from the environment's array to one that fits the spec


class _Action(NamedTuple):
  """How the agent's action is played."""

  spec: array_spec.BoundedArraySpec
  outside: callable  # from an array that fits the spec to the environment's


def _readers(specs, keys, size):
  """One `_Reader` for each leaf, or None where it is left out."""
  readers = []
  for path, spec in tree.flatten_with_path(specs):
    channels = _channels(spec)
    name = '/'.join(map(str, path)) or (
        'image' if channels else 'observation')
    if not re.match(keys, name) or 0 in spec.shape:
      readers.append(None)
    elif channels:
      readers.append(_image(name, spec, channels, size))
    else:
      readers.append(_vector(name, spec))
  if not any(readers):
    raise ValueError(
        f'No observation is left: got {specs}, keys that match {keys!r}, '
        'wanted one with numbers. Widen the pattern of keys.')
  return readers


def _channels(spec):
  """The axis of the channels, 'last', 'first' or 'none'; '' if no image."""
  shape, byte = spec.shape, spec.dtype == np.uint8
  if len(shape) == 2:
    grey = byte and min(shape) >= _SMALLEST_IMAGE
    return 'none' if grey else ''
  if len(shape) != 3:
    return ''
  first = shape[0] < min(shape[1:]) and shape[2] > 4
  sides = shape[1:] if first else shape[:2]
  floats = (
      np.issubdtype(spec.dtype, np.floating)
      and _range(spec) in _IMAGE_RANGES and min(sides) >= _SMALLEST_IMAGE)
  if not byte and not floats:
    return ''
  return 'first' if first else 'last'


def _range(spec):
  low = getattr(spec, 'minimum', -np.inf)
  high = getattr(spec, 'maximum', np.inf)
  return float(np.min(low)), float(np.max(high))


def _image(name, spec, channels, size):
  """Reads images, whatever their size and where the channels are."""
  low, high = (0.0, 255.0) if spec.dtype == np.uint8 else _range(spec)
  shape = {
      'last': spec.shape, 'none': (*spec.shape, 1),
      'first': (*spec.shape[1:], spec.shape[0])}[channels]
  shrinks = shape[0] >= size and shape[1] >= size
  method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST

  def read(image):
    if channels == 'first':
      image = np.moveaxis(image, 0, -1)
    if spec.dtype != np.uint8:
      scaled = (np.asarray(image, np.float32) - low) * (255.0 / (high - low))
      image = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    image = np.reshape(image, shape)
    if shape[:2] != (size, size):
      image = cv2.resize(
          np.ascontiguousarray(image), (size, size), interpolation=method)
    return np.array(image, np.uint8).reshape(size, size, shape[2])

  return _Reader(
      array_spec.BoundedArraySpec(
          (size, size, shape[2]), np.uint8, 0, 255, name=name), read)


def _vector(name, spec):
  """Reads numbers of any shape as a float32 vector, bytes as they are."""
  if not (np.issubdtype(spec.dtype, np.number) or spec.dtype == np.bool_):
    raise ValueError(
        f'The observation {name!r} is not supported: got {spec.name}, '
        f'{spec.dtype}; wanted numbers (Box, Discrete, MultiDiscrete, '
        'MultiBinary, and Dict or Tuple of these). Leave it out with a pattern '
        'of keys, such as load_gym.keys, or convert it in the environment.')
  dtype = np.uint8 if spec.dtype == np.uint8 else np.float32
  shape = (int(np.prod(spec.shape)),) if spec.shape else ()
  read = lambda x: np.array(x, dtype).reshape(shape)
  if not hasattr(spec, 'minimum'):
    return _Reader(array_spec.ArraySpec(shape, dtype, name=name), read)
  bound = lambda x: np.broadcast_to(x, spec.shape).astype(dtype).reshape(shape)
  return _Reader(
      array_spec.BoundedArraySpec(
          shape, dtype, bound(spec.minimum), bound(spec.maximum), name), read)


def _action(specs):
  """The `_Action` of an environment's action spec."""
  if len(tree.flatten(specs)) != 1 or not hasattr(specs, 'shape'):
    raise ValueError(
        f'An action must be one array; got the action spec {specs}. Join the '
        'parts in the environment.')
  if np.issubdtype(specs.dtype, np.integer):
    return _integers(specs)
  return _box(specs)


def _integers(spec):
  """One integer as it is; several become the number of their combination."""
  same = lambda action: action
  if not hasattr(spec, 'minimum'):
    raise ValueError(
        f'A discrete action needs bounds; got the action spec {spec}.')
  if spec.shape in ((), (1,)):
    return _Action(spec, same)
  low = np.broadcast_to(spec.minimum, spec.shape).astype(np.int64)
  counts = np.broadcast_to(spec.maximum, spec.shape) - low + 1
  combinations = int(np.prod(counts.astype(object)))
  if combinations > _MOST_CHOICES:
    raise ValueError(
        f'The action spec {spec} has {combinations:,} combinations; wanted at '
        f'most {_MOST_CHOICES:,}. Offer fewer in the environment.')

  def outside(number):
    digits = np.unravel_index(int(number), counts.ravel())
    return (low + np.reshape(digits, spec.shape)).astype(spec.dtype)

  return _Action(
      array_spec.BoundedArraySpec((), np.int32, 0, combinations - 1, 'action'),
      outside)


def _box(spec):
  """Numbers in [-1, 1]; those with finite bounds are stretched to them."""
  bound = lambda name, default: np.broadcast_to(
      getattr(spec, name, default), spec.shape).astype(np.float64)
  low, high = bound('minimum', -np.inf), bound('maximum', np.inf)
  # A spec writes an infinite bound as the largest number of its dtype.
  endless = np.finfo(np.float32).max
  finite = (low > -endless) & (high < endless)
  low, high = np.where(finite, low, -1.0), np.where(finite, high, 1.0)

  def outside(action):
    share = (np.clip(action, -1.0, 1.0) + 1.0) / 2.0
    return (low + share * (high - low)).astype(spec.dtype)

  return _Action(
      array_spec.BoundedArraySpec(
          spec.shape, np.float32, -1.0, 1.0, name='action'), outside)
