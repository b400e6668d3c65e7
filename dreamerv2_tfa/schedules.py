"""Numbers that change over training, written as strings."""

from collections.abc import Callable
import re

import tensorflow as tf

_NUMBER = r'[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?'
_CALL = re.compile(r'(linear|warmup|exp|horizon)\((.*)\)')
_ARGUMENTS = {'linear': 3, 'warmup': 2, 'exp': 3, 'horizon': 3}


def parse(
    schedule: str | float, what: str = 'A schedule',
) -> Callable[[tf.Tensor], tf.Tensor]:
  """Makes a function of the step from a number or its written schedule.

  The forms are those of the authors' package; `m = clip(step / steps, 0, 1)`:

    0.3                  0.3
    linear(a,b,steps)    (1 - m) * a + m * b
    warmup(steps,value)  m * value
    exp(a,b,halflife)    (a - b) * 0.5 ** (step / halflife) + b
    horizon(a,b,steps)   1 - 1 / ((1 - m) * a + m * b)

  Args:
    schedule: A number, or one of the forms above.
    what: Name of the setting, such as 'ActorCritic.entropy_scale'.

  Returns:
    A function from an integer or float scalar (agent steps) to a float32
    scalar.

  Raises:
    ValueError: If the text is none of these forms, or a duration is not
      positive.
  """
  text = str(schedule).replace(' ', '')
  if re.fullmatch(_NUMBER, text):
    value = float(text)
    return lambda step: tf.constant(value, tf.float32)
  name, numbers = _split(text, what)
  duration = numbers[0] if name == 'warmup' else numbers[2]
  if duration <= 0:
    raise ValueError(
        f'{what} = {schedule!r} lasts {duration} steps; wanted more than 0.'
    )
  return _function(name, numbers, duration)


def _split(text, what):
  match = _CALL.fullmatch(text)
  parts = match.group(2).split(',') if match else []
  good = match and len(parts) == _ARGUMENTS[match.group(1)]
  if not good or not all(re.fullmatch(_NUMBER, part) for part in parts):
    raise ValueError(
        f'{what} is {text!r}; wanted a number, linear(a,b,steps), '
        'warmup(steps,value), exp(a,b,halflife) or horizon(a,b,steps).'
    )
  return match.group(1), [float(part) for part in parts]


def _function(name, numbers, duration):
  def evaluate(step):
    progress = tf.cast(step, tf.float32) / duration
    mix = tf.clip_by_value(progress, 0.0, 1.0)
    if name == 'warmup':
      return mix * numbers[1]
    start, end = numbers[:2]
    if name == 'exp':
      return (start - end) * 0.5**progress + end
    value = (1.0 - mix) * start + mix * end
    return value if name == 'linear' else 1.0 - 1.0 / value

  return evaluate
