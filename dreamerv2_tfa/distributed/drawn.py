"""Windows of the replay server, for a process that looks at a few of them."""

import numpy as np
import tensorflow as tf
from tf_agents.typing import types

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.experience import replay

_WINDOWS = 16  # as many as `diagnostics.diagnosis` looks at


class Drawn:
  """Has some windows, drawn uniformly, as rows of so many environments.

  Attributes:
    buffer: `Buffer` of the rows; empty before the first `draw`.
  """

  def __init__(
      self, address: str, data_spec: types.NestedTensorSpec, length: int,
  ):
    """Draws nothing yet.

    Args:
      address: HOST:PORT of the replay server.
      data_spec: `Trajectory` of specs, of one row.
      length: T; a window has T + 1 rows.
    """
    self._connection = connection_lib.Connection(
        address, 'evaluator', lambda line: None)
    self._connection.stopped = lambda: True  # a wait ends after seconds
    self._spec, self._length = data_spec, length + 1
    self.buffer = replay.make_buffer(
        data_spec, _WINDOWS, _WINDOWS * self._length)

  def draw(self) -> None:
    """Takes other windows, if the server answers and has some."""
    try:
      if not self._connection.size(tables.SEQUENCES):
        return
      items = self._connection.sample(
          tables.SEQUENCES, _WINDOWS, 'sequences')
    except faults.EnvironmentFailed:
      return
    columns = [np.stack(column) for column in zip(*items, strict=True)]
    for row in range(self._length):
      self.buffer.add_batch(tf.nest.pack_sequence_as(
          self._spec, [column[:, row] for column in columns]))
