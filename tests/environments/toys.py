"""Environments that tests start in processes of their own."""

import os

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks

LENGTH = 5  # steps an episode; if asked, times the environment's number


class Counter(py_environment.PyEnvironment):
  """Shows its seed and the step of the episode; action 1 is paid 1.

  Action 2 raises, 3 ends the process.
  """

  def __init__(self, seed, length=LENGTH):
    super().__init__(handle_auto_reset=True)
    self._seed, self._length, self._step_count = seed, length, 0

  def observation_spec(self):
    return {
        'seed': array_spec.ArraySpec((), np.int64, name='seed'),
        'step': array_spec.ArraySpec((1,), np.float32, name='step')}

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 3, name='action')

  def _see(self):
    return {'seed': np.int64(self._seed),
            'step': np.array([self._step_count], np.float32)}

  def _reset(self):
    self._step_count = 0
    return ts.restart(self._see())

  def _step(self, action):
    if action == 2:
      raise KeyError(f'worn out at step {self._step_count}')
    if action == 3:
      os._exit(1)
    self._step_count += 1
    reward = np.float32(action == 1)
    if self._step_count == self._length:
      return ts.termination(self._see(), reward)
    return ts.transition(self._see(), reward)


def refused(seed):
  """An environment that a check of ours keeps from being made."""
  raise checks.UserError(f'no game with seed {seed}')


def broken(seed):
  """An environment with a fault of its own."""
  return {}[seed]


class Refusing(Counter):
  """Has a check of ours refuse action 2."""

  def _step(self, action):
    if action == 2:
      raise checks.UserError('not in its space')
    return super()._step(action)


class Double(Counter):
  """Calls itself a batch."""

  batched, batch_size = True, 2


class Closing(Counter):
  """Leaves a file named after its seed when it is closed, which must be new."""

  def __init__(self, folder, seed):
    super().__init__(seed)
    self._file = folder / str(seed)

  def close(self):
    self._file.touch(exist_ok=False)
