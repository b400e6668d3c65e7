"""Errors out of an environment's own code, with their own traceback."""

import contextlib
import traceback

from absl import logging

from dreamerv2_tfa import checks

MOST_FAILURES = 3  # of one environment, with no finished episode between
_noted = []  # what is under way through TensorFlow, at most one


class EnvironmentFailed(RuntimeError):
  """An environment, its factory or its module raised.

  The message ends with the traceback: the exception itself may have been raised
  in another process, and gin drops causes.

  Attributes:
    said: str, one line: the call, the step and the error.
    trace: str, the traceback in the environment's code.
  """

  def __init__(self, said, trace):
    """Keeps both; the message is the one, then the other."""
    super().__init__(f'{said}\n{trace}')
    self.said, self.trace = said, trace


def failed(said, error):
  """Returns what to raise for an error in an environment's code.

  Args:
    said: Python string, what was being done; '' where the caller says it.
    error: The exception.

  Returns:
    The error itself where it is a refusal of ours, or has been dealt with;
    else an `EnvironmentFailed`.
  """
  if isinstance(error, EnvironmentFailed) or checks.is_refusal(error):
    return error
  parts = said, type(error).__name__, ' '.join(str(error).split())
  trace = ''.join(traceback.format_exception(error)).rstrip()
  return EnvironmentFailed(': '.join(filter(None, parts)), trace)


def call(environment, name, arguments, steps):
  """Resets or steps an environment.

  Args:
    environment: `PyEnvironment`.
    name: Python string, 'reset' or 'step'.
    arguments: Tuple, of the method.
    steps: Python int, steps that it has taken before.

  Returns:
    `TimeStep`.

  Raises:
    EnvironmentFailed: If its code raises.
    UserError: If a check refuses what it did.
  """
  try:
    return getattr(environment, name)(*arguments)
  except Exception as error:  # whatever the environment raises
    said = f'{name}({", ".join(map(str, arguments))})'
    if name == 'step' or steps:
      said += f' at step {steps + (name == "step")}'
    raise failed(said, error) from error


def named(name, failure):
  """Returns an `EnvironmentFailed` that says which environment it was."""
  return EnvironmentFailed(f'{name} failed: {failure.said}', failure.trace)


def report(name, said, trace):
  """Logs a failure after which an environment is restarted."""
  logging.error(
      '%s failed (%s) and is restarted; its unfinished episode is dropped.\n%s',
      name, said, trace)


def report_close(name, said, trace):
  """Logs that an environment could not be closed."""
  logging.error('%s was not closed (%s).\n%s', name, said, trace)


@contextlib.contextmanager
def closing(name):
  """Reports what an environment raises while it is closed, and goes on."""
  try:
    yield
  except Exception as error:  # whatever its code raises
    failure = failed('close()', error)
    report_close(
        name, getattr(failure, 'said', failure), getattr(failure, 'trace', ''))


def gives_up(name, said, trace):
  """Returns what to raise once an environment has failed too often."""
  return EnvironmentFailed(
      f'{name} failed {MOST_FAILURES} times without a finished episode. The '
      f'last time: {said}', trace)


def note(error):
  """Keeps an error that is about to go through TensorFlow; returns it."""
  _noted[:] = [error]
  return error


@contextlib.contextmanager
def surfaced():
  """Raises what an environment raised, where TensorFlow raises its text.

  An exception in Python code that a graph calls becomes another there.

  Raises:
    EnvironmentFailed: If an environment failed.
    UserError: If a check refused what it did.
  """
  _noted.clear()
  try:
    yield
  except Exception as error:
    if _noted and type(error).__module__.startswith('tensorflow.'):
      raise _noted.pop() from None
    raise
