"""A replay folder: which rows are in which file, and what is no such file."""

from collections.abc import Iterator
import os
import pathlib
import stat
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa.experience import archives
from dreamerv2_tfa.experience import segments

_ASIDE = '.damaged'


class Part(NamedTuple):
  """A file of rows that can be read.

  Fields:
    path: The file.
    first: Number of its first row.
    count: Rows that it is long enough for.
    torn: Whether it ends inside a row.
    oldest: Number of the oldest row on disk that was wanted when it was begun;
      0 for an archive.
    environments: Of each row.
    columns: As `segments.Form.columns`.
    start: Byte at which the rows begin; 0 for an archive.
    size: Bytes of a row; 0 for an archive.
  """

  path: pathlib.Path
  first: int
  count: int
  torn: bool
  oldest: int
  environments: int
  columns: list
  start: int = 0
  size: int = 0

  @property
  def end(self) -> int:
    """Number of the row after its last one."""
    return self.first + self.count

  @property
  def is_segment(self) -> bool:
    """Whether it is of the present form, and not an archive."""
    return self.start > 0


class Survey(NamedTuple):
  """What is in a replay folder.

  Fields:
    parts: Files of rows, oldest first, none of which overlap.
    unusable: Other files under their names, and a sentence on each.
    notes: A sentence on each usable file that is not as it was written.
  """

  parts: list[Part]
  unusable: dict[pathlib.Path, str]
  notes: list[str]


def survey(directory: pathlib.Path) -> Survey:
  """Looks at each file; reads headers alone, and writes nothing.

  Raises:
    ValueError: If there is something else than a folder.
  """
  parts, unusable, notes = [], {}, []
  for path in files(directory):
    try:
      parts.append(_part(path))
    except segments.Damaged as error:
      unusable[path] = unreadable(path, error)
  chosen, copies, longer = _apart(parts)
  unusable |= {
      part.path: (
          f'{part.path} holds rows from {part.first:,} on, as other files do: '
          'it is a copy, or was renamed. It is not read.'
      ) for part in copies
  }
  notes += [
      f'{part.path} is longer than the rows up to {part.end:,}, with which the '
      'next file begins. What follows in it is not read.' for part in longer
  ]
  notes += [
      f'{part.path} was renamed: it holds the rows from {part.first:,} on, and '
      'is read as those.' for part in chosen if not _named_well(part)
  ]
  return Survey(chosen, unusable, notes)


def _apart(parts: list[Part]) -> tuple[list[Part], list[Part], list[Part]]:
  """Files that do not overlap; copies; and those of the first that were longer.

  A segment says where it begins. An archive has its name alone for that, so
  where one overlaps with a segment, the archive was renamed.
  """
  # Of two files of the same rows, the one with the right name comes first.
  parts = sorted(parts, key=lambda part: (
      part.first, not part.is_segment, not _named_well(part), -part.count))
  chosen, copies, longer = [], [], []
  for part in parts:
    while chosen and part.is_segment and not chosen[-1].is_segment and (
        chosen[-1].first < part.first < chosen[-1].end):
      copies.append(chosen.pop())
    before = chosen[-1] if chosen else None
    if before is None or part.first >= before.end:
      chosen.append(part)
    elif part.is_segment and part.first > before.first:
      chosen[-1] = before._replace(count=part.first - before.first)
      longer.append(chosen[-1])
      chosen.append(part)
    else:
      copies.append(part)
  return chosen, copies, longer


def gaps(
    directory: pathlib.Path, parts: list[Part], first: int, end: int
) -> list[str]:
  """A sentence on each stretch of rows that no file is long enough for."""
  notes = []
  for part_first, part_end in [(x.first, x.end) for x in parts] + [(end, end)]:
    if part_first > first:
      notes.append(
          f'Rows {first:,} to {part_first - 1:,} are in no file of '
          f'{directory}: one is missing, or was cut.'
      )
    first = max(first, part_end)
  return notes


def files(directory: pathlib.Path) -> list[pathlib.Path]:
  """All files with the suffix of one with rows, by name.

  Raises:
    ValueError: If there is something else than a folder.
  """
  if not os.path.lexists(directory):
    return []
  if not directory.is_dir():
    raise ValueError(
        f'{directory} is no folder, so no rows can be there. Put the folder '
        'back from a copy.'
    )
  return sorted(
      path for path in directory.iterdir()
      if path.suffix in (segments.SUFFIX, archives.SUFFIX)
  )


def unreadable(path: pathlib.Path, error: Exception) -> str:
  """A sentence on a file that cannot be read."""
  return (
      f'{path} cannot be read ({error}). Put it back from a copy, or the rows '
      'in it are lost; all others are kept.'
  )


def segment_path(directory: pathlib.Path, first: int) -> pathlib.Path:
  """Where the segment is that begins with this row."""
  return directory / f'{first:012d}{segments.SUFFIX}'


def read(part: Part, form: segments.Form) -> Iterator[np.ndarray]:
  """Yields blocks of consecutive rows, those that are whole: of `Form.row`.

  Raises:
    Damaged: If an archive cannot be read.
  """
  if part.is_segment:
    return segments.read(part.path, part.start, part.first, part.count, form)
  return archives.read(part.path, part.first, form)


def check_form(part: Part, form: segments.Form) -> None:
  """Refuses rows of another form.

  Raises:
    ValueError: If the specs or the number of environments differ.
  """
  if part.columns != form.columns:
    say = lambda column: f'{column[0]} {list(column[1])}'
    different = [
        f'{say(got)}, wanted {say(want)}'
        for got, want in zip(part.columns, form.columns, strict=False)
        if got != want
    ] or [f'{len(part.columns)} columns, wanted {len(form.columns)}']
    raise ValueError(
        f'The rows in {part.path} are of another form: got '
        f'{"; ".join(different)}. They come of other observations or actions: '
        'take another folder.'
    )
  if part.environments != form.environments:
    raise ValueError(
        f'{part.path} was collected by {part.environments} environments; got '
        f'{form.environments}. Set train.environments = {part.environments}, '
        'or take another --root_dir.'
    )


def set_aside(path: pathlib.Path) -> pathlib.Path:
  """Renames a file so that it is not looked at any more; to what."""
  number, aside = 1, path.with_name(path.name + _ASIDE)
  while os.path.lexists(aside):
    number += 1
    aside = path.with_name(f'{path.name}{_ASIDE}-{number}')
  path.rename(aside)
  return aside


def _part(path: pathlib.Path) -> Part:
  """The rows that a file is said to hold.

  Raises:
    Damaged: If it holds none.
  """
  try:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
      raise segments.Damaged('it is no file, but a link, folder or device')
    if path.suffix == archives.SUFFIX:
      if not path.stem.isascii() or not path.stem.isdigit():
        raise segments.Damaged('its name is no number of a row')
      count, environments, columns = archives.header(path)
      return Part(
          path, int(path.stem), count, False, 0, environments, columns)
    header = segments.header(path)
  except OSError as error:
    raise segments.Damaged(error.strerror or str(error)) from error
  count, rest = divmod(found.st_size - header.start, header.size)
  return Part(
      path, header.first, count, rest > 0, header.oldest, header.environments,
      header.columns, header.start, header.size,
  )


def _named_well(part):
  return part.path.stem == f'{part.first:012d}'
