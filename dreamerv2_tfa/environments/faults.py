"""Errors in an environment's own code, with their traceback."""

from collections.abc import Iterator
import contextlib
import signal
import threading
import traceback
import typing
from typing import Any

from absl import logging

from dreamerv2_tfa import checks

if typing.TYPE_CHECKING:
  from tf_agents.environments import py_environment
  from tf_agents.trajectories import time_step as ts

_noted = []  # the error that passes through TensorFlow, at most one


class EnvironmentFailed(RuntimeError):
  """An environment, its factory or its module raised.

  The message ends with the traceback, because the exception may have been
  raised in another process, and gin drops causes.

  Attributes:
    said: One line: the call, the step and the error.
    trace: The traceback in the environment's code.
  """

  def __init__(self, said: str, trace: str):
    """Joins both to the message."""
    super().__init__(f'{said}\n{trace}')
    self.said, self.trace = said, trace


class Terminated(SystemExit):
  """A signal ends the program, while code of an environment runs or not."""


class Unusable(checks.UserError):
  """A time step of an environment that cannot be learned from.

  Its shape or dtype has changed, or it has no finite number where one is
  wanted. `Door` makes a failure of it once the environment has worked.
  """


def failed(said: str, error: BaseException) -> Exception:
  """The exception to raise for an error in an environment's code.

  Args:
    said: The call that failed; '' if the caller's message names it.
    error: What was raised.

  Returns:
    `error` itself if it is a refusal of this package or an `EnvironmentFailed`;
    else a new `EnvironmentFailed`.
  """
  if isinstance(error, Exception) and (
      isinstance(error, EnvironmentFailed) or checks.is_refusal(error)):
    return error
  parts = said, type(error).__name__, ' '.join(str(error).split())
  trace = ''.join(traceback.format_exception(error)).rstrip()
  return EnvironmentFailed(': '.join(filter(None, parts)), trace)


def call(
    environment: 'py_environment.PyEnvironment', name: str,
    arguments: tuple[Any, ...], step: int, episode: int = 0) -> 'ts.TimeStep':
  """Resets or steps an environment.

  Args:
    environment: An unbatched one.
    name: 'reset' or 'step'.
    arguments: Of the method.
    step: Steps that it has taken before, for the message.
    episode: Number of the episode that they were taken in; 0: not counted.

  Raises:
    EnvironmentFailed: If its code raises.
    UserError: If a check refuses what it returned.
  """
  try:
    return getattr(environment, name)(*arguments)
  except BaseException as error:  # the environment may raise anything
    if not its_own(error):
      raise
    raise failed(describe(name, arguments, step, episode), error) from error


def its_own(error: BaseException) -> bool:
  """Whether what was raised in an environment's code is its failure.

  Python runs the handlers of signals in the main thread, so `KeyboardInterrupt`
  and `SystemExit` may be a signal's there. They are the environment's in other
  threads, and in workers, which ignore SIGINT.
  """
  if isinstance(error, Terminated):
    return False
  return isinstance(error, Exception) or (
      threading.current_thread() is not threading.main_thread()
      or signal.getsignal(signal.SIGINT) == signal.SIG_IGN)


def describe(
    name: str, arguments: tuple[Any, ...], step: int, episode: int) -> str:
  """The call for a message: "step(1) at step 12 of episode 3"."""
  said = f'{name}({", ".join(map(str, arguments))})'
  if name == 'step' or step:
    said += f' at step {step + (name == "step")}'
    said += f' of episode {episode}' if episode else ''
  return said


def named(name: str, failure: EnvironmentFailed) -> EnvironmentFailed:
  """Adds the environment's name to a failure."""
  return EnvironmentFailed(f'{name} failed: {failure.said}', failure.trace)


def report(name: str, said: str, trace: str) -> None:
  """Logs a failure after which an environment is restarted."""
  logging.error(
      '%s failed (%s) and is restarted; its unfinished episode is dropped.%s',
      name, said, trace and f'\n{trace}')


def report_close(name: str, said: Any, trace: str) -> None:
  """Logs that an environment could not be closed."""
  logging.error('%s was not closed (%s).\n%s', name, said, trace)


@contextlib.contextmanager
def closing(name: str) -> Iterator[None]:
  """Logs errors of an environment's `close` instead of raising them."""
  try:
    yield
  except BaseException as error:  # its code may raise anything
    if not its_own(error):
      raise
    failure = failed('close()', error)
    report_close(
        name, getattr(failure, 'said', failure), getattr(failure, 'trace', ''))


def note(error: Exception) -> Exception:
  """Stores an error that will pass through TensorFlow, for `surfaced`."""
  _noted[:] = [error]
  return error


@contextlib.contextmanager
def surfaced() -> Iterator[None]:
  """Raises an environment's own error in place of TensorFlow's.

  TensorFlow replaces an exception in Python code that a graph calls by one of
  its own with the same text.

  Raises:
    EnvironmentFailed: If an environment failed.
    UserError: If a check refused what it returned.
  """
  _noted.clear()
  try:
    yield
  except Exception as error:
    if _noted and type(error).__module__.startswith('tensorflow.'):
      raise _noted.pop() from None
    raise
