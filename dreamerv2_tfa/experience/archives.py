"""Replay files of earlier versions: an `*.npz` a save, with a column a leaf.

They are read and never written. Columns are read side by side in blocks, so
what a file claims to hold takes no memory.
"""

from collections.abc import Iterator
import contextlib
import math
import pathlib
from typing import Any
from typing import NamedTuple
import zipfile
import zlib

import numpy as np

from dreamerv2_tfa import reading
from dreamerv2_tfa.experience import segments

SUFFIX = '.npz'
_SPAN = 'replay.json'  # beside the replay folder: first row, next row
_BLOCK = 2**24  # bytes that are read at once
_DEFLATE = 1040  # no more bytes come of one that is compressed

# Errors of reading a file that is truncated or no *.npz.
_UNREADABLE = (
    OSError, EOFError, KeyError, ValueError, TypeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
    RecursionError, MemoryError,
)


class Header(NamedTuple):
  """What a file says of itself: rows, environments, and `Form.columns`."""

  count: int
  environments: int
  columns: list


def header(path: pathlib.Path) -> Header:
  """Reads how many rows there are, and of which form.

  Raises:
    Damaged: If the file is no `*.npz` of rows, or claims more than it holds.
  """
  with _unreadable(), zipfile.ZipFile(path) as file:
    forms = [_column(file, str(i))[1:] for i in range(len(file.namelist()))]
    if not forms or any(len(shape) < 2 for _, shape in forms):
      raise ValueError('no columns of rows')
    begins = {shape[:2] for _, shape in forms}
    if len(begins) > 1:
      raise ValueError('columns of several lengths')
    columns = [[dtype.name, list(shape[2:])] for dtype, shape in forms]
    count, environments = begins.pop()
    return Header(count, environments, columns)


def read(
    path: pathlib.Path, first: int, form: segments.Form
) -> Iterator[np.ndarray]:
  """Reads the rows of a file whose header fits the form.

  Args:
    path: The file.
    first: Number of the first row.
    form: Of the rows.

  Yields:
    Blocks of consecutive rows: arrays of `Form.row`.

  Raises:
    Damaged: If a checksum is wrong; before anything is yielded.
  """
  at_once = max(_BLOCK // form.row.itemsize, 1)
  with _unreadable(), zipfile.ZipFile(path) as file, contextlib.ExitStack() as (
      stack):
    if (name := file.testzip()) is not None:
      raise ValueError(f'the checksum of {name} is wrong')
    columns = [_column(file, str(i)) for i in range(len(form.columns))]
    for stream, _, _ in columns:
      stack.enter_context(stream)
    count = columns[0][2][0]
    for start in range(0, count, at_once):
      rows = min(at_once, count - start)
      yield form.pack(first + start, [
          _rows(stream, dtype, (rows, *shape[1:]))
          for stream, dtype, shape in columns
      ])


def span(replay_dir: pathlib.Path) -> tuple[int, int] | None:
  """Number of the oldest row that should be there, and of the next one.

  Returns:
    None if no earlier version wrote them.

  Raises:
    Damaged: If the file in which they are is damaged.
  """
  path = span_file(replay_dir)
  if not path.exists():
    return None
  with _unreadable():
    found = reading.parsed(reading.text(path, 1000))
    first, end = int(found['first']), int(found['next'])
    if not 0 <= first <= end < 2**62:
      raise ValueError('its numbers are none of rows')
    return first, end


def span_file(replay_dir: pathlib.Path) -> pathlib.Path:
  """Where an earlier version wrote what `span` reads."""
  return replay_dir.with_name(_SPAN)


@contextlib.contextmanager
def _unreadable():
  """Raises `Damaged`, with a reason in one line, for any error of reading."""
  try:
    yield
  except _UNREADABLE as error:
    reason = str(error).strip().partition('\n')[0] or type(error).__name__
    raise segments.Damaged(reason) from error


def _column(file: zipfile.ZipFile, name: str) -> tuple[Any, np.dtype, Any]:
  """The stream of a column, behind its header; its dtype and shape."""
  info = file.getinfo(f'{name}.npy')
  stream = file.open(info)
  version = np.lib.format.read_magic(stream)
  if version != (1, 0):
    raise ValueError(f'an array of version {version}')
  shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
  claimed = math.prod(shape) * dtype.itemsize
  if claimed != info.file_size - stream.tell() or (
      claimed > _DEFLATE * info.compress_size or fortran or dtype.hasobject):
    raise ValueError(f'column {name} claims {claimed:,} bytes')
  return stream, dtype, shape


def _rows(stream, dtype, shape):
  """The next rows of a column."""
  size = math.prod(shape) * dtype.itemsize
  data = stream.read(size)
  if len(data) < size:
    raise EOFError('it ends inside a row')
  return np.frombuffer(data, dtype).reshape(shape)
