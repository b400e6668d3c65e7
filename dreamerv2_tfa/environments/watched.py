"""One environment of this process: restarted after a failure, closed once."""

import numpy as np
from tf_agents.environments import wrappers

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel


class Watched(wrappers.PyEnvironmentBaseWrapper):
  """An environment that is made anew where its code raises.

  As in `parallel`: the failure is reported with its traceback and the
  unfinished episode dropped, so the next time step is FIRST, with no LAST
  before it. What fails over and over ends the run.

  Attributes:
    most_failures: int, after how many, with no finished episode between.
  """

  def __init__(self, env, construct, seed, name='The environment'):
    """Takes over an environment.

    Args:
      env: `PyEnvironment` that `construct(seed)` returned.
      construct: Function from a seed to a `PyEnvironment`.
      seed: Python int.
      name: Python string, what a report calls it.
    """
    super().__init__(env)
    self._construct, self._seed, self._name = construct, seed, name
    self._restarts = self._failures = self._steps = 0
    self.most_failures = faults.MOST_FAILURES
    self._closed = False

  def close(self):
    """Closes the environment, the first time."""
    if not self._closed:
      self._closed = True
      self._env.close()

  def _reset(self):
    """Starts an episode."""
    return self._answer('reset')

  def _step(self, action):
    """Plays `action`."""
    time_step = self._answer('step', action)
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
    """Another environment in place of the one that has failed."""
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
    # What failed once would fail again.
    seed, = parallel.seeds_of([self._seed, self._restarts], 1)
    try:
      self._env = self._construct(seed)
    except Exception as error:  # whatever its code raises
      raise faults.failed(f'{self._name} cannot be made', error) from error
