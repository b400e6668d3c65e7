"""Converts any environment's observations and actions for the agent."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import observations
from dreamerv2_tfa import specs as specs_lib
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import layers
from dreamerv2_tfa.environments import parts as parts_lib
from dreamerv2_tfa.environments import rewards

_CHECKED = 1000  # steps whose observations are checked completely
_SAMPLED = 100  # of later steps, one in so many


class Adapted(wrappers.PyEnvironmentBaseWrapper):
  """An environment with observations and actions that the agent supports.

  Observations become a flat dict of the parts that `observations` describes.
  Keys join the names on the path with '/'; a bare picture is called 'image',
  another bare array 'observation'. Observations outside of their spec are
  refused. Checked are, at every step, the shape, the kind of number and NaN;
  at every reset, in the first 1000 steps and in one step of 100, the range.

  Actions are the environment's own. A box without bounds gets finite ones.

  Attributes:
    parts: How each part of the observation is read.
    warnings: A line about each part of many numbers that is no picture.
    raw: The environment inside, whose observations `parts` read.
  """

  def __init__(
      self, env: py_environment.PyEnvironment, *, keys: str = '.*',
      size: int = 64, pictures: str = '$^', numbers: str = '$^'):
    """Reads the specs of `env`.

    Args:
      env: An unbatched environment.
      keys: Regular expression of the observations to keep.
      size: Pixels, height and width of pictures.
      pictures: Regular expression of those that are pictures in any case.
      numbers: Regular expression of those that are no pictures in any case.

    Raises:
      ValueError: If an observation or the action is not supported.
    """
    super().__init__(env, handle_auto_reset=True)
    self.raw = env
    self.parts = parts_lib.make(
        env.observation_spec(), keys=keys, size=size, pictures=pictures,
        numbers=numbers)
    self.warnings = parts_lib.large(self.parts, numbers)
    self._action_spec = _action_spec(env.action_spec())
    raw: Any = env.action_spec()
    spec = self._action_spec
    self._limits = (
        spec.minimum, spec.maximum, raw.dtype,
        np.asarray(getattr(raw, 'minimum', spec.minimum), raw.dtype),
        np.asarray(getattr(raw, 'maximum', spec.maximum), raw.dtype))
    self._seen = 0  # time steps

  def observation_spec(self) -> dict[str, Any]:
    """Observation specs by key."""
    return {part.key: part.spec for part in self.parts}

  def action_spec(self) -> array_spec.BoundedArraySpec:
    """The environment's action spec, with finite bounds."""
    return self._action_spec

  def get_state(self) -> dict[str, Any]:
    """The state of the environment inside, as `layers` has it."""
    return {'seen': self._seen, 'inside': layers.get(self._env)}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`."""
    layers.put(self._env, state['inside'])
    self._seen = state['seen']

  def _reset(self):
    """Starts an episode."""
    return self._read(self._env.reset())

  def _step(self, action):
    """Plays `action`, clipped to the bounds."""
    return self._read(self._env.step(self._played(action)))

  def _played(self, action):
    """Converts an action to the environment's dtype and clips it."""
    low, high, dtype, raw_low, raw_high = self._limits
    bounded = np.minimum(np.maximum(action, low), high)
    # Rounding to another dtype may leave the bounds again.
    return np.minimum(np.maximum(
        np.asarray(bounded, dtype), raw_low), raw_high)

  def _read(self, time_step):
    whole = (
        time_step.step_type == ts.StepType.FIRST or self._seen < _CHECKED
        or self._seen % _SAMPLED == 0)
    self._seen += 1
    return time_step._replace(
        reward=rewards.check(time_step.reward),
        observation=read(self.parts, time_step.observation, whole))


def read(
    parts: Sequence[observations.Part], observation: Any, whole: bool = True
) -> dict[str, np.ndarray]:
  """Converts an environment's observation for the agent.

  Args:
    parts: How each part is read.
    observation: Nest of arrays.
    whole: Whether ranges are checked.

  Raises:
    Unusable: If a part is missing, or not of its spec's kind, or not finite.
    ValueError: If a part is out of its bounds.
  """
  result = {}
  for part in parts:
    try:
      array = part.check(part.find(observation), whole=False)
    except ValueError as error:
      raise faults.Unusable(str(error)) from error
    if whole:
      part.check(array)
      part.check_brightness(array)
    result[part.key] = part.read(array)
  return result


def _action_spec(spec):
  """Adds finite bounds to an environment's action spec."""
  if len(tree.flatten(spec)) != 1 or not hasattr(spec, 'shape'):
    raise ValueError(
        f'An action must be one array; got the action spec {spec}. Join the '
        'parts in the environment.')
  if np.issubdtype(spec.dtype, np.integer):
    if not hasattr(spec, 'minimum'):
      raise ValueError(
          f'A discrete action needs bounds; got the action spec {spec}.')
    dtype = np.int32
    if max(abs(np.min(spec.minimum)), np.max(spec.maximum)) >= 2**31:
      dtype = np.int64
    bounded = _bounded(spec, dtype, spec.minimum, spec.maximum)
  else:
    bounded = _bounded(spec, np.float32, *_finite(spec))
  specs_lib.Actions(bounded)  # refuses what is not supported
  return bounded


def _bounded(spec, dtype, low, high):
  whole = lambda x: np.broadcast_to(x, spec.shape).astype(dtype)
  return array_spec.BoundedArraySpec(
      spec.shape, dtype, whole(low), whole(high), name='action')


def _finite(spec):
  """Bounds of a box, float32 and in the box.

  Without bounds a number is in [-1, 1], as in the published package. With only
  one bound, the other is 2 away, so that actions stay in their space.
  """
  bound = lambda name, default: np.broadcast_to(
      getattr(spec, name, default), spec.shape).astype(np.float64)
  low, high = bound('minimum', -np.inf), bound('maximum', np.inf)
  no_low, no_high = low <= -parts_lib.ENDLESS, high >= parts_lib.ENDLESS
  closed = np.where(no_low, np.where(no_high, -1.0, high - 2.0), low), np.where(
      no_high, np.where(no_low, 1.0, low + 2.0), high)
  low, high = (x.astype(np.float32) for x in closed)
  inwards = np.float32(np.inf)
  low = np.where(low < closed[0], np.nextafter(low, inwards), low)
  high = np.where(high > closed[1], np.nextafter(high, -inwards), high)
  return low, high
