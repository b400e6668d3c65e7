"""Restarts an environment of this process after a failure; closes it once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel


class Watched(wrappers.PyEnvironmentBaseWrapper):
  """An environment that is replaced by a new one if its code raises.

  As in `parallel`, the failure is logged with its traceback and the unfinished
  episode is dropped: the next time step is FIRST, with no LAST before it.
  Repeated failures end the run.

  Attributes:
    most_failures: Failures without a finished episode that end the run.
  """

  def __init__(
      self, env: py_environment.PyEnvironment,
      construct: Callable[[int], py_environment.PyEnvironment], seed: int,
      name: str = 'The environment'):
    """Wraps an environment.

    Args:
      env: What `construct(seed)` returned.
      construct: Makes a new one.
      seed: The seed of `env`; later ones are derived from it.
      name: How messages call it.
    """
    super().__init__(env)
    self._construct, self._seed, self._name = construct, seed, name
    self._restarts = self._failures = self._steps = 0
    self.most_failures = faults.MOST_FAILURES
    self._closed = False

  def close(self) -> None:
    """Closes the environment, the first time."""
    if not self._closed:
      self._closed = True
      self._env.close()

  def _reset(self):
    """Starts an episode."""
    return self._answer('reset')

  def _step(self, action):
    """Plays `action`."""
    time_step: Any = self._answer('step', action)
    self._steps += not np.all(time_step.is_first())
    if np.any(time_step.is_last()):
      self._failures = 0
    return time_step

  def _answer(self, name, *arguments):
    try:
      while True:
        try:
          return faults.call(self._env, name, arguments, self._steps)
        except faults.EnvironmentFailed as failure:
          self._restart(failure)
          name, arguments = 'reset', ()
    except Exception as error:
      raise faults.note(error)  # noqa: B904, the error itself

  def _restart(self, failure):
    """Replaces the environment that has failed."""
    self._failures += 1
    if self._failures >= self.most_failures:
      if self.most_failures == 1:
        raise faults.named(self._name, failure) from failure
      raise faults.gives_up(
          self._name, failure.said, failure.trace) from failure
    faults.report(self._name, failure.said, failure.trace)
    with faults.closing(self._name):
      self._env.close()
    self._restarts += 1
    self._steps = 0
    # With the same seed it would fail again.
    seed, = parallel.seeds_of([self._seed, self._restarts], 1)
    try:
      self._env = self._construct(seed)
    except Exception as error:  # its code may raise anything
      raise faults.failed(f'{self._name} cannot be made', error) from error
