"""Child processes that end with this one, and the signals that stop both.

However this process ends, the kernel kills its children (PR_SET_PDEATHSIG). It
imports no TensorFlow: a child does, which has memory of its own.
"""

from collections.abc import Sequence
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL = 0.05  # seconds between two looks
PATIENCE = 120.0  # seconds in which a child must end that was told to
_TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != {parent}:
  sys.exit(1)
"""
_PROGRAM = """
from {package} import {module}
{module}.main()
"""
_ASKED = """
import json
out, sys.stdout = os.fdopen(os.dup(1), 'w'), sys.stderr
from dreamerv2_tfa import quiet
quiet.process()
from {package} import {module}
json.dump({module}.answer(json.load(sys.stdin)), out)
"""


class Noted:
  """Notes signals inside of a `with`, instead of ending the process.

  Attributes:
    signal: Number of the first one; None before.
    count: How many came.
  """

  def __init__(self):
    """Changes nothing yet."""
    self.signal: int | None = None
    self.count = 0
    self._before: dict[int, Any] = {}

  def __enter__(self):
    for number in _SIGNALS:
      if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
        self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *unused):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    del frame
    self.signal = self.signal or number
    self.count += 1


def start(
    module: str, arguments: Sequence[str], **options: Any,
) -> subprocess.Popen:
  """Starts the `main` of a module as a child, in a session of its own.

  The terminal's Ctrl-C does not reach it: its parent tells it.

  Args:
    module: Such as 'dreamerv2_tfa.commands.train'.
    arguments: Of the program.
    **options: Of `subprocess.Popen`.
  """
  return _start(_PROGRAM, module, arguments, options)


def _start(program, module, arguments, options):
  package, _, name = module.rpartition('.')
  code = (_TIED + program).format(
      parent=os.getpid(), package=package, module=name)
  return subprocess.Popen(
      [sys.executable, '-P', '-c', code, *arguments],
      **{'stdin': subprocess.DEVNULL, 'start_new_session': True, **options})


def ask(module: str, question: Any) -> Any:
  """What a module's `answer` returns to a question, in a child.

  What it prints is shown if it fails: libraries print when they are imported.

  Args:
    module: Such as 'dreamerv2_tfa.sweeps.states'.
    question: What JSON can express; so is the answer.

  Raises:
    RuntimeError: If the child fails; it has printed why.
  """
  process = _start(_ASKED, module, (), dict(
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
      text=True, errors='replace'))
  try:
    answer, said = process.communicate(json.dumps(question))
  finally:
    process.kill()
    process.wait()
  if process.returncode:
    sys.stderr.write(said)
    raise RuntimeError(f'{module} ended with status {process.returncode}.')
  return json.loads(answer)


def stop(processes: Sequence[subprocess.Popen], noted: Noted) -> bool:
  """Tells children to save and end, waits, and kills those that do not.

  Each further signal is passed on.

  Args:
    processes: Some may have ended.
    noted: The signals that came.

  Returns:
    Whether all ended without being killed.
  """
  told, deadline = None, time.monotonic() + PATIENCE
  while any(process.poll() is None for process in processes):
    late = time.monotonic() > deadline
    for process in processes:
      if process.poll() is not None:
        continue
      if late:
        process.kill()
        process.wait()
      elif told != noted.count:
        process.send_signal(signal.SIGTERM)
    told = noted.count
    if late:
      return False
    time.sleep(_POLL)
  return True
