"""Any environment's observations and actions as the agent takes them."""

import numpy as np
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import specs as specs_lib
from dreamerv2_tfa.environments import parts as parts_lib
from dreamerv2_tfa.environments import rewards

_CHECKED = 1000  # steps whose observations are checked whole
_SAMPLED = 100  # of later steps, each so many


class Adapted(wrappers.PyEnvironmentBaseWrapper):
  """An environment with observations and actions of the agent's kinds.

  Observations become a flat dict, whose parts `observations` describes. Keys
  join the names on the path with '/'; a bare picture is called 'image', another
  bare array 'observation'. What is not in the environment's space is refused:
  shape, kind of number and NaN at every step; the range at every reset, for
  the first thousand steps, then at one in a hundred.

  Actions are the environment's own. A box gets finite bounds where it has none.

  Attributes:
    parts: List of `observations.Part`.
    warnings: List of lines about parts that are many numbers and no picture.
    raw: The environment inside, which shows what `parts` read.
  """

  def __init__(self, env, *, keys='.*', size=64, pictures='$^', numbers='$^'):
    """Reads the specs of `env`.

    Args:
      env: Unbatched `PyEnvironment`.
      keys: Regular expression of the observations to keep.
      size: Python int, pixels, height and width of pictures.
      pictures: Regular expression of those that are pictures in any case.
      numbers: Regular expression of those that are none in any case.

    Raises:
      ValueError: If an observation or the action has no such form.
    """
    super().__init__(env, handle_auto_reset=True)
    self.raw = env
    self.parts = parts_lib.make(
        env.observation_spec(), keys=keys, size=size, pictures=pictures,
        numbers=numbers)
    self.warnings = parts_lib.large(self.parts, numbers)
    self._action_spec = _action_spec(env.action_spec())
    raw, spec = env.action_spec(), self._action_spec
    self._limits = (
        spec.minimum, spec.maximum, raw.dtype,
        np.asarray(getattr(raw, 'minimum', spec.minimum), raw.dtype),
        np.asarray(getattr(raw, 'maximum', spec.maximum), raw.dtype))
    self._seen = 0  # time steps

  def observation_spec(self):
    """Returns the flat dict of observation specs."""
    return {part.key: part.spec for part in self.parts}

  def action_spec(self):
    """Returns the environment's action spec, with finite bounds."""
    return self._action_spec

  def _reset(self):
    """Starts an episode."""
    return self._read(self._env.reset())

  def _step(self, action):
    """Plays `action`; one that leaves the bounds counts as the nearest."""
    return self._read(self._env.step(self._played(action)))

  def _played(self, action):
    """The action in the environment's dtype and bounds."""
    low, high, dtype, raw_low, raw_high = self._limits
    bounded = np.minimum(np.maximum(action, low), high)
    # Rounding to another dtype may leave the bounds once more.
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


def read(parts, observation, whole=True):
  """What the agent reads of an environment's observation.

  Args:
    parts: List of `observations.Part`.
    observation: What the environment shows.
    whole: bool; whether ranges are checked.

  Returns:
    Dict of arrays.

  Raises:
    ValueError: If a part is missing or not in its space.
  """
  result = {}
  for part in parts:
    array = part.check(part.find(observation), whole=whole)
    if whole:
      part.check_brightness(array)
    result[part.key] = part.read(array)
  return result


def _action_spec(spec):
  """The agent's spec of an environment's action: the same, but bounded."""
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
  specs_lib.Actions(bounded)  # or refuses
  return bounded


def _bounded(spec, dtype, low, high):
  whole = lambda x: np.broadcast_to(x, spec.shape).astype(dtype)
  return array_spec.BoundedArraySpec(
      spec.shape, dtype, whole(low), whole(high), name='action')


def _finite(spec):
  """Bounds of a box, float32 and in the box.

  Without bounds a number is from -1 to 1, as in the published package; with
  one alone it is within 2 of that, so that it stays in its space.
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
