"""A grid with one reward, far from the start.

  --task=benchmarks.exploration.grid:make
"""

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

CELLS = 10  # a side; the goal is 18 steps from the start
STEPS = 30  # an episode, then it is cut
_MOVES = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])


class Grid(py_environment.PyEnvironment):
  """From one corner to the opposite one; +1 there, and the episode ends.

  Observations are the row and the column, one-hot: float32 [10] each. Actions
  are int32: up, down, left, right. Nothing is drawn at random.
  """

  def observation_spec(self):
    spec = array_spec.BoundedArraySpec((CELLS,), np.float32, 0, 1)
    return {'column': spec, 'row': spec}

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 3)

  def _look(self):
    row, column = np.eye(CELLS, dtype=np.float32)[self._place]
    return {'column': column, 'row': row}

  def _reset(self):
    self._place, self._taken = np.zeros(2, int), 0
    return ts.restart(self._look())

  def _step(self, action):
    if self._current_time_step.is_last():
      return self.reset()
    self._taken += 1
    self._place = np.clip(self._place + _MOVES[action], 0, CELLS - 1)
    if np.all(self._place == CELLS - 1):
      return ts.termination(self._look(), 1.0)
    if self._taken == STEPS:
      return ts.truncation(self._look(), 0.0)
    return ts.transition(self._look(), 0.0)


def make(seed):
  """The environment; the seed is not used."""
  del seed
  return Grid()
