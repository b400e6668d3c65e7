"""What runs of earlier versions have stored that means something else now.

Until `protocol.json` recorded observations and actions, a box of actions was
stored in [-1, 1], several choices as the number of their combination, a choice
counted from 0, and integers that are no picture without their scaling.
"""

import numpy as np

from dreamerv2_tfa import observations
from dreamerv2_tfa.environments import batch


def differences(parts, there):
  """What differs, in words.

  Args:
    parts: `Parts` of this run.
    there: Dict, the `protocol.json` of the run whose rows were stored.

  Returns:
    List of str; empty where it was written since.
  """
  if 'action' in there:
    return []
  adapted = batch.adapted(parts.evaluation_environment)
  if adapted is None:
    return []  # such a task is stored as it was
  spec = adapted.action_spec()
  found = []
  discrete = np.issubdtype(spec.dtype, np.integer)
  low, high = (0, np.max(spec.maximum)) if discrete else (-1.0, 1.0)
  if (np.any(spec.minimum != low) or np.any(spec.maximum != high)
      or discrete and spec.shape not in ((), (1,))):
    stored = 'counted from 0' if discrete else 'in [-1, 1]'
    found.append(
        f'actions from {np.min(spec.minimum)} to {np.max(spec.maximum)}, and '
        f'{stored} there, by an earlier version')
  return found + [
      f'observation {part.key!r} {part.describe()}, and otherwise there, by an '
      'earlier version'
      for part in adapted.parts if _is_read_anew(part)]


def _is_read_anew(part):
  """Whether earlier versions stored other numbers of a part."""
  flags = (part.low, part.high) == (0, 1) and part.dtype != 'uint8'
  bytes_before = part.dtype == 'uint8' and part.kind == observations.NUMBERS
  return part.kind == observations.SCALED and not flags or bytes_before
