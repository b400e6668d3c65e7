"""Drops stored rows with numbers that are not finite, or too large."""

from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import specs

LARGEST = specs.LARGEST


class Clean:
  """Drops rows with numbers that are not finite, and marks the gaps.

  An older version stored such rows. The row after a gap becomes the FIRST of an
  episode, so the model starts there without a past. If it is LAST, it is
  dropped too: as FIRST it could not tell how its episode ended.

    stored    FIRST MID nan MID LAST | FIRST     nan LAST | FIRST
    kept      FIRST MID   FIRST LAST | FIRST              | FIRST

  Attributes:
    skipped: Rows dropped so far, each once for all environments.
    gap: Whether rows are missing before the next one.
  """

  def __init__(self):
    self.skipped = 0
    self.gap = False

  def __call__(self, rows: Any) -> Any:
    """Returns the usable rows.

    Args:
      rows: Nest of arrays `[rows, environments, ...]`, oldest first.
    """
    finite = np.ones(len(tf.nest.flatten(rows)[0]), bool)
    for column in tf.nest.flatten(rows):
      if np.issubdtype(column.dtype, np.floating):
        usable = np.abs(column) < LARGEST  # neither is NaN nor infinity
        finite &= usable.all(axis=tuple(range(1, column.ndim)))
    if finite.all() and not self.gap:
      return rows
    starts = []
    types = getattr(rows, 'step_type', None)
    for row in range(len(finite)):
      if not finite[row]:
        self.gap = True
      elif self.gap and types is not None and (
          types[row] == ts.StepType.LAST).any():
        finite[row] = False
      elif self.gap:
        starts.append(row)
        self.gap = False
    self.skipped += int((~finite).sum())
    if isinstance(rows, trajectory.Trajectory):
      types = np.array(types)
      types[starts] = ts.StepType.FIRST
      rows = rows._replace(step_type=types)
    return tf.nest.map_structure(lambda column: column[finite], rows)
