"""What runs of earlier versions have stored that means something else now.

Until `protocol.json` recorded observations and actions, a box of actions was
stored in [-1, 1], several choices as the number of their combination, a choice
counted from 0, and integers that are no picture without their scaling.
"""

from typing import Any

import numpy as np
from tf_agents.environments import tf_environment

from dreamerv2_tfa import observations
from dreamerv2_tfa.environments import batch

_PIXEL_RANGES = ((0, 1), (0, 255), (-1, 1))  # of pictures in floats


def differences(
    environment: tf_environment.TFEnvironment, there: dict[str, Any], *,
    actions: bool = True,
) -> list[str]:
  """What differs, in words.

  Args:
    environment: Of one environment of this run's task.
    there: The `protocol.json` of the run whose rows were stored.
    actions: False where its actions are not read, but its weights alone.

  Returns:
    List of str; empty where it was written since.
  """
  adapted = batch.adapted(environment)
  if 'action' in there or adapted is None:
    return []  # an environment that is not adapted is stored as it was
  found = []
  if actions and not _is_as_before(adapted.action_spec()):
    spec = adapted.action_spec()
    found.append(
        f'actions {spec.dtype} {list(spec.shape)} from {np.min(spec.minimum)} '
        f'to {np.max(spec.maximum)}, and in [-1, 1] or counted from 0 there, '
        'by an earlier version, which can finish it')
  return found + [
      f'observation {part.key!r} {part.describe()}, and otherwise there, by an '
      'earlier version'
      for part in adapted.parts if not _is_read_as_before(part)]


def _is_as_before(spec):
  """Whether earlier versions stored such actions as they are."""
  if np.issubdtype(spec.dtype, np.integer):
    return spec.shape in ((), (1,)) and np.all(spec.minimum == 0)
  return np.all(spec.minimum == -1) and np.all(spec.maximum == 1)


def _is_read_as_before(part):
  """Whether earlier versions stored the same numbers of a part."""
  bounds = (part.low, part.high)
  if part.kind == observations.PICTURE:
    rank, byte = len(part.shape), part.dtype == 'uint8'
    floats = part.dtype.startswith('float') and rank == 3
    mixed = part.shrinks and min(part.form.grid[:2]) < part.size
    return not mixed and rank < 4 and (
        byte or floats and bounds in _PIXEL_RANGES)
  if part.kind == observations.SCALED:
    return bounds == (0, 1) and part.dtype != 'uint8'
  return part.kind != observations.NUMBERS or part.dtype != 'uint8'
