"""A segment: consecutive rows of replay in one TFRecord file.

  header    JSON: version, first, oldest, environments, columns
  record    number of the row (int64), then its columns, of all environments
  record    ...

Each is a TFRecord: length (uint64), checksum of it (uint32), data, checksum of
the data (uint32). All rows of a segment take the same bytes, so row n is at a
known place, and a damaged one does not hide those after it. After the header, a
segment can be mapped as an array of `Form.record`.
"""

from collections.abc import Iterator
import json
import math
import operator
import os
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.typing import types

from dreamerv2_tfa import durable
from dreamerv2_tfa.experience import checksums

SUFFIX = '.tfrecord'
_VERSION = 1
_BEFORE, _AFTER = 12, 4  # bytes of a record around its data
_LARGEST_HEADER = 2**20  # bytes
_BLOCK = 2**24  # bytes that are read at once


class Damaged(Exception):
  """A file of rows that cannot be read; the text says why."""


class Form:
  """How rows lie in a segment.

  Attributes:
    columns: Dtype and shape of each leaf of a row, of one environment.
    environments: Environments of a row.
    row: NumPy's dtype of a record's data: fields 'number', '0', '1', ...
    record: Likewise, of a whole record: 'length', 'check', 'row', 'row_check'.
  """

  def __init__(self, data_spec: types.NestedTensorSpec, environments: int):
    leaves = [
        (np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape.as_list()))
        for spec in tf.nest.flatten(data_spec)
    ]
    self.columns = [[dtype.name, list(shape)] for dtype, shape in leaves]
    self.environments = environments
    self.row = np.dtype([('number', '<i8')] + [
        (str(i), dtype, (environments, *shape))
        for i, (dtype, shape) in enumerate(leaves)
    ])
    self.record = np.dtype([
        ('length', '<u8'), ('check', '<u4'), ('row', self.row),
        ('row_check', '<u4'),
    ])
    self._data_spec = data_spec

  def pack(self, number: int, columns: list[np.ndarray]) -> np.ndarray:
    """Rows numbered from `number`, of arrays `[rows, environments, ...]`."""
    rows = np.empty(len(columns[0]), self.row)
    rows['number'] = np.arange(number, number + len(rows))
    for i, column in enumerate(columns):
      rows[str(i)] = column
    return rows

  def unpack(self, rows: np.ndarray) -> Any:
    """Nest of arrays `[rows, environments, ...]`."""
    return tf.nest.pack_sequence_as(
        self._data_spec, [rows[str(i)] for i in range(len(self.columns))]
    )


class Header(NamedTuple):
  """What a segment says of itself.

  Fields:
    first: Number of its first row.
    oldest: Number of the oldest row on disk that was wanted when it was begun.
    environments: Of each row.
    columns: As `Form.columns`.
    start: Byte at which the rows begin.
    size: Bytes of a row.
  """

  first: int
  oldest: int
  environments: int
  columns: list
  start: int
  size: int


class Writer:
  """Writes one segment; what is committed is on the disk.

  Attributes:
    path: The file.
    first: Number of its first row.
    count: Rows that were written.
    committed: Rows that are on the disk.
  """

  def __init__(
      self, path: pathlib.Path, form: Form, first: int, oldest: int):
    """Writes the header of a new file, see `Header`."""
    self.path, self.first, self.count = path, first, 0
    header = json.dumps({
        'version': _VERSION, 'first': first, 'oldest': oldest,
        'environments': form.environments, 'columns': form.columns,
    })
    self._form = form
    self._file = tf.io.TFRecordWriter(str(path))
    self._bytes = self.committed = 0  # on the disk
    self._file.write(header.encode())

  def write(self, columns: list[np.ndarray]) -> None:
    """Appends rows: arrays `[rows, environments, ...]`."""
    for row in self._form.pack(self.first + self.count, columns):
      self._file.write(row.tobytes())
    self.count += len(columns[0])

  def commit(self) -> None:
    """Returns when all rows are on the disk, and the file in its folder."""
    self._file.flush()
    durable.sync(self.path)
    if not self._bytes:
      durable.sync(self.path.parent)
    self._bytes, self.committed = self.path.stat().st_size, self.count

  def close(self) -> None:
    """Ends the segment; what was not committed is removed."""
    try:
      self._file.close()
    except tf.errors.OpError:
      pass  # a full disk, of which `write` or `commit` has told
    if self.committed:
      os.truncate(self.path, self._bytes)
    else:
      self.path.unlink(missing_ok=True)


