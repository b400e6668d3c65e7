"""Numbers that change over training: functions of the step."""

import ast
from collections.abc import Callable

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]  # step to float32 scalar


def linear(start: float, end: float, steps: float) -> Schedule:
  """`(1 - m) start + m end`, with `m = clip(step / steps, 0, 1)`."""
  _check_duration('linear', steps)
  return lambda step: _mix(start, end, step, steps)


def warmup(steps: float, value: float) -> Schedule:
  """`m value`, with `m = clip(step / steps, 0, 1)`."""
  _check_duration('warmup', steps)
  return lambda step: _mix(0.0, value, step, steps)


def exponential(start: float, end: float, halflife: float) -> Schedule:
  """`(start - end) 0.5 ** (step / halflife) + end`."""
  _check_duration('exponential', halflife)
  return lambda step: (
      (start - end) * 0.5 ** (tf.cast(step, tf.float32) / halflife) + end  # pyright: ignore[reportOperatorIssue]
  )


def horizon(start: float, end: float, steps: float) -> Schedule:
  """A discount whose horizon is linear: `1 - 1 / linear(start, end, steps)`."""
  _check_duration('horizon', steps)
  return lambda step: 1.0 - 1.0 / _mix(start, end, step, steps)


_BY_NAME = {
    'linear': linear, 'warmup': warmup, 'exp': exponential, 'horizon': horizon,
}


def make(schedule: Schedule | float | str, what: str) -> Schedule:
  """A schedule of what a setting may be.

  Args:
    schedule: A function of the step, such as `linear` returns; a number; or
      text as the published package writes it: `linear(a,b,steps)`,
      `warmup(steps,value)`, `exp(a,b,halflife)`, `horizon(a,b,steps)`.
    what: Name of the setting, such as 'ActorCritic.entropy_scale'.

  Returns:
    A function from an integer or float scalar (agent steps) to a float32
    scalar.

  Raises:
    ValueError: If it is none of these, or a duration is not positive.
  """
  if callable(schedule):
    return schedule
  text = str(schedule).replace(' ', '')
  try:
    tree = ast.parse(text, mode='eval').body
    if isinstance(tree, ast.Call) and not tree.keywords:
      name = tree.func.id if isinstance(tree.func, ast.Name) else ''
      function = _BY_NAME[name]
      numbers = [float(ast.literal_eval(each)) for each in tree.args]
    else:
      value = float(ast.literal_eval(tree))
      return lambda step: tf.constant(value, tf.float32)
  except (SyntaxError, ValueError, KeyError, TypeError):
    raise _unknown(schedule, what) from None
  try:
    return function(*numbers)
  except TypeError:  # their number
    raise _unknown(schedule, what) from None
  except ValueError as error:
    raise ValueError(f'{what} = {schedule!r}: {error}') from None


def _unknown(schedule, what):
  return ValueError(
      f'{what} is {schedule!r}; wanted a number, linear(a,b,steps), '
      'warmup(steps,value), exp(a,b,halflife) or horizon(a,b,steps); or a '
      'function of the step, such as @linear_schedule().'
  )


def _check_duration(name, steps):
  if not steps > 0:
    raise ValueError(
        f'A {name} schedule lasts {steps} steps; wanted more than 0.'
    )


def _mix(start, end, step, steps):
  progress = tf.clip_by_value(tf.cast(step, tf.float32) / steps, 0.0, 1.0)
  return (1.0 - progress) * start + progress * end
