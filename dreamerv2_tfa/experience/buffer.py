"""The replay buffer: TF-Agents' ring, read and written by numbered rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import table
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.typing import types


class Buffer(tf_uniform_replay_buffer.TFUniformReplayBuffer):
  """A `TFUniformReplayBuffer` whose rows are read and written in blocks.

  Row n of this process is the n-th that was added, of all environments at once.
  It is at place `n % length` of each environment's ring, until row `n + length`
  takes that place.

  Attributes:
    environments: Environments that write at the same time.
    length: Rows of each environment's ring.
  """

  def __init__(
      self, data_spec: types.NestedTensorSpec, environments: int, length: int,
      make_table: Callable[..., Any] = table.Table):
    """Allocates the whole ring.

    Args:
      data_spec: Of one row.
      environments: As above.
      length: As above.
      make_table: Makes the table, of a spec and a number of rows.
    """

    def of_rows(spec, capacity) -> Any:
      # Ids are numbers: TF-Agents' second table is in memory.
      rows = tf.nest.is_nested(spec)
      return (make_table if rows else table.Table)(spec, capacity)

    super().__init__(
        data_spec, environments, max_length=length,
        table_fn=of_rows,  # pyright: ignore[reportArgumentType], a class there
    )
    self.environments, self.length = environments, length

  @property
  def added(self) -> tf.Tensor:
    """Rows added so far, int64; each once for all environments."""
    return self._get_last_id() + 1

  def read(self, index: tf.Tensor) -> Any:
    """Rows at places of the table, int64 `[...]`: a nest of `[..., *shape]`."""
    return self._data_table.read(index)

  def place(self, row: tf.Tensor, environment: tf.Tensor) -> tf.Tensor:
    """Places in the table of rows that are present, int64."""
    return environment * self.length + tf.math.floormod(row, self.length)

  def step_types(self) -> tf.Tensor:
    """Step types of `Trajectory` rows present: int `[environments, rows]`.

    The oldest row comes first.
    """
    # The first field of a `Trajectory` is the step type.
    ring = tf.reshape(
        self._data_table.variables()[0], [self.environments, self.length]
    )
    added = self.added
    start = tf.where(
        added > self.length, tf.math.floormod(added, self.length), 0)
    end = tf.minimum(added, self.length)
    return tf.concat([ring[:, start:end], ring[:, :start]], axis=1)

  def rows(self, first: int, end: int) -> list[np.ndarray]:
    """Rows `first` to `end`, as flat arrays `[rows, environments, ...]`."""
    environments = tf.range(self.environments, dtype=tf.int64)
    index = self.place(tf.range(first, end, dtype=tf.int64)[:, None],
                       environments)
    return [leaf.numpy() for leaf in tf.nest.flatten(self.read(index))]

  def append(self, rows: Any) -> None:
    """Adds a block of rows: a nest of arrays `[rows, environments, ...]`.

    Of a block of more than `length` rows, the last ones stay.
    """
    count = len(tf.nest.flatten(rows)[0])
    first = int(self.added)
    kept = slice(max(count - self.length, 0), count)
    number = np.arange(first, first + count)[kept, None]
    index = number % self.length + np.arange(self.environments) * self.length
    index = index.reshape(-1)
    with tf.device(self._device):
      self._data_table.write(index, tf.nest.map_structure(
          lambda column: column[kept].reshape(-1, *column.shape[2:]), rows))
      self._id_table.write(
          index, np.repeat(number[:, 0], self.environments))
      self._last_id.assign(first + count - 1)


class Tail:
  """Keeps the last rows back that are added to a buffer.

  Attributes:
    rows: How many.
  """

  def __init__(
      self, buffer: Buffer, rows: int, before: Callable[[], None] | None):
    """Holds nothing yet.

    Args:
      buffer: Gets the rows.
      rows: How many come last.
      before: Called before they are added.
    """
    self._buffer, self.rows, self._before = buffer, rows, before
    self._waiting: list[Any] = []

  def clear(self) -> None:
    """Forgets the rows that wait."""
    self._waiting = []

  @property
  def rows_in_all(self) -> int:
    """Rows that were added, and those that wait."""
    return int(self._buffer.added) + sum(map(_length, self._waiting))

  def append(self, rows: Any) -> None:
    """Adds rows, after those that wait; the last ones wait."""
    if not self.rows:
      self._buffer.append(rows)
      return
    self._waiting.append(rows)
    count = sum(map(_length, self._waiting))
    while self._waiting and count - _length(self._waiting[0]) >= self.rows:
      first = self._waiting.pop(0)
      count -= _length(first)
      self._buffer.append(first)
    if self._waiting and count > self.rows:
      first, more = self._waiting[0], count - self.rows
      self._buffer.append(tf.nest.map_structure(lambda x: x[:more], first))
      self._waiting[0] = tf.nest.map_structure(lambda x: x[more:], first)

  def end(self) -> None:
    """Adds the rows that wait, after the call before it."""
    if self._before is not None:
      self._before()
    for rows in self._waiting:
      self._buffer.append(rows)


def _length(rows):
  return len(tf.nest.flatten(rows)[0])
