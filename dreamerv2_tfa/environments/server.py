"""The trainer's side of worker processes: the server that forks them, pipes."""

import contextlib
from multiprocessing import connection
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import waiting

ENDED = 'ended'  # the kind of failure after which there is no process
GONE = 'it is gone'
_SILENT = (
    'Its process ended without a word: it was killed, as the kernel does when '
    'memory runs out, or crashed in native code.')
_DUMP_SECONDS = 1.0  # for a hanging worker to write its traceback
_servers = []


class Worker:
  """One worker process: what it is asked, what it answers, and its end."""

  def __init__(self, pipe: int, process: int, trace: Any):
    """Takes over what a server has started.

    Args:
      pipe: File descriptor of our end of the pipe.
      process: Its id.
      trace: The file into which it writes where it hangs or crashes.
    """
    self._connection = connection.Connection(pipe)
    self._process, self._trace = process, trace
    self._poll = select.poll()
    self._poll.register(pipe, select.POLLIN)

  def send(self, name: str, arguments: tuple[Any, ...]) -> bool:
    """Sends a request; returns whether that was possible."""
    try:
      self._connection.send_bytes(pickle.dumps((name, arguments), 5))
    except OSError:
      return False
    return True

  def ready(self, seconds: float) -> bool:
    """Whether there is an answer, or an end, after at most so many seconds."""
    return bool(self._poll.poll(seconds * 1000))

  def receive(self) -> tuple[Any, tuple[str, str, str] | None]:
    """An answer and None; or None and a failure: kind, message and trace."""
    try:
      return pickle.loads(self._connection.recv_bytes())
    except (EOFError, OSError):
      return None, (ENDED, GONE, self._written() or _SILENT)

  def answer(self, name: str) -> tuple[Any, tuple[str, str, str] | None]:
    """Waits for the answer to a request; ends a process that gives none.

    Args:
      name: How messages call the environment.

    Raises:
      EnvironmentFailed: If the run is interrupted meanwhile.
    """
    try:
      if waiting.until(self.ready, lambda: (name, 0)):
        return self.receive()
    except faults.EnvironmentFailed as failure:
      raise faults.EnvironmentFailed(
          f'{failure.said}.', self._kill_where_it_is()) from failure
    return None, (
        ENDED, f'{waiting.no_answer()}; its process was killed',
        self._kill_where_it_is())

  def kill(self) -> None:
    """Ends the process, if it is there, and those that it has started."""
    self._signal(signal.SIGKILL)

  def close(self) -> None:
    """Closes our end of the pipe, at which the worker ends."""
    self._connection.close()
    self._trace.close()

  def _kill_where_it_is(self):
    """Ends the process; returns the traceback of what it was doing."""
    self._signal(signal.SIGUSR1)  # `faulthandler` writes it
    deadline = time.monotonic() + _DUMP_SECONDS
    trace, before = '', None
    while (not trace or trace != before) and time.monotonic() < deadline:
      time.sleep(0.02)
      trace, before = self._written(), trace
    self.kill()
    return trace or 'It does not say where it hangs.'

  def _signal(self, number):
    # While it holds its end of the pipe, the id is its own.
    if self._process and not self.ready(0):
      with contextlib.suppress(ProcessLookupError):  # it has just ended
        try:
          os.killpg(self._process, number)
        except ProcessLookupError:  # it has not begun
          os.kill(self._process, number)

  def _written(self):
    """The traceback that the process has written, or ''."""
    self._trace.seek(0)
    return self._trace.read().decode(errors='replace').rstrip()


class Server:
  """Starts the process of `worker.main`, which ends with the trainer."""

  def __init__(self):
    self._socket, theirs = socket.socketpair()
    with theirs:
      self.process = subprocess.Popen(
          [sys.executable, '-P', '-m', 'dreamerv2_tfa.environments.worker',
           str(theirs.fileno())],  # -P: no module from the working directory
          pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
          start_new_session=True,  # Ctrl-C goes to the trainer alone
          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    if not self._socket.recv(1):
      raise RuntimeError('The server of environments did not start.')

  def fork(self) -> Worker:
    """Starts a worker."""
    ours, theirs = socket.socketpair()
    trace = tempfile.TemporaryFile()
    with theirs:
      socket.send_fds(self._socket, [b'!'], [theirs.fileno(), trace.fileno()])
      process = int.from_bytes(self._socket.recv(8), 'little')
    return Worker(ours.detach(), process, trace)

  @property
  def ended(self) -> bool:
    """Whether it was killed, and its workers with it."""
    return self.process.poll() is not None


def running() -> Server:
  """The server of this process, started if there is none."""
  if not _servers or _servers[0].ended:
    _servers[:] = [Server()]
  return _servers[0]
