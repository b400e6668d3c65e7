"""Restarts an environment of this process after a failure; closes it once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa.environments import door
from dreamerv2_tfa.environments import failures
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import layers
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import waiting


class Watched(wrappers.PyEnvironmentBaseWrapper):
  """An environment that is replaced by a new one if its code raises.

  As in `parallel`, the failure is logged with its traceback and the unfinished
  episode is dropped: the next time step is FIRST, with no LAST before it.
  Repeated failures end the run.

  Attributes:
    failures: Counts them, and decides about a restart.
  """

  def __init__(
      self, env: py_environment.PyEnvironment,
      construct: Callable[[int], py_environment.PyEnvironment], seed: int,
      name: str = 'The environment', reported: set[str] | None = None):
    """Wraps an environment.

    Args:
      env: What `construct(seed)` returned.
      construct: Makes a new one.
      seed: The seed of `env`; later ones are derived from it.
      name: How messages call it.
      reported: See `Failures`.
    """
    super().__init__(env)
    self._construct, self._seed, self._name = construct, seed, name
    self._door = door.Door(env)
    self.failures = failures.Failures(name, reported)
    self._call = waiting.Call(name)
    self._closed = False

  def close(self) -> None:
    """Closes the environment, the first time."""
    if not self._closed:
      self._closed = True
      if self._call.hangs:
        raise faults.EnvironmentFailed('it hangs', '')
      with self._call:
        self._env.close()

  def get_state(self) -> dict[str, Any]:
    """The state of the environment, and the counts that seed a restart."""
    return {'failures': self.failures.get_state(),
            'door': self._door.get_state(), 'inside': layers.get(self._env)}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`."""
    layers.put(self._env, state['inside'])
    self._door.set_state(state['door'])
    self.failures.set_state(state['failures'])

  def _reset(self):
    """Starts an episode."""
    return self._answer('reset')

  def _step(self, action):
    """Plays `action`."""
    time_step: Any = self._answer('step', action)
    if np.any(time_step.is_last()):
      self.failures.finished()
    return time_step

  def _answer(self, name, *arguments):
    try:
      while True:
        try:
          with self._call:
            return self._door.call(name, *arguments)
        except faults.EnvironmentFailed as failure:
          self._restart(failure)
          name, arguments = 'reset', ()
    except Exception as error:
      raise faults.note(error)  # noqa: B904, the error itself

  def _restart(self, failure):
    """Replaces the environment that has failed."""
    while failure:
      self.failures.add(failure)
      with faults.closing(self._name), self._call:
        self._env.close()
      # With the same seed it would fail again.
      seed, = parallel.seeds_of([self._seed, self.failures.restarts], 1)
      try:
        with self._call:
          self._env = self._construct(seed)
        failure = None
      except BaseException as error:  # its code may raise anything
        if not faults.its_own(error):
          raise
        failure = faults.failed('making it', error)
        if not isinstance(failure, faults.EnvironmentFailed):
          raise failure from error
    self._door = door.Door(self._env, proven=True)