def header(path: pathlib.Path) -> Header:
  """Reads a segment's header.

  Raises:
    Damaged: If there is none, or it is damaged.
  """
  with path.open('rb') as file:
    begin = file.read(_BEFORE)
    length = int.from_bytes(begin[:8], 'little')
    if len(begin) < _BEFORE or not _checks(begin[:8], begin[8:]):
      raise Damaged('it does not begin with a header')
    if length > _LARGEST_HEADER:
      raise Damaged(f'its header claims {length:,} bytes')
    text, check = file.read(length), file.read(_AFTER)
  if len(text) < length or not _checks(text, check):
    raise Damaged('its header is damaged')
  try:
    found = json.loads(text)
    if found['version'] != _VERSION:
      raise Damaged(f'its form has the version {found["version"]}')
    numbers = [found[key] for key in ('first', 'oldest', 'environments')]
    if not all(type(x) is int and 0 <= x < 2**62 for x in numbers):
      raise TypeError('a number is none')
    size = sum(
        np.dtype(dtype).itemsize * math.prod(map(operator.index, shape))
        for dtype, shape in found['columns']
    )
    first, oldest, environments = numbers
    return Header(
        first, oldest, environments, found['columns'],
        start=_BEFORE + length + _AFTER,
        size=_BEFORE + 8 + environments * size + _AFTER,
    )
  except (ValueError, TypeError, KeyError, RecursionError) as error:
    raise Damaged('its header is of no known form') from error


def read(
    path: pathlib.Path, start: int, first: int, count: int, form: Form
) -> Iterator[np.ndarray]:
  """Reads the rows of a segment that are whole, in blocks.

  Args:
    path: The file.
    start: Byte at which the rows begin.
    first: Number of the first row.
    count: Rows; the file is as long as they claim.
    form: Of the rows.

  Yields:
    Blocks of consecutive rows: arrays of `Form.row`.
  """
  done = 0
  for rows in _fast(path, count, form):
    if (rows['number'] != np.arange(first + done, first + done + len(rows))
        ).any():
      break
    yield rows
    done += len(rows)
  if done < count:
    yield from _checked(path, start, first, count, form, done)


def _fast(path, count, form):
  """Blocks of rows by TensorFlow's reader, which stops at a damaged one."""
  size = form.row.itemsize
  batches = tf.data.TFRecordDataset(str(path), buffer_size=_BLOCK).skip(1).take(
      count).batch(max(_BLOCK // size, 1)).prefetch(1)
  try:
    for block in batches:
      data = tf.io.decode_raw(block, tf.uint8).numpy()
      if data.shape[1] != size:
        return
      yield np.ascontiguousarray(data).view(form.row)[:, 0]
  except tf.errors.OpError:
    return  # `_checked` finds which record it was


def _checked(path, start, first, count, form, done):
  """Blocks of whole rows from row `done` on, each checked by itself."""
  size = form.record.itemsize
  length = np.array([form.row.itemsize], '<u8')
  with path.open('rb') as file:
    file.seek(start + done * size)
    while done < count:
      data = file.read(min(max(_BLOCK // size, 1), count - done) * size)
      records: Any = np.frombuffer(data[:len(data) // size * size], form.record)
      if not len(records):
        return
      raw = records.view(np.uint8).reshape(len(records), size)
      whole = (
          (records['length'] == length)
          & (records['check'] == checksums.masked(length.view(np.uint8)[None]))
          & (records['row_check'] == checksums.masked(
              raw[:, _BEFORE:-_AFTER]))
          & (records['row']['number'] == first + done + np.arange(len(records)))
      )
      for run in _runs(whole):
        yield records['row'][run]
      done += len(records)


def _runs(whole):
  """Slices of the stretches that are true."""
  edges = np.flatnonzero(np.diff(np.r_[False, whole, False].astype(np.int8)))
  return [slice(*edge) for edge in edges.reshape(-1, 2)]


def _checks(data, check):
  """Whether a checksum is that of the bytes before it."""
  wanted = checksums.masked(np.frombuffer(data, np.uint8)[None])
  return int.from_bytes(check, 'little') == int(wanted[0])
