"""Checksums of a run's files, for damage that their readers do not see.

A digit of a setting that has changed is a setting still, and so is a file of
another run. `sums.json` has of each file the bytes that were there at the last
save, and their SHA-256. Files that grow are compared up to there. A checkpoint
that is neither listed, nor noted as begun, is none of this run.
"""

import hashlib
import json
import pathlib
import typing

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import checkpoint_files

if typing.TYPE_CHECKING:
  from dreamerv2_tfa.training import runs

PROMISE = 'checksums'  # in `protocol.json`: the run writes `sums.json`
_BEGINNING = 2**18  # bytes of a file of rows; each row has a checksum besides


class Sums:
  """Writes the checksums of a run's files as they are now."""

  def __init__(self, folder: 'runs.RunFolder'):
    """Looks at nothing yet.

    Args:
      folder: Of the run.
    """
    self._folder, self._rows = folder, {}

  def begin(self, *paths: pathlib.Path) -> None:
    """Notes files that are about to be made or replaced, until `write`.

    Args:
      *paths: In the run's folder.
    """
    names = [_name(self._folder, path) for path in paths]
    try:
      listed, _ = _read(self._folder)
    except _Unreadable:  # `check` has told
      listed = None
    self._write({
        name: each for name, each in (listed or {}).items()
        if name not in names}, names)

  def write(self) -> None:
    """Takes and writes the sums."""
    folder = self._folder
    self._rows = {path: self._row_sum(path) for path in _rows(folder)}
    paths = *settings(folder), *_checkpoints(folder), *_best(folder)
    found = {**{path: _sum(path) for path in paths},
             **{path: _sum(path, whole_lines=True)
                for path in _metrics(folder)}, **self._rows}
    self._write({
        _name(folder, path): each for path, each in found.items()
        if each is not None
    })

  def _row_sum(self, path):
    """That of the beginning, taken again as long as this grows."""
    known = self._rows.get(path)
    if known is not None and known[0] == _BEGINNING:
      return known
    return _sum(path, _BEGINNING)

  def _write(self, files, begun=()):
    text = json.dumps({'files': files, 'begun': list(begun)}, indent=1) + '\n'
    durable.write_text(self._folder.sums, text)


def check(
    folder: 'runs.RunFolder', *, rows: bool = False, checkpoints: bool = True,
    best: bool = False,
) -> None:
  """Prints what `changes` finds; args and errors are its."""
  for line in changes(folder, rows=rows, checkpoints=checkpoints, best=best):
    print(f'Note: {line}')


def changes(
    folder: 'runs.RunFolder', *, rows: bool = False, checkpoints: bool = True,
    best: bool = False,
) -> list[str]:
  """Says which files are not as the run has written them, a line each.

  They are used as they are, since settings may be edited; a checkpoint is not.
  Of checkpoints and rows only those that are there are compared: a save removes
  old ones, and what is missing otherwise is missed elsewhere.

  Args:
    folder: Of the run. One of an earlier version has no sums.
    rows: Whether to look at replay as well.
    checkpoints: Whether to look at checkpoints.
    best: Whether the best one will be used.

  Raises:
    UserError: If a checkpoint is another one.
  """
  # Before the sums: a process that trains here notes a file, then makes it.
  saved = _checkpoints(folder) if checkpoints else []
  kept = _best(folder) if checkpoints else []
  try:
    listed, begun = _read(folder)
  except _Unreadable as error:
    return [str(error)]
  if listed is None:
    return []
  found = [
      _changed(folder, path, listed) for path in (
          *settings(folder), *_metrics(folder),
          *(_rows(folder) if rows else ()))]
  for path in saved + kept:
    name = _name(folder, path)
    there = _sum(path, reading.LINES)
    if there is None or name in begun or there == listed.get(name):
      continue
    if best == (path in kept):
      raise checks.UserError(_foreign(folder, path, name in listed))
    if path in kept:
      found.append(f'{path} is not that of this run: it was damaged, or is of '
                   'another run. It is not used here.')
  return [line for line in found if line is not None]


