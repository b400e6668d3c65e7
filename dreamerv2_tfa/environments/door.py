"""Calls an environment, and refuses time steps that cannot be learned from.

This is the one place where every environment's time steps are checked, of all
suites, in this process and in workers. `adapt` alone knows what an environment
has declared of its own observations, and checks that before it converts them.
"""

from typing import Any

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import faults

_SQUARE = specs.LARGEST**2
_FIRST = int(ts.StepType.FIRST)


class Door:
  """Calls one environment and checks what it returns.

  A time step that cannot be used is a failure like an exception. But one at
  the very first `reset` or `step` is a mistake in what the environment
  declares: a `UserError`, after which a restart would not help.

  Attributes:
    environment: The environment.
    episode: Number of the episode since it was made, from 1; 0 before any.
    step: Steps taken in this episode.
  """

  def __init__(
      self, environment: py_environment.PyEnvironment, proven: bool = False):
    """Reads the specs of an environment.

    Args:
      environment: One environment, or a batch that steps as one.
      proven: Whether it was made in place of one that has worked.
    """
    self.environment = environment
    self.episode = self.step = 0
    self._worked = {'reset', 'step'} if proven else set()
    spec: Any = environment.observation_spec()
    # In the order in which `tree` flattens a dict.
    self._keys = sorted(spec) if isinstance(spec, dict) and not any(
        map(tree.is_nested, spec.values())) else None
    self._shape = (environment.batch_size,) if environment.batched else ()
    self._columns = [
        ('/'.join(map(str, path)) or 'observation',
         self._shape + tuple(each.shape), each.dtype, each.dtype.kind == 'f')
        for path, each in tree.flatten_with_path(spec)]

  def call(self, name: str, *arguments: Any) -> ts.TimeStep:
    """Calls a method and returns its time step.

    Args:
      name: 'reset' or 'step'.
      *arguments: Of the method.

    Raises:
      EnvironmentFailed: If its code raises, or a time step cannot be used.
      UserError: If a check refuses what it returned for good.
    """
    try:
      time_step: Any = faults.call(
          self.environment, name, arguments, self.step, self.episode)
      self._check(time_step)
    except faults.Unusable as error:
      said = faults.describe(name, arguments, self.step, self.episode)
      if name in self._worked:
        raise faults.EnvironmentFailed(f'{said}: {error}', '') from error
      raise faults.Unusable(f'{said}: {error}') from error
    self._worked.add(name)
    first = _FIRST == _plain(time_step.step_type) if not self._shape else (
        np.any(time_step.is_first()))
    if first:
      self.episode, self.step = self.episode + 1, 0
    else:
      self.step += 1
    return time_step

  def get_state(self) -> dict[str, Any]:
    """The counts of `call`."""
    return {'episode': self.episode, 'step': self.step,
            'worked': sorted(self._worked)}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores the counts of `get_state`."""
    self.episode, self.step = state['episode'], state['step']
    self._worked = set(state['worked'])

  def _check(self, time_step: Any) -> None:
    """Raises `Unusable` if a part is not as the specs say, or not finite."""
    if not isinstance(time_step, ts.TimeStep):
      raise faults.Unusable(
          f'got {str(time_step)[:80]!r}, wanted a TimeStep of TF-Agents.')
    self._check_number(
        'reward', time_step.reward, -specs.LARGEST, specs.LARGEST)
    self._check_number('discount', time_step.discount, 0, 1)
    self._check_number('step type', time_step.step_type, 0, 2)
    observation: Any = time_step.observation
    try:
      leaves = tree.flatten(observation) if self._keys is None else [
          observation[key] for key in self._keys]
      columns = list(zip(self._columns, leaves, strict=True))
    except (KeyError, TypeError, ValueError) as error:
      raise faults.Unusable(
          f'The observation has other parts: got {str(observation)[:80]!r}, '
          f'wanted {", ".join(column[0] for column in self._columns)}.'
      ) from error
    for (name, shape, dtype, floating), array in columns:
      if getattr(array, 'dtype', None) != dtype or array.shape != shape:
        raise faults.Unusable(
            f'The observation {name!r} has changed: got {_shown(array)}, '
            f'wanted {dtype} {list(shape)}.')
      # The dot product is the fastest sum over all numbers, and NaN where one
      # is; squares that are small in all are small each.
      if floating and not np.vdot(array, array) < _SQUARE and not (
          np.abs(array) < specs.LARGEST).all():
        raise faults.Unusable(
            f'The observation {name!r} is not finite: got {_worst(array)}, '
            f'wanted numbers between -{specs.LARGEST:g} and '
            f'{specs.LARGEST:g}. Find where the environment makes it.')

  def _check_number(self, name, value, low, high):
    try:
      if self._shape:
        usable = np.shape(value) == self._shape and (
            (low <= value) & (value <= high)).all()
      else:
        usable = low <= _plain(value) <= high
    except (TypeError, ValueError):  # None, text or several numbers
      usable = False
    if not usable:
      raise faults.Unusable(
          f'The {name} cannot be used: got {str(value)[:80]!r}, wanted a '
          f'number from {low:g} to {high:g}. Find where the environment makes '
          'it.')


def _plain(value):
  """Python's own number, which is compared ten times as fast as NumPy's."""
  return value.item() if isinstance(value, np.ndarray | np.generic) else value


def _shown(array):
  """What it is, in a few words."""
  if isinstance(array, np.ndarray | np.generic):
    return f'{array.dtype} {list(array.shape)}'
  return f'{str(array)[:80]!r} ({type(array).__name__})'


def _worst(array):
  """The first of the numbers that are not finite, or too large."""
  return f'{array[~(np.abs(array) < specs.LARGEST)][0]:g}'
