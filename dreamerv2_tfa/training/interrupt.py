"""Ctrl-C as a request that the loop answers when it is safe."""

from collections.abc import Iterator
import contextlib
import signal
import sys
import threading


@contextlib.contextmanager
def terminable() -> Iterator[None]:
  """Lets SIGTERM end the program as an error would, so that all is closed.

  A handler that is there already stays, and so does that of another thread.
  """
  number = signal.SIGTERM
  main = threading.current_thread() is threading.main_thread()
  if not main or signal.getsignal(number) != signal.SIG_DFL:
    yield
    return
  signal.signal(number, lambda number, _: sys.exit(128 + number))
  try:
    yield
  finally:
    signal.signal(number, signal.SIG_DFL)


class Interrupt:
  """Notes the first SIGINT or SIGTERM; a second Ctrl-C ends at once."""

  def __init__(self):
    self.requested = False
    self._previous = {}

  def __enter__(self):
    # Python lets the main thread alone set handlers.
    main = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if main else ():
      self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *unused):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    del number, frame
    if self.requested:
      raise KeyboardInterrupt(
          'Stopped at once by a second signal. What came after the last save '
          'is lost; the same command resumes from there.'
      )
    self.requested = True
