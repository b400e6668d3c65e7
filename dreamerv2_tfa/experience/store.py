"""Replay on disk: the rows of a buffer, from which a run resumes."""

from collections.abc import Callable
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.typing import types

from dreamerv2_tfa.experience import archives
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import clean
from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import reader as reader_lib
from dreamerv2_tfa.experience import repair as repair_lib
from dreamerv2_tfa.experience import segments

_SEGMENT = 2**26  # bytes of a segment, after which another is begun
_SHARE = 10  # a segment has no more than this part of the rows that are kept
_BLOCK = 2**24  # bytes that are written at once


class Store:
  """Rows of a replay buffer in segments, `<number of the first row>.tfrecord`.

  Each save appends the rows added since the last one, so a run writes every row
  once. Rows are in the order of collection; step types mark episodes. A row of
  all environments has one number.

  A checkpoint that is written after a save counts its rows by the number that
  `save` returns. Given to `load`, rows that were written after that checkpoint
  are left out, and the buffer is as it was.

  `load` writes nothing, so any process may call it. The first save after it
  removes the rows that were left out, and renames unusable files `*.damaged`.

  Attributes:
    missing: Rows that were saved and are no longer on disk, or are damaged
      there, each counted once for all environments.
    notes: A sentence on each file on disk with which something is wrong.
  """

  def __init__(
      self, replay_dir: str | os.PathLike[str], buffer: buffer_lib.Buffer,
      kept: int | None = None):
    """Prepares the store; reads and writes nothing.

    Args:
      replay_dir: Folder of the files.
      buffer: An empty one.
      kept: Rows of each environment that stay on disk. None, or fewer than the
        buffer's: as many as in the buffer.
    """
    self._directory = pathlib.Path(replay_dir)
    self._buffer = buffer
    self._kept = max(kept or 0, buffer.length)
    self._form = segments.Form(buffer.data_spec, buffer.environments)
    size = self._form.record.itemsize
    self._segment_rows = max(min(self._kept // _SHARE, _SEGMENT // size), 1)
    self._block_rows = max(_BLOCK // size, 1)
    self._files: list[reader_lib.File] = []  # that are wanted
    self._outdated: list[pathlib.Path] = []
    self._repair = repair_lib.Repair()
    self._writer: segments.Writer | None = None
    self._saved = 0  # rows of the buffer that are on disk
    self._offset = 0  # number on disk of the buffer's first row
    self._oldest = 0  # number of the oldest row that is wanted
    self._committed = 0  # what the last save returned
    self._clean = clean.Clean()
    self.notes: list[str] = []
    self.missing = 0

  @property
  def cut(self) -> int:
    """Rows on disk that the checkpoint does not count."""
    return self._repair.cut

  @property
  def skipped(self) -> int:
    """Rows not added because of a number that `clean.Clean` refuses."""
    return self._clean.skipped

  def load(
      self, end: int | None = None, *, last: int = 0,
      before_last: Callable[[], None] | None = None) -> int:
    """Adds the rows on disk to the buffer; returns how many it holds.

    Args:
      end: What `save` returned before the checkpoint was written. None: a
        checkpoint of an earlier version, which does not say.
      last: Rows that are added at the end, after a call of `before_last`.
      before_last: Called once; the buffer is then as it was before them.

    Raises:
      ValueError: If rows have other specs than the buffer's, or come from
        another number of environments, or none of the files can be read.
    """
    found = folder.survey(self._directory)
    for part in found.parts:
      folder.check_form(part, self._form)
    self.notes = [*found.notes, *found.unusable.values()]
    first, next_ = self._span(found.parts)
    if end is None:
      end = max([part.end for part in found.parts] + [next_])
    parts = self._repair.leave_out(found.parts, end)
    self._oldest = max([part.oldest for part in parts] + [first])
    self._outdated = [x.path for x in parts if x.end <= self._oldest]
    parts = [part for part in parts if part.end > self._oldest]
    tail = buffer_lib.Tail(self._buffer, last, before_last)
    reader = self._fill(parts, tail)
    self._clean = reader.clean
    self.notes += [*self._repair.notes, *reader.notes]
    self._repair.unusable += [*found.unusable, *reader.unreadable]
    if self.notes and not tail.rows_in_all:
      raise ValueError(self.notes[0])
    tail.end()
    self._saved = int(self._buffer.added)
    self._offset, self._committed = end - self._saved, end
    low = max(self._oldest, end - self._kept)
    self.missing = max(end - low - self._whole(low), 0)
    self.notes += folder.gaps(self._directory, parts, low, end)
    return min(self._saved, self._buffer.length)

  def add(self, rows: Any) -> None:
    """Adds a nest of arrays `[rows, environments, ...]` to the buffer."""
    self._buffer.append(self._clean(rows))

  def save(self) -> int:
    """Writes the rows that are not on disk yet, and waits for the disk.

    Files with none of the newest rows are removed. The newest are those of the
    save before this one, because its checkpoint is the last one until the
    caller has written another.

    Returns:
      Number of the next row, for the checkpoint and `load`.
    """
    end = int(self._buffer.added)
    first = max(self._saved, end - self._buffer.length)
    try:
      if first > self._saved:  # rows were overwritten before a save
        self._end_segment()
        self._oldest = first + self._offset
      while first < end:
        first = self._write(first, end)
      self._commit()
      self._count()
    except BaseException:
      self._end_segment()
      raise
    self._committed = end + self._offset
    return self._committed

  def _write(self, first, end):
    """Writes some rows of the buffer; returns the next one to write."""
    if self._writer is None or self._writer.count >= self._segment_rows:
      self._commit()
      self._end_segment()
      self._begin(first + self._offset)
    writer: Any = self._writer
    room = self._segment_rows - writer.count
    end = min(end, first + self._block_rows, first + room)
    writer.write(self._buffer.rows(first, end))
    return end

  def _commit(self):
    """Waits until what was written is on the disk."""
    if self._writer is not None:
      self._writer.commit()

  def _end_segment(self):
    """Closes the file; what was not committed is not in it."""
    if self._writer is not None:
      self._writer.close()
      self._count()
      self._writer = None
      if not self._files[-1].rows:
        self._files.pop()

  def _count(self):
    """Counts the committed rows of the file that is being written."""
    if self._writer is not None and self._writer.committed:
      path, first, rows = (
          self._writer.path, self._writer.first, self._writer.committed)
      self._files[-1] = reader_lib.File(path, first, rows)
      self._saved = first + rows - self._offset

  def _begin(self, number):
    """Begins a segment, then removes the files that are not wanted any more."""
    self._directory.mkdir(parents=True, exist_ok=True)
    self._repair.make()
    while self._files and self._newer() >= self._kept:
      self._outdated.append(self._files.pop(0).path)
    wanted = self._files[0].first if self._files else number
    self._oldest = max(self._oldest, wanted)
    path = folder.segment_path(self._directory, number)
    if os.path.lexists(path):
      folder.set_aside(path)
    self._files.append(reader_lib.File(path, number, 0))
    self._writer = segments.Writer(path, self._form, number, self._oldest)
    self._writer.commit()
    for path in [*self._outdated, archives.span_file(self._directory)]:
      path.unlink(missing_ok=True)
    self._outdated = []

  def _newer(self):
    """Rows of the last checkpoint that are not in the oldest file."""
    return sum(
        min(file.rows, max(self._committed - file.first, 0))
        for file in self._files[1:]
    )

  def _whole(self, low):
    """Rows on disk from this number on."""
    return sum(
        max(file.rows - max(low - file.first, 0), 0) for file in self._files
    )

  def number_of(self, row: int) -> int:
    """The number on disk of a row of the buffer, from 0."""
    return row + self._offset

  def _fill(self, parts, tail):
    """Adds the last rows to the buffer; the reader that has read them.

    If so many are damaged that the buffer is not full, older files are read.
    """
    wanted = self._buffer.length + tail.rows
    for chosen in (reader_lib.newest(parts, wanted), parts):
      reader = reader_lib.Reader(self._form)
      self._buffer.clear()
      tail.clear()
      whole = len(chosen) == len(parts)
      for rows in reader.read(chosen, self._oldest if whole else None):
        tail.append(rows)
      if whole or int(self._buffer.added) >= self._buffer.length:
        break
    self._files = [
        reader_lib.File(part.path, part.first, part.count)
        for part in parts[:len(parts) - len(chosen)]
    ] + reader.files
    return reader

  def _span(self, parts):
    """Numbers of the oldest row and of the next one, of an earlier version."""
    archived = parts and not parts[0].is_segment
    default = (parts[0].first if archived else 0), 0
    try:
      return archives.span(self._directory) or default
    except segments.Damaged as error:
      path = archives.span_file(self._directory)
      self.notes.append(
          f'{path} cannot be read ({error}), so rows that are missing at the '
          'end are not noticed. The next save removes it.'
      )
      return default


def check(replay_dir: str | os.PathLike[str]) -> None:
  """Refuses a replay folder without stored rows.

  Raises:
    ValueError: If there are none.
  """
  directory = pathlib.Path(replay_dir)
  found = folder.survey(directory)
  if not found.parts:
    raise ValueError(next(iter(found.unusable.values()), (
        f'train.replay_from = {str(directory.parent)!r} has no stored rows: '
        f'{directory.name}/ holds no *{segments.SUFFIX}. Give the folder of a '
        'run that has saved.'
    )))


def rows(replay_dir: str | os.PathLike[str]) -> int:
  """Rows of each environment on disk, by the headers of their files."""
  parts = folder.survey(pathlib.Path(replay_dir)).parts
  oldest = max((part.oldest for part in parts), default=0)
  return sum(part.count for part in parts if part.end > oldest)


def read(
    replay_dir: str | os.PathLike[str], data_spec: types.NestedTensorSpec, *,
    at_least: int = 20_000) -> Any:
  """Reads the newest rows of a run, without a replay buffer.

  What is damaged is left out, and a line is printed about it.

  Args:
    replay_dir: Folder of the files.
    data_spec: Of one row: `agent.collect_data_spec`.
    at_least: Stop at so many rows; older files are not read.

  Returns:
    Nest like `data_spec` of arrays `[rows, environments, ...]`, oldest first.

  Raises:
    ValueError: If nothing is stored, or nothing of it can be read, or its rows
      have other specs.
  """
  check(replay_dir)
  survey = folder.survey(pathlib.Path(replay_dir))
  form = segments.Form(data_spec, survey.parts[-1].environments)
  for part in survey.parts:
    folder.check_form(part, form)
  reader = reader_lib.Reader(form)
  parts = reader_lib.newest(survey.parts, at_least)
  found = list(reader.read(parts))
  notes = [
      *survey.notes, *survey.unusable.values(), *reader.notes, *folder.gaps(
          pathlib.Path(replay_dir), parts, parts[0].first, parts[-1].end),
  ]
  if not found:
    raise ValueError(notes[0] if notes else f'{replay_dir} holds no rows.')
  for note in notes:
    print(f'Note: {note}')
  return tf.nest.map_structure(lambda *x: np.concatenate(x), *found)
