"""What is wrong with the end of a replay folder, and how it is put right."""

import os
import pathlib

from dreamerv2_tfa import durable
from dreamerv2_tfa.experience import folder


class Repair:
  """Changes to a replay folder: planned when it is read, made when it is saved.

  Attributes:
    cut: Rows after the end, also those that are written in part.
    notes: A sentence on each file that ends too early, or is of no use there.
    unusable: Files that will be renamed `*.damaged`.
  """

  def __init__(self):
    self._lengths: dict[pathlib.Path, int] = {}
    self._leftovers: list[pathlib.Path] = []
    self.cut = 0
    self.notes: list[str] = []
    self.unusable: list[pathlib.Path] = []

  def leave_out(self, parts: list[folder.Part], end: int) -> list[folder.Part]:
    """Leaves out what is on disk after the last row; changes nothing yet.

    Args:
      parts: Of a survey.
      end: Number of the row after the last one.

    Returns:
      The parts up to the end.
    """
    counted = []
    for part in parts:
      count = max(min(part.count, end - part.first), 0)
      if not part.is_segment:  # no file of an earlier version is a leftover
        if not count:
          self.unusable.append(part.path)
          self.notes.append(
              f'{part.path} holds rows from {part.first:,} on, and the last '
              f'checkpoint ends at {end:,}. It is not read.'
          )
      elif not count:
        self._leftovers.append(part.path)
      elif count < part.count or part.torn:
        self._lengths[part.path] = part.start + count * part.size
      if part.is_segment:
        self.cut += part.count - count + (part.torn and part.end >= end)
      if part.torn and part.end < end:
        self.notes.append(
            f'{part.path} ends inside row {part.end:,}. Put it back from a '
            'copy, or the rows from there on are lost; all others are kept.'
        )
      if count:
        counted.append(part._replace(count=count))
    return counted

  def make(self) -> None:
    """Makes the planned changes, each once."""
    for path, length in self._lengths.items():
      os.truncate(path, length)
      durable.sync(path)
    for path in self._leftovers:
      path.unlink(missing_ok=True)
    for path in self.unusable:
      if os.path.lexists(path):
        folder.set_aside(path)
    self._lengths, self._leftovers, self.unusable = {}, [], []
