"""An environment in a module of a user's own, which keeps a diary."""

import os
import time

import gymnasium
import numpy as np


def _write(line):
  with open(os.environ['DIARY'], 'a', encoding='utf-8') as file:
    file.write(f'{line}\n')


class Diary(gymnasium.Env):
  """Writes when it is made, reset, stepped first, and closed.

  Environment variables: LENGTH of an episode, steps; SECONDS a step takes;
  RAISES, which method raises a ValueError, at its call CALL.
  """

  observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)
  made = 0

  def __init__(self, render_mode=None):
    assert render_mode is None
    Diary.made += 1
    self._name = f'{os.getpid()}/{Diary.made}'
    self._calls, self._t = {}, 0
    self._count('__init__')
    _write(f'made {self._name}')

  def _count(self, method):
    self._calls[method] = self._calls.get(method, 0) + 1
    wanted = os.environ.get('RAISES'), int(os.environ.get('CALL', '1'))
    if (method, self._calls[method]) == wanted:
      raise ValueError(f'a fault in {method}')

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._count('reset')
    self._t = 0
    return np.zeros(2, np.float32), {}

  def step(self, action):
    time.sleep(float(os.environ.get('SECONDS', '0')))
    self._count('step')
    self._t += 1
    over = self._t == int(os.environ.get('LENGTH', '5'))
    return np.zeros(2, np.float32), 1.0, over, False, {}

  def close(self):
    _write(f'closed {self._name}')
