"""Checksums of a run's files, for damage that their readers do not see.

A digit of a setting that has changed is a setting still, and so is a file of
another run. `sums.json` has of each file the bytes that were there at the last
save, and their SHA-256. Files that grow are compared up to there.
"""

import hashlib
import json
import pathlib
import typing

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading

if typing.TYPE_CHECKING:
  from dreamerv2_tfa.training import runs

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
    """Leaves out files that are about to be replaced, until `write`.

    Args:
      *paths: In the run's folder.
    """
    listed = _read(self._folder)
    names = [_name(self._folder, path) for path in paths]
    left = {name: listed[name] for name in listed if name not in names}
    if left != listed:
      self._write(left)

  def write(self) -> None:
    """Takes and writes the sums."""
    folder = self._folder
    self._rows = {path: self._row_sum(path) for path in _rows(folder)}
    paths = (*settings(folder), folder.metrics, *_checkpoints(folder))
    found = {**{path: _sum(path) for path in paths}, **self._rows}
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

  def _write(self, files):
    text = json.dumps({'files': files}, indent=1) + '\n'
    durable.write_text(self._folder.sums, text)


def check(folder: 'runs.RunFolder', *, rows: bool = False) -> None:
  """Prints which files are not as the run has written them.

  They are used as they are, since settings may be edited; a checkpoint is not.
  Of checkpoints and rows only those that are there are compared: a save removes
  old ones, and what is missing otherwise is missed elsewhere.

  Args:
    folder: Of the run. One of an earlier version has no sums.
    rows: Whether to look at replay as well.

  Raises:
    UserError: If a checkpoint is another one.
  """
  listed = _read(folder)
  always = *settings(folder), folder.metrics
  checkpoints = _checkpoints(folder)
  for path in (*always, *checkpoints, *(_rows(folder) if rows else ())):
    size, digest = listed.get(_name(folder, path), (0, None))
    whole = path in settings(folder) or path in checkpoints  # it does not grow
    found = _sum(path, size + whole)
    if digest is None or found == (size, digest):
      continue
    if found is None:
      if path in always:  # a process that trains here may remove others
        print(
            f'Note: {path} is missing, which was there at the last save. What '
            'it said is lost, unless you put it back from a copy.'
        )
    elif path in checkpoints:
      raise checks.UserError(
          f'{path} is not that of this run: its checksum is not the one in '
          f'{folder.sums.name}, so it was damaged or is of another run. Put it '
          f'back from a copy; or move {path.stem}.* away to take the '
          f'checkpoint before it; or, if you want this one, delete '
          f'{folder.sums}.'
      )
    else:
      print(
          f'Note: {path} is not as the run has written it: it was edited, is '
          'damaged or of another run. It is read as it is; if you did not edit '
          'it, put it back from a copy.'
      )


def settings(folder: 'runs.RunFolder') -> tuple[pathlib.Path, ...]:
  """The files that a run writes at its start, and not again."""
  return folder.config, folder.protocol, folder.specs


def _checkpoints(folder):
  return sorted(filter(
      pathlib.Path.is_file, folder.checkpoints.glob('ckpt-*.index')))


def _rows(folder):
  return sorted(filter(pathlib.Path.is_file, folder.replay.glob('*.tfrecord')))


def _name(folder, path):
  return path.relative_to(folder.root).as_posix()


def _sum(path, at_most=reading.LINES):
  """Bytes at the beginning, and the SHA-256 of them; None without the file."""
  if not path.is_file():
    return None
  try:
    with path.open('rb') as file:
      data = file.read(at_most)
  except FileNotFoundError:  # a process that trains here has removed it
    return None
  return len(data), hashlib.sha256(data).hexdigest()


def _read(folder):
  """The sums by name; {} where there are none or they are damaged."""
  path = folder.sums
  if not path.exists():
    return {}
  try:
    files = reading.parsed(reading.text(path))['files']
    return {
        name: (int(size), str(digest))
        for name, (size, digest) in files.items() if 0 <= size <= reading.LINES
    }
  except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
    print(
        f'Note: {path} cannot be read ({error}), so whether files of the run '
        'were changed cannot be told. The next save writes it again.'
    )
    return {}
