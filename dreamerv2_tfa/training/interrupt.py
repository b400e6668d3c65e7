"""Signals as requests that the loop answers when it is safe.

| signal | while training | before and after |
|---|---|---|
| the first of SIGINT, SIGTERM, SIGHUP | the run saves and ends | ends |
| the second | ends at once, unless it saves | |
| the third | ends at once | |

A program then exits with 128 and the signal's number, as a shell expects it.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import select
import signal
import threading
from typing import NoReturn

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import waiting

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0  # seconds that a signal waits for the main thread
_SLICE = 0.05  # seconds between two looks


@contextlib.contextmanager
def terminable() -> Iterator[None]:
  """Lets SIGTERM and SIGHUP end the program as an error would.

  So all that is open is closed. A handler that is there already stays, and so
  does that of another thread; `nohup` keeps SIGHUP away.

  Raises:
    SystemExit: At a signal.
  """
  main = threading.current_thread() is threading.main_thread()
  numbers = [
      number for number in _SIGNALS[1:]
      if main and signal.getsignal(number) == signal.SIG_DFL
  ]
  for number in numbers:
    signal.signal(number, lambda number, _: _end(number))
  try:
    yield
  finally:
    for number in numbers:
      signal.signal(number, signal.SIG_DFL)


def _end(number: int) -> NoReturn:
  name = signal.Signals(number).name
  _say(f'Stopped by {name}. The same command begins again, or resumes.')
  raise faults.Terminated(128 + number)


class Interrupt:
  """Notes signals while a run trains; see the table of the module.

  Python's handlers wait while the main thread is inside TensorFlow. A thread
  that gets signals at once tells the user, and ends the wait for an environment
  that has not answered for some seconds; where something else never returns, it
  ends the process at a second signal.

  Attributes:
    requested: Whether the run should save and end: a signal has come, or
      `request` was called.
    signal: Number of the first one, or None.
  """

  def __init__(self, tell: Callable[[str], None] = print):
    """Changes nothing yet.

    Args:
      tell: Shows a line to the user; called in a thread of its own.
    """
    self.requested, self.signal = False, None
    self._tell, self._saving = tell, False
    self._count, self._answered = 0, 0  # signals that came, and were handled
    self._previous, self._thread = {}, None
    self._pipe = (-1, -1)  # file descriptors, while a run trains

  def __enter__(self):
    # Python lets the main thread alone set handlers.
    if threading.current_thread() is not threading.main_thread():
      return self
    for number in _SIGNALS:
      if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
        self._previous[number] = signal.signal(number, self._note)
    self._pipe = os.pipe()
    for end in self._pipe:
      os.set_blocking(end, end == self._pipe[0])
    self._wakeup = signal.set_wakeup_fd(
        self._pipe[1], warn_on_full_buffer=False
    )
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *unused):
    if self._thread is None:
      return
    signal.set_wakeup_fd(self._wakeup)
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    reads, writes = self._pipe
    os.close(writes)  # ends the thread
    self._thread.join()
    os.close(reads)
    waiting.proceed()

  def request(self, reason: str) -> None:
    """Lets the run save and end, as a signal does, and says why."""
    if not self.requested:
      self._tell(f'The run stops and saves: {reason}.')
    self.requested = True

  @contextlib.contextmanager
  def saving(self) -> Iterator[None]:
    """Lets the second signal wait while a run saves; the third ends it."""
    self._saving = True
    try:
      yield
    finally:
      self._saving = False

  def _note(self, number, frame):
    """Python's handler, in the main thread."""
    del frame
    self._answered += 1
    if self.signal is None:
      self.requested, self.signal = True, number
    elif self._answered > 2 or not self._saving:
      _end_at_once(number)

  def _watch(self):
    """Runs in the thread, until the pipe is closed."""
    while came := os.read(self._pipe[0], 1):
      number = came[0]
      if number not in self._previous:
        continue
      self._count += 1
      name = signal.Signals(number).name
      if self._count == 1:
        self._tell(f'{name}: the run stops and saves. A second one ends it.')
        self._await_main(waiting.interrupt)
      elif self._count == 2 and self._saving:
        self._tell(f'{name}: the run is saving. A third one ends it at once.')
      else:
        self._await_main(lambda number=number: _exit(number))

  def _await_main(self, otherwise):
    """Waits until the main thread has handled a signal, or another comes."""
    for _ in range(int(_PATIENCE / _SLICE)):
      came, _, _ = select.select([self._pipe[0]], [], [], _SLICE)
      if came or self._answered >= self._count:
        return
    otherwise()


def _end_at_once(number):
  """Ends the program as an error would, in the middle of what it does."""
  said = (
      'Stopped at once by a further signal. What came after the last save is '
      'lost; the same command resumes from there.'
  )
  if number == signal.SIGINT:
    raise KeyboardInterrupt(said)
  _say(said)
  raise faults.Terminated(128 + number)


def _exit(number):
  """Ends the process, whose main thread never returns."""
  _say(
      'Ended at once: an environment or an update does not return. What came '
      'after the last save is lost; the same command resumes from there.'
  )
  os._exit(128 + number)


def _say(text):
  """Prints without Python's buffers, which a handler may not enter again."""
  with contextlib.suppress(OSError):
    os.write(2, f'{text}\n'.encode())
