"""Waits for environments: up to a time limit, or until the run is interrupted.

Time is counted in short slices of waiting, so a program that was stopped and
continued (Ctrl-Z, `fg`) has not waited meanwhile.
"""

from collections.abc import Callable
import sys
import threading
import traceback

from dreamerv2_tfa.environments import faults

SLICE = 0.1  # seconds

_limit = 600.0  # seconds; see `set_limit`
_interrupted = threading.Event()
_calls = {}  # in progress, by thread


def set_limit(seconds: float) -> None:
  """Sets how long an environment may take to answer; 0: no limit.

  An hour of rendering is honest, a lost connection is silent: no limit is right
  for all, so the setting of the run says it, `train.environment_timeout`.
  """
  global _limit
  _limit = seconds


def interrupt() -> None:
  """Ends every wait for an environment, from any thread, until `proceed`.

  Each raises `EnvironmentFailed`. Python runs handlers of signals in the main
  thread alone, which does not run while TensorFlow waits for an environment.
  """
  _interrupted.set()


def proceed() -> None:
  """Lets environments be waited for again, after `interrupt`."""
  _interrupted.clear()


def pause(seconds: float) -> None:
  """Sleeps, or until `interrupt`."""
  _interrupted.wait(seconds)


class Call:
  """A call of an environment: a context in which its thread is waited for.

  Attributes:
    hangs: Whether it was given up; the environment is then left alone.
  """

  def __init__(self, name: str):
    """Names the environment, for messages."""
    self.name, self.hangs = name, False
    self.number = 0  # of calls, which tells the next one from this one

  def __enter__(self):
    self.number += 1
    _calls[threading.get_ident()] = self

  def __exit__(self, *unused):
    _calls.pop(threading.get_ident(), None)


def for_thread(
    thread: int, ready: Callable[[float], bool]
) -> faults.EnvironmentFailed | None:
  """Waits until a thread is ready, each `Call` in it as long as it may take.

  Args:
    thread: Its identifier.
    ready: Waits for so many seconds, and returns whether it is ready.

  Returns:
    None, or the failure of a call that did not end in time.
  """
  def watch():
    call = _calls.get(thread)
    return (call.name, call.number) if call else ('', 0)

  try:
    if until(ready, watch):
      return None
    said = f'{watch()[0]} gave {no_answer()}'
  except faults.EnvironmentFailed as failure:  # interrupted
    said = failure.said
  if call := _calls.get(thread):
    call.hangs = True
  return faults.EnvironmentFailed(
      f'{said}. A thread cannot be ended from outside. For training, a process '
      'of its own can, and is restarted: set train.processes = True. The '
      'environment of evaluations is always in this process.',
      _stack(thread))


def until(
    ready: Callable[[float], bool],
    watch: Callable[[], tuple[str, int]]) -> bool:
  """Waits until an environment is ready.

  Args:
    ready: Waits for so many seconds, and returns whether it is ready.
    watch: Name of the environment that is waited for, '' if none is; and a
      number that changes with its progress.

  Returns:
    False if there was no progress within the limit.

  Raises:
    EnvironmentFailed: If `interrupt` was called.
  """
  waited, last = 0, None
  while not ready(SLICE):
    now = watch()
    waited, last = waited + 1 if now == last else 1, now
    name, _ = now
    if name and _interrupted.is_set():
      raise faults.EnvironmentFailed(
          f'{name} had not answered when the run was interrupted', '')
    if name and _limit and waited * SLICE >= _limit:
      return False
  return True


def no_answer() -> str:
  """What a message says of an environment that hangs."""
  return f'no answer within {_limit:g} s, train.environment_timeout'


def _stack(thread):
  """The traceback of a thread, from the call of the environment on."""
  frames = traceback.extract_stack(sys._current_frames().get(thread))
  inside = [i for i, each in enumerate(frames) if each.filename == (
      faults.__file__)]
  return 'It is here:\n' + ''.join(
      traceback.format_list(frames[inside[-1] + 1:] if inside else frames)
  ).rstrip()
