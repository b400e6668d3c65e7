"""Rows that can be learned from: their numbers are finite and not too large."""

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

# Losses square what a row holds and sum it up in float32, which ends at 3e38.
# One NaN or larger number would spoil the loss of every batch with it, as long
# as it is stored: such a row is neither stored nor loaded.
LARGEST = 1e15


class Clean:
  """Drops rows with numbers that are not finite, and joins nothing over them.

  An older version has stored such rows. The row after a gap becomes the FIRST
  of an episode, so that the model starts there without a past; a LAST row is
  dropped as well, because nothing would say how its episode ended.

    stored    FIRST MID nan MID LAST | FIRST     nan LAST | FIRST
    kept      FIRST MID   FIRST LAST | FIRST              | FIRST
  """

  def __init__(self):
    self.skipped = 0
    self.gap = False  # whether rows are missing before the next one

  def __call__(self, rows):
    """Takes and returns a nest of arrays `[rows, blocks, ...]`, in order."""
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