def _changed(folder, path, listed):
  """What is said of a file that is not as it was, or None."""
  size, digest = listed.get(_name(folder, path), (0, None))
  # Settings do not grow: one byte more would be seen.
  found = _sum(path, size + (path in settings(folder)))
  if digest is None or found == (size, digest):
    return None
  if found is not None:
    return (
        f'{path} is not as the run has written it: it was edited, is damaged '
        'or of another run. What can be read of it is; if you did not edit it, '
        'put it back from a copy.'
    )
  if path.suffix == '.tfrecord':  # a process that trains here removes those
    return None
  return (
      f'{path} is missing, which was there at the last save. If you have a '
      'copy, put it back.'
  )


def _foreign(folder, path, is_listed):
  """What is said of a checkpoint that is not the run's."""
  reason = (
      'its checksum is not the one in' if is_listed else 'it is not listed in')
  return (
      f'{path} is not that of this run: {reason} {folder.sums.name}, so it was '
      'damaged or is of another run. Put it back from a copy, with its '
      f'{folder.sums.name}; or move {path.stem}.* away to take the '
      f'checkpoint before it; or, if you want this one, delete {folder.sums}.'
  )


def settings(folder: 'runs.RunFolder') -> tuple[pathlib.Path, ...]:
  """The files that a run writes at its start, and not again."""
  return folder.config, folder.protocol, folder.specs


def _metrics(folder):
  """Those of the run, and of its evaluator if it has one."""
  return dict.fromkeys((folder.metrics, folder.evaluated.metrics))


def _checkpoints(folder):
  return sorted(filter(
      pathlib.Path.is_file, folder.checkpoints.glob('ckpt-*.index')))


def _best(folder):
  """The files of `best/` that have a sum."""
  best = folder.checkpoints / checkpoint_files.BEST
  return sorted(filter(pathlib.Path.is_file, (
      *best.glob('ckpt-*.index'), best / checkpoint_files.SCORE)))


def _rows(folder):
  return sorted(filter(pathlib.Path.is_file, folder.replay.glob('*.tfrecord')))


def _name(folder, path):
  return path.relative_to(folder.root).as_posix()


def _sum(path, at_most=reading.LINES, *, whole_lines=False):
  """Bytes at the beginning, and the SHA-256 of them; None without the file.

  With `whole_lines`, a last line without end is none of them: another process
  may be writing it.
  """
  if not path.is_file():
    return None
  try:
    with path.open('rb') as file:
      data = file.read(at_most)
  except FileNotFoundError:  # a process that trains here has removed it
    return None
  if whole_lines:
    data = data[:data.rfind(b'\n') + 1]
  return len(data), hashlib.sha256(data).hexdigest()


class _Unreadable(Exception):
  """The sums that a run has written are gone, or damaged; says so."""


def _read(folder):
  """The sums by name, and the names of files that were begun.

  Both are empty, and the first one is None, for runs of earlier versions.

  Raises:
    _Unreadable: If others have no sums that can be read.
  """
  path = folder.sums
  untold = (
      'so whether files of the run were changed cannot be told. The next save '
      'writes it again.'
  )
  if not path.exists():
    if _promised(folder):
      raise _Unreadable(f'{path} is missing, {untold}')
    return None, []
  try:
    found = reading.parsed(reading.text(path))
    return {
        name: (int(size), str(digest))
        for name, (size, digest) in found['files'].items()
        if 0 <= size <= reading.LINES
    }, list(map(str, found['begun']))
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    raise _Unreadable(f'{path} cannot be read ({error}), {untold}') from error


def _promised(folder):
  """Whether the run has written sums, as those of earlier versions have not."""
  try:
    return bool(reading.parsed(reading.text(folder.protocol)).get(PROMISE))
  except (OSError, ValueError, AttributeError):  # its readers say so
    return False
