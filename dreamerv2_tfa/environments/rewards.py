"""Checks rewards of environments."""

from typing import Any

import numpy as np

from dreamerv2_tfa.environments import faults


def check(reward: Any) -> np.ndarray:
  """Converts a reward that is one finite number; refuses others.

  Args:
    reward: What the environment returned.

  Returns:
    float32 `[]`.

  Raises:
    Unusable: If it is None, text, several numbers, NaN or infinite.
  """
  try:
    array = np.asarray(reward)
  except ValueError:
    array = np.asarray(None)
  if array.dtype.kind not in 'biuf' or array.size != 1:
    raise faults.Unusable(
        f'The reward must be one number; got {str(reward)[:80]!r} '
        f'({type(reward).__name__}). Return a float from step().')
  with np.errstate(over='ignore'):
    single = array.astype(np.float32).reshape(())
  if not np.isfinite(single):
    raise faults.Unusable(
        f'The reward must be finite, in float32 too; got {array.item()}. Find '
        'where the environment makes it, or clip it there.')
  return single
