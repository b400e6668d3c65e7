"""`metrics.jsonl` and the lines beside it, and the last films in `videos/`.

The lines of `metrics.jsonl` are reports and evaluations, and are equal to the
last digit (but `fps`) where a run is repeated. What differs then, time and
memory, and what an evaluation has diagnosed, have files of their own.
"""

import io
import json
import math
import os

import numpy as np

from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import videos
from dreamerv2_tfa.training.loggers import logger

EXTRA = None

_BESIDE = {'time/': 'machine', 'memory/': 'machine',  # of a `RunFolder`
           'diagnostics/': 'diagnostics'}
_TAIL = 2**20  # bytes, more than a line has


class Lines:
  """Writes one line a report or evaluation; see `logger.Logger`."""

  def __init__(self, start: logger.Start):
    """Opens the file for appending.

    Where a session that was killed has written what the run that is resumed
    does not know of, a line marks it as superseded, see `metrics.read`.

    Args:
      start: Of the session.

    Raises:
      ValueError: If a line is damaged, other than the last one cut short.
    """
    self._videos = start.folder.videos
    path = start.folder.metrics
    live, whole = metrics_lib.parse(path)
    if path.exists() and path.stat().st_size != whole:
      with path.open('r+b') as file:
        file.truncate(whole)
    self._lines = path.open('a', encoding='utf-8')
    if whole and not reading.data(path, reading.LINES).endswith(b'\n'):
      self._lines.write('\n')
    self._folder, self._beside = start.folder, {}
    mark = _mark(start, live)
    if metrics_lib.left(live, mark) != live:
      _write_line(self._lines, mark)

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes a line of each file; numbers that are not finite are null."""
    rows: dict[str, dict[str, float | None]] = {}
    for key, value in metrics.items():
      file = next((_BESIDE[x] for x in _BESIDE if key.startswith(x)), '')
      rows.setdefault(file, {})[key] = value if math.isfinite(value) else None
    for file, row in rows.items():
      _write_line(self._file(file), {'step': step, **row})

  def _file(self, name):
    """The open file of a name in `_BESIDE`; '': `metrics.jsonl`."""
    if not name:
      return self._lines
    if name not in self._beside:
      self._beside[name] = _appending(getattr(self._folder, name))
    return self._beside[name]

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Writes films as GIF, over the last ones."""
    del step
    for name, film in films.items():
      self._videos.mkdir(exist_ok=True)
      path = self._videos / f'{name.replace("/", "_")}.gif'
      durable.write_bytes(path, videos.gif(film))

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Does nothing."""

  def text(self, name: str, markdown: str) -> None:
    """Does nothing: the run's folder has the files."""

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Does nothing: the run's folder has the files."""

  def sync(self) -> None:
    """Flushes the file to the disk."""
    os.fsync(self._lines.fileno())

  def close(self) -> None:
    """Closes the files."""
    for file in (self._lines, *self._beside.values()):
      file.close()


def _appending(path):
  """Opens a file of lines, without the one that a kill has cut short."""
  file = path.open('ab+')
  start = max(file.tell() - _TAIL, 0)
  file.seek(start)
  tail = file.read()
  file.truncate(start + len(tail) - len(tail.rpartition(b'\n')[2]))
  return io.TextIOWrapper(file, encoding='utf-8')


def _write_line(file, row):
  file.write(json.dumps(row) + '\n')
  file.flush()


def _mark(start, live):
  """The line that supersedes what is beyond the start, where anything is."""
  last = {'train': start.reported, 'eval': start.evaluated}
  for kind in last:  # `step` itself, where it says the same
    if not any(
        metrics_lib.kind(row) == kind and last[kind] < row['step'] <= start.step
        for row in live):
      last[kind] = start.step
  mark = {'step': start.step, 'resumed': last['train']}
  if last['eval'] != last['train']:
    mark['evaluated'] = last['eval']
  return mark


OPEN = Lines
