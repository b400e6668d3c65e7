"""Reads stored rows file by file: whole ones, cleaned, with gaps marked."""

from collections.abc import Iterator
import pathlib
import time
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa.experience import clean
from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import segments

_TELL_EVERY = 5.0  # seconds
_PLACES = 4  # damaged places of a file that are listed


class File(NamedTuple):
  """A file of rows: the number of the first one, and how many are whole."""

  path: pathlib.Path
  first: int
  rows: int


class Reader:
  """Reads files of rows, oldest first.

  The row after a gap becomes the first of an episode, see `clean.Clean`.

  Attributes:
    clean: Counts the rows that were skipped for their numbers.
    files: What was read.
    notes: A sentence on each file that is damaged.
    unreadable: Files of which nothing could be read.
  """

  def __init__(self, form: segments.Form):
    """Will read rows of this form."""
    self._form = form
    self.clean = clean.Clean()
    self.files: list[File] = []
    self.notes: list[str] = []
    self.unreadable: list[pathlib.Path] = []

  def read(
      self, parts: list[folder.Part], expected: int | None = None
  ) -> Iterator[Any]:
    """Yields nests of arrays `[rows, environments, ...]`.

    A long read prints how far it is.

    Args:
      parts: Of a survey, all of this reader's form.
      expected: Number of the row with which the first file should begin; None:
        the one with which it does.
    """
    if expected is None:
      expected = parts[0].first if parts else 0
    total, told = sum(part.count for part in parts), time.monotonic()
    for part in parts:
      self.clean.gap |= part.first > expected
      yield from self._read(part)
      expected = part.end
      if time.monotonic() - told > _TELL_EVERY:
        told = time.monotonic()
        done = sum(file.rows for file in self.files)
        print(f'Replay: {done:,} of {total:,} rows are read.', flush=True)

  def _read(self, part):
    """Blocks of one file."""
    done, whole, damaged = part.first, 0, []
    try:
      for rows in folder.read(part, self._form):
        first = int(rows['number'][0])
        if first >= part.end:
          break
        rows = rows[:part.end - first]
        if first != done:
          damaged.append((done, first))
          self.clean.gap = True
        yield self.clean(self._form.unpack(rows))
        done, whole = first + len(rows), whole + len(rows)
    except (segments.Damaged, OSError) as error:
      self.notes.append(folder.unreadable(part.path, error))
      self.unreadable.append(part.path)
    else:
      if done < part.end:
        damaged.append((done, part.end))
      if damaged:
        self.notes.append(_places(part.path, damaged))
    self.clean.gap |= done < part.end
    self.files.append(File(part.path, part.first, whole))


def newest(parts: list[folder.Part], rows: int) -> list[folder.Part]:
  """The last files that hold so many rows together, or all."""
  chosen: list[folder.Part] = []
  for part in reversed(parts):
    if sum(part.count for part in chosen) >= rows:
      break
    chosen.insert(0, part)
  return chosen


def _places(path, damaged):
  """A sentence on damaged rows."""
  listed = ', '.join(
      f'{first:,}' if end == first + 1 else f'{first:,} to {end - 1:,}'
      for first, end in damaged[:_PLACES]
  )
  if len(damaged) > _PLACES:
    listed += f' and at {len(damaged) - _PLACES} more places'
  return (
      f'{path} is damaged at row {listed}. Put it back from a copy, or these '
      'rows are lost; all others are kept.'
  )
