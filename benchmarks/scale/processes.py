"""Child processes, the processor time of processes, and that of the machine."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import psutil

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILES = {'catch': 'quickstart', 'atari': 'atari'}  # gin file of a preset
TASKS = {'catch': 'catch', 'atari': 'atari_pong'}
_READY = 120  # seconds in which a child must be ready
_PATIENCE = 20  # seconds in which it must end


class Child:
  """A Python program that is ended with its `with` block.

  Attributes:
    said: The lines that it has printed.
  """

  def __init__(self, program, *arguments):
    self.process = subprocess.Popen(
        [sys.executable, str(HERE / program), *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors='replace',
        preexec_fn=_end_with_parent,
        env={**os.environ, 'PYTHONPATH': str(ROOT),
             'TF_CPP_MIN_LOG_LEVEL': '3'})
    self.said = []
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()

  @property
  def pid(self):
    return self.process.pid

  def _read(self):
    for line in self.process.stdout:
      self.said.append(line)

  def until(self, word):
    """Waits for a line that begins with a word.

    Raises:
      RuntimeError: If it ends before, or takes long.
    """
    end = time.monotonic() + _READY
    while not any(line.startswith(word) for line in self.said):
      if time.monotonic() > end or self.process.poll() is not None:
        raise RuntimeError(
            f'No {word!r} of {self.process.args}: {"".join(self.said[-9:])}')
      time.sleep(0.02)

  def wait(self):
    """Waits for its end; returns its lines that are JSON objects.

    Raises:
      RuntimeError: If it fails.
    """
    status = self.process.wait()
    self._reader.join()
    if status:
      raise RuntimeError(
          f'{self.process.args} failed: {"".join(self.said[-9:])}')
    return [json.loads(line) for line in self.said if line.startswith('{')]

  def stop(self):
    """Tells it to end, and waits."""
    with contextlib.suppress(OSError):
      self.process.stdin.close()
    if self.process.poll() is None:
      self.process.terminate()
    try:
      self.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
      self.process.kill()
      self.process.wait()
    self._reader.join()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.stop()


def _end_with_parent():
  ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def processor(pid):
  """Seconds of processor time that a process has used, in hundredths."""
  times = psutil.Process(pid).cpu_times()
  return times.user + times.system


def megabytes(pid):
  """Resident memory of a process, in 10**6 bytes."""
  return psutil.Process(pid).memory_info().rss / 1e6


class Span:
  """Seconds of the clock, and of the processor for each of some processes.

  Attributes:
    wall: Seconds of the clock.
    used: Dict of seconds of the processor by the names of the processes.
    free: Processors that were left to them: those of the machine, less what
      other processes used.
  """

  def __init__(self, **pids):
    self._pids = pids
    self._start, self._before = time.monotonic(), self._look()
    self._busy = _busy()

  def _look(self):
    return {name: processor(pid) for name, pid in self._pids.items()}

  def end(self):
    """Measures; returns itself."""
    self.wall = time.monotonic() - self._start
    after = self._look()
    self.used = {name: after[name] - self._before[name] for name in after}
    others = _busy() - self._busy - sum(self.used.values())
    self.free = os.cpu_count() - max(0.0, others) / self.wall
    return self


def _busy():
  times = psutil.cpu_times()
  return sum(times) - times.idle - times.iowait - times.guest


def flags(preset, address, folder, *settings):
  """The arguments of `bin/train` that all roles of a run share."""
  bindings = [f'--gin_bindings=train.{setting}' for setting in settings]
  return [
      TASKS[preset], f'--gin_file={FILES[preset]}', '--precision=32',
      f'--replay_address={address}', f'--root_dir={folder / "run"}', *bindings]


def lines(path):
  """The whole lines that a role has noted: list of dicts."""
  text = path.read_text(encoding='utf-8')
  return [json.loads(line) for line in text.splitlines(keepends=True)
          if line.endswith('\n')]
