"""What a report shows of a run beside its metrics: videos, open-loop errors."""

import base64
import math
import pathlib
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa import reading
from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.training import runs

_MOST_BYTES = 5 * 10**6  # of a picture or a video
_MOST_VIDEOS = 4         # the newest ones
_MOST_KEYS = 20          # of open_loop.json
_KINDS = {  # where a file's first bytes are, which, and its type
    '.gif': (0, b'GIF8', 'image/gif'),
    '.png': (0, b'\x89PNG\r\n\x1a\n', 'image/png'),
    '.mp4': (4, b'ftyp', 'video/mp4'),
}


class Media(NamedTuple):
  """A picture or a video, whole."""

  name: str
  kind: str  # 'image/gif', 'image/png' or 'video/mp4'
  uri: str   # data: URI


def media(
    folder: runs.RunFolder, errors: Any,
) -> tuple[list[Media], list[str]]:
  """Videos of a run, and `open_loop.png` where it has no `open_loop.json`.

  Args:
    folder: Of the run.
    errors: Of `open_loop_errors`.

  Returns:
    List of `Media`; notes about those that are left out.
  """
  paths = [path for kind in ('*.gif', '*.mp4')
           for path in folder.evaluated.videos.glob(kind) if path.is_file()]
  paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
  notes = [] if len(paths) <= _MOST_VIDEOS else [
      f'{folder.videos.name}/ has {len(paths)} videos; the newest '
      f'{_MOST_VIDEOS} are shown.']
  paths = paths[:_MOST_VIDEOS]
  picture = folder.root / 'open_loop.png'
  if errors is None and picture.exists():
    paths.append(picture)
  found = []
  for path in paths:
    one, note = _embedded(path)
    found += [one] if one else []
    notes += [note] if note else []
  return found, notes


def _embedded(path):
  """A `Media` or None, and a note or None."""
  start, magic, kind = _KINDS[path.suffix]
  try:
    data = reading.data(path, _MOST_BYTES)
  except (OSError, ValueError) as error:
    return None, f'{path.name} is not shown: {error}.'
  if data[start:start + len(magic)] != magic:
    return None, f'{path.name} is not shown: it is no {kind}.'
  text = base64.b64encode(data).decode('ascii')
  return Media(path.name, kind, f'data:{kind};base64,{text}'), None


def open_loop_errors(
    root: pathlib.Path) -> dict[str, dict[str, list[float | None]]] | None:
  """What `open_loop.json` says: errors by part, way and steps ahead.

  Args:
    root: Folder of the run.

  Returns:
    As `open_loop.measure`, of at most 20 parts, with None for what is not
    finite; None where there is no file.

  Raises:
    UserError: If the file holds something else.
  """
  path = root / 'open_loop.json'
  if not path.exists():
    return None
  try:
    content = reading.parsed(reading.text(path))
    return {
        str(key): {
            way: [_finite(x) for x in each[way]] for way in open_loop.WAYS}
        for key, each in list(content.items())[:_MOST_KEYS]}
  except (
      OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError,
  ) as error:
    raise checks.UserError(
        f'{path} is damaged ({type(error).__name__}: {error}); wanted what '
        'python -m dreamerv2_tfa.reports.open_loop writes. Write it again, or '
        'delete it.') from error


def _finite(number):
  number = float(number)
  return number if math.isfinite(number) else None
