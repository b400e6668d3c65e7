"""The end of a run, which its learner tells through the replay server."""

import json

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import tables

_LOOK_EVERY = 1.0  # seconds, at least


class End:
  """Whether the learner has taken all steps: collectors end then.

  It is part of the description in the replay server, and so of its checkpoint.
  A callback may have stopped the learner earlier: that is an end as well, until
  a learner joins again.
  """

  def __init__(self, connection: connection_lib.Connection):
    """Asks nothing yet.

    Args:
      connection: Of this process, which has joined the run.
    """
    self._connection, self._steps = connection, 0
    self._sparing = connection_lib.Sparing(_LOOK_EVERY)

  def tell(self, steps: int) -> None:
    """Stores that the learner has ended.

    Args:
      steps: Agent steps that it was to take.
    """
    found = {**self._connection.description(), description.ENDED: steps}
    self._connection.run(
        lambda: self._connection.client.insert(
            [json.dumps(found)], {tables.DESCRIPTION: 1.0}),
        'room for the end of the run')

  def withdraw(self) -> None:
    """A learner begins: what an earlier one has told is no longer so."""
    if self._connection.description().get(description.ENDED):
      self.tell(0)

  def reached(self, steps: int) -> bool:
    """Whether the learner has ended after so many agent steps, or more."""
    if self._steps < steps and self._sparing.due:
      self._sparing.take(self._look)
    return self._steps >= steps

  def _look(self):
    self._steps = self._connection.description().get(description.ENDED, 0)
