"""A table of replay on disk, where TF-Agents' own is in memory."""

import os
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import table
from tf_agents.typing import types


class DiskTable(tf.Module):
  """Takes the place of `tf_agents.replay_buffers.table.Table`.

  Scalars of a row (step type, reward, ...) are in memory, because laws of
  sampling look at all of them. Every other part is a file, which has no name:
  it is gone with the process, also with one that was killed. Its room is
  reserved at once. Linux keeps in free memory what it can of the files.
  """

  def __init__(
      self, data_spec: types.NestedTensorSpec, capacity: int,
      directory: str | os.PathLike[str]):
    """Reserves the room.

    Args:
      data_spec: Of a row.
      capacity: Rows.
      directory: On whose disk the files are.

    Raises:
      OSError: If there is not enough room.
    """
    super().__init__(name='DiskTable')
    self._data_spec = data_spec
    specs = tf.nest.flatten(data_spec)
    self._in_memory = table.Table(
        [spec for spec in specs if not spec.shape.rank], capacity)
    self._files = [
        _File(spec, int(capacity), directory) if spec.shape.rank else None
        for spec in specs
    ]

  def variables(self) -> list[tf.Variable]:
    """Those of the scalars, in their order."""
    return self._in_memory.variables()

  def read(self, rows: Any) -> Any:
    """Returns the rows at these places; see `Table.read`."""
    rows = tf.convert_to_tensor(rows, tf.int64)
    scalars = iter(self._in_memory.read(rows))
    return tf.nest.pack_sequence_as(self._data_spec, [
        file.read(rows) if file else next(scalars) for file in self._files
    ])

  def write(self, rows: Any, values: Any) -> tf.Operation:
    """Writes rows at these places; see `Table.write`."""
    rows = tf.convert_to_tensor(rows, tf.int64)
    values = tf.nest.flatten(values)
    pairs = list(zip(self._files, values, strict=True))
    written = [file.write(rows, value) for file, value in pairs if file]
    return tf.group(
        self._in_memory.write(rows, [x for file, x in pairs if not file]),
        *written,
    )


class _File:
  """One part of all rows, each at its place in a file."""

  def __init__(self, spec, capacity, directory):
    self._dtype = spec.dtype
    self._row = np.dtype((spec.dtype.as_numpy_dtype, spec.shape.as_list()))
    self._file = tempfile.TemporaryFile(dir=directory, buffering=0)
    os.posix_fallocate(self._file.fileno(), 0, capacity * self._row.itemsize)

  def read(self, rows):
    """Tensor `[*rows, *shape]`."""
    found = tf.numpy_function(self._read, [rows], self._dtype)
    return tf.ensure_shape(found, rows.shape + self._row.shape)

  def write(self, rows, value):
    """The operation that writes `[*rows, *shape]`."""
    return tf.numpy_function(self._write, [rows, value], tf.int64)

  def _read(self, rows):
    found: Any = np.empty(rows.size, self._row)
    data = memoryview(found.view(np.uint8).reshape(-1))
    for place, count, start in self._runs(rows):
      _whole(os.preadv, self._file, data[start:start + count], place)
    return found.reshape(rows.shape + self._row.shape)

  def _write(self, rows, value):
    parts: Any = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    data = memoryview(parts)
    for place, count, start in self._runs(rows):
      _whole(os.pwritev, self._file, data[start:start + count], place)
    return np.int64(rows.size)

  def _runs(self, rows):
    """Byte in the file, number of bytes, and byte in the data, of each run.

    A window is a run of neighbours, so it is read at once.
    """
    rows = rows.reshape(-1)
    edges = np.flatnonzero(np.diff(rows) != 1) + 1
    size = self._row.itemsize
    for first, end in zip(
        np.r_[0, edges], np.r_[edges, rows.size], strict=True):
      yield int(rows[first]) * size, int(end - first) * size, int(first) * size


def _whole(call, file, data, place):
  """Reads or writes all of the data, and not a part of it."""
  while len(data):
    done = call(file.fileno(), [data], place)
    if not done:
      raise OSError('A file of replay ended early.')
    data, place = data[done:], place + done
