"""What is there to compute on, and the switches that depend on it."""

import tensorflow as tf

from dreamerv2_tfa import checks

_SWITCH = ('auto', 'on', 'off')


def has_gpu() -> bool:
  """Whether there is a GPU that updates run on."""
  return bool(tf.config.list_physical_devices('GPU'))


def resolve(name: str, switch: str) -> bool:
  """Whether a switch is on: 'auto' is where there is a GPU.

  Args:
    name: Of the setting.
    switch: 'auto', 'on' or 'off'.

  Raises:
    ValueError: If it is none of these.
  """
  checks.choice(name, switch, _SWITCH)
  return has_gpu() if switch == 'auto' else switch == 'on'
