"""The first episode of an evaluation, kept to look at it afterwards."""

from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectories

MOST_ROWS = 512  # of an episode; what comes later is not kept
_LEAST = 64


class Recorder:
  """Keeps rows of the first environment's first episode, as an observer.

  Attributes:
    rows: List of rows so far: a `Trajectory` of arrays without batch axis each.
  """

  def __init__(self):
    self.rows: list[Any] = []
    self._whole = False

  def clear(self) -> None:
    """Forgets what was kept: another evaluation begins."""
    self.rows, self._whole = [], False

  def begin(self) -> None:
    """Environments were reset; the first episode is over if there was one."""
    self._whole |= bool(self.rows)

  def __call__(self, trajectory):
    """Observes a row `[B, ...]`, in the driver."""
    def note(*leaves):
      if not self._whole:
        row = tf.nest.pack_sequence_as(trajectory, list(map(np.array, leaves)))
        self.rows.append(row)
        self._whole = len(self.rows) == MOST_ROWS or (
            row.step_type == ts.StepType.LAST)
      return np.bool_(True)

    done = tf.numpy_function(
        note, [leaf[0] for leaf in tf.nest.flatten(trajectory)], tf.bool)
    with tf.control_dependencies([done]):
      return tf.identity(done)

  @property
  def terminated(self) -> bool:
    """Whether the episode was kept to its end, and ended by itself."""
    return len(self.rows) > 1 and bool(
        self.rows[-1].step_type == ts.StepType.LAST
        and self.rows[-2].discount == 0)

  def episode(self) -> trajectories.Trajectory | None:
    """The rows as a batch of one sequence, `[1, L + 1, ...]`.

      row   before   o_0   o_1   ...   o_n   o_n   ...
      type  LAST     FIRST MID         LAST  padding

    A model row takes a stored row before it, so one that ends an episode comes
    first. L is a power of two, so that few lengths are compiled; the last row
    is repeated up to it. None where there are fewer than two rows.
    """
    if len(self.rows) < 2:
      return None
    first = self.rows[0]
    before = first._replace(
        step_type=np.full_like(first.step_type, ts.StepType.LAST),
        next_step_type=np.full_like(first.step_type, ts.StepType.FIRST),
        reward=np.zeros_like(first.reward),
        discount=np.ones_like(first.discount))
    length = _LEAST
    while length < len(self.rows):
      length *= 2
    padding = [self.rows[-1]] * (length - len(self.rows))
    return tf.nest.map_structure(
        lambda *leaves: tf.constant(np.stack(leaves)[None]),
        before, *self.rows, *padding)
