"""A terminal, pipe or log that goes away ends no run."""

from collections.abc import Iterator
import contextlib
import os
import sys
from typing import Any


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
  """Ignores errors of writing to standard output and standard error.

  What is written after the first one is lost: the reader of a pipe has ended,
  a terminal was closed, the disk of a log is full.
  """
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = mine = tuple(
      _Unbroken(stream or _nowhere()) for stream in before)
  try:
    yield
  finally:
    # Who has put something else there takes it away again.
    sys.stdout, sys.stderr = (
        old if now is own else now for old, now, own in zip(
            before, (sys.stdout, sys.stderr), mine, strict=True)
    )


def _nowhere():
  """For a process that was started without the stream, as by `>&-`."""
  return open(os.devnull, 'w', encoding='utf-8')


class _Unbroken:
  """A stream whose `write` and `flush` raise nothing; lines are there at once.

  Python keeps the lines that it writes to a pipe or a file until there are
  many: one that says what a process waits for would come after the wait.
  """

  def __init__(self, stream: Any):
    self._stream = stream

  def __getattr__(self, name):
    return getattr(self._stream, name)

  def write(self, text):
    try:
      written = self._stream.write(text)
    except OSError:
      self._lose()
      return len(text)
    if '\n' in text:
      self.flush()
    return written

  def flush(self):
    try:
      self._stream.flush()
    except OSError:
      self._lose()

  def _lose(self):
    """Sends what is still in buffers, and all that follows, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
      os.dup2(nowhere, self._stream.fileno())
    os.close(nowhere)
