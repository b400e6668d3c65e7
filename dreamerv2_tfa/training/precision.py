"""What the networks compute in."""

import pathlib

import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import devices

_POLICIES = {
    '16': 'mixed_float16', 'bf16': 'mixed_bfloat16', '32': 'float32',
}
_CHOICES = ('auto', *_POLICIES)
NAMES = tuple(_POLICIES.values())  # of Keras' policies


def set_policy(precision: str | int) -> str:
  """Makes the Keras policy of this precision global.

  Args:
    precision: '16', 'bf16', '32', or 'auto': float16 on a GPU; on a CPU
      bfloat16 where it has the instructions for it, else float32.

  Returns:
    The name of the Keras policy.

  Raises:
    ValueError: If it is none of these.
  """
  precision = str(precision)
  checks.choice('train.precision', precision, _CHOICES)
  if precision == 'auto':
    precision = _automatic()
  tf.keras.mixed_precision.set_global_policy(_POLICIES[precision])
  return _POLICIES[precision]


def _automatic():
  if devices.has_gpu():
    return '16'
  cpu = pathlib.Path('/proc/cpuinfo')
  flags = cpu.read_text() if cpu.exists() else ''
  return 'bf16' if 'avx512_bf16' in flags or 'amx_bf16' in flags else '32'
