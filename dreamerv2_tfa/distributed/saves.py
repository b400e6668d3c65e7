"""Saves of the replay server."""

from collections.abc import Callable
import pathlib
import shutil
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import connection as connection_lib

_EVERY = 10.0  # seconds between two saves, at least
_NAMES = '????-??-??T??:??:??.*'  # of Reverb's checkpoints
_DONE = 'DONE'  # Reverb's mark of a checkpoint that is whole


class Saves:
  """Lets a replay server save; a full disk costs a save, and not the server.

  The rows are in its memory: one that ended would lose those since its last
  save. What a save leaves unfinished is removed, for it takes room itself.
  """

  def __init__(
      self, folder: pathlib.Path, client: Any,
      say: Callable[[str], None] = print,
  ):
    """Saves nothing yet.

    Args:
      folder: Of the checkpoints; it exists, and no other process writes it.
      client: `reverb.Client` of the server.
      say: Shows a line.
    """
    self._folder, self._client, self._say = folder, client, say
    self._sparing = connection_lib.Sparing(_EVERY)
    self._sparing.take(tuple)
    self._fails = False
    self._tidy()

  def take(self) -> None:
    """Saves where it is due; says so, once, where that fails."""
    if self._sparing.due:
      self._sparing.take(self._try)

  def finish(self) -> None:
    """Saves at the end.

    Raises:
      UserError: If that fails.
    """
    if reason := self._save():
      raise checks.UserError(
          f'{self._folder} cannot be written: {reason}. The save before is '
          'whole; rows since then are lost. Make room, then give the same '
          'command.')

  def _try(self):
    reason = self._save()
    if reason and not self._fails:
      self._say(
          f'{self._folder} cannot be written: {reason}. The replay server '
          'serves its rows without a save, and tries again: make room. If it '
          'ends before, rows since the last save are lost.')
    elif self._fails and not reason:
      self._say('The replay server saves again.')
    self._fails = bool(reason)

  def _save(self):
    """Returns why it has failed; None: it has not."""
    try:
      self._client.checkpoint()
      return None
    except Exception as error:  # Reverb's are of several types
      self._tidy()
      return ' '.join(str(error).split())

  def _tidy(self):
    """Removes what was not finished."""
    for path in self._folder.glob(_NAMES):
      if path.is_dir() and not path.is_symlink() and not (
          path / _DONE).exists():
        shutil.rmtree(path, ignore_errors=True)
