"""Runs a list here, several at once; imports no TensorFlow.

Each run is a process of `bin/train`. What it prints goes to its log.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
import pathlib
import subprocess
import time

from dreamerv2_tfa import checks
from dreamerv2_tfa import children
from dreamerv2_tfa.sweeps import entries

_POLL = 0.1  # seconds between two looks
_END = 4096  # bytes of a log in which its last line is looked for
PROGRAM = 'dreamerv2_tfa.commands.train'


class Sweep:
  """The runs of a list that are not finished, `at_once` at a time.

  Attributes:
    failed: The runs that have failed: name, and why.
  """

  def __init__(
      self, folder: entries.Folder, waiting: Sequence[entries.Entry],
      at_once: int, say: Callable[[str], None],
  ):
    """Starts nothing yet.

    Args:
      folder: Of the sweep; it exists.
      waiting: The runs, in order.
      at_once: How many train at a time.
      say: Shows a line.
    """
    self.failed: dict[str, str] = {}
    self._folder, self._say = folder, say
    self._waiting, self._at_once = list(waiting), at_once
    self._count, self._begun = len(self._waiting), 0
    self._running: dict[str, tuple[entries.Entry, subprocess.Popen]] = {}

  def run(self, noted: children.Noted) -> None:
    """Runs all, or until a signal comes; then all that run save and end.

    Args:
      noted: The signals that came.
    """
    try:
      while (self._waiting or self._running) and not noted.signal:
        while self._waiting and len(self._running) < self._at_once:
          self._start(self._waiting.pop(0))
        self._reap()
        time.sleep(_POLL)
    finally:
      self._stop(noted)

  def _start(self, entry):
    self._begun += 1
    try:
      with open(_log(self._folder, entry), 'ab') as log:
        process = children.start(
            PROGRAM, self._folder.arguments(entry), stdout=log,
            stderr=subprocess.STDOUT)
    except (OSError, checks.UserError) as error:
      self._fail(entry, f'could not begin: {error}')
      return
    self._running[entry.run] = entry, process
    self._say(f'{entry.run} begins ({self._begun} of {self._count}).')

  def _reap(self):
    """Takes note of the runs that have ended."""
    for name, (entry, process) in list(self._running.items()):
      code = process.poll()
      if code is None:
        continue
      del self._running[name]
      if code == 0:
        self._say(f'{name} has ended.')
      else:
        path = self._folder.log(entry)
        self._fail(
            entry, f'failed with status {code}: {_last_line(path)} Its log: '
            f'{path}')

  def _fail(self, entry, why):
    self.failed[entry.run] = why
    self._say(f'{entry.run} {why}')

  def _stop(self, noted):
    """Lets all that run save and end."""
    if not self._running:
      return
    self._say(f'Stopping {", ".join(self._running)}, which saves first.')
    processes = [process for _, process in self._running.values()]
    if not children.stop(processes, noted):
      self._say(
          f'What did not end within {children.PATIENCE:g} s was killed.')
    self._running.clear()


def _log(folder: entries.Folder, entry: entries.Entry) -> pathlib.Path:
  """Where a run's output is added; no pipe that nobody reads."""
  path = folder.log(entry)
  if path.exists() and not path.is_file():
    raise checks.UserError(f'{path} is no file. Move it away.')
  return path


def _last_line(path):
  """The last line of a log, '' without one."""
  try:
    with open(path, 'rb') as log:
      log.seek(max(0, os.path.getsize(path) - _END))
      lines = log.read().decode(errors='replace').split('\n')
  except OSError:
    return ''
  return next((line.strip() for line in lines[::-1] if line.strip()), '')
