"""How often an environment has failed, and whether it is restarted."""

import re

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import waiting

MOST = 3  # failures of one environment without a finished episode
FIRST_WAIT = 0.1  # seconds before a restart; then twice as long each time
LONGEST_WAIT = 30.0  # seconds


class Failures:
  """Counts the failures of one environment, and reports them.

  Attributes:
    restarts: How often it was restarted.
    most: Failures without a finished episode that end the run.
  """

  def __init__(self, name: str, reported: set[str] | None = None):
    """Begins to count.

    Args:
      name: How messages call the environment.
      reported: Places in code whose traceback was reported; environments of a
        batch share it. None: a new one.
    """
    self.restarts = 0
    self.most = MOST
    self._name = name
    self._unfinished = 0  # since the last whole episode
    self._reported = set() if reported is None else reported

  def add(self, failure: faults.EnvironmentFailed) -> None:
    """Reports a failure, and waits until the environment may be restarted.

    Raises:
      EnvironmentFailed: If it was one too many.
    """
    self._unfinished += 1
    if self._unfinished >= self.most:
      if self.most == 1:
        raise faults.named(self._name, failure) from failure
      raise faults.EnvironmentFailed(
          f'{self._name} failed {self.most} times without a finished episode. '
          f'The last time: {failure.said}', failure.trace) from failure
    place = _place(failure)
    known = place in self._reported
    faults.report(
        self._name, failure.said, '' if known and place else failure.trace)
    self._reported.add(place)
    self.restarts += 1
    waiting.pause(min(FIRST_WAIT * 2**(self._unfinished - 1), LONGEST_WAIT))

  def finished(self) -> None:
    """Notes that an episode has ended as it should."""
    self._unfinished = 0

  def get_state(self) -> list[int]:
    """The counts: a restart after a resume takes another seed."""
    return [self.restarts, self._unfinished]

  def set_state(self, state: list[int]) -> None:
    """Restores the counts of `get_state`."""
    self.restarts, self._unfinished = state


def _place(failure):
  """Where in the code it was: files and lines of the traceback."""
  return '\n'.join(re.findall(r'^ *File (".*)', failure.trace, re.MULTILINE))
