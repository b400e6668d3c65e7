"""Environments that fail on demand, in this process and in others."""

import os
import signal
import time

import gymnasium
import numpy as np

LENGTH = 4  # steps an episode


def _hang():
  while True:
    time.sleep(0.01)


def _raise():
  raise KeyError('worn out')


def _exit():
  raise SystemExit('the window was closed')


def _interrupt():
  raise KeyboardInterrupt('q was pressed')


# What a failing step returns, or does instead.
_STEP = {
    'exception': _raise, 'exit': _exit, 'interrupt': _interrupt,
    'shape': lambda: (np.zeros(3, np.float32), 1.0, False, False, {}),
    'dtype': lambda: (np.array(['a', 'b']), 1.0, False, False, {}),
    'nan': lambda: (np.array([0, np.nan], np.float32), 1.0, False, False, {}),
    'infinite': lambda: (
        np.array([0, np.inf], np.float32), 1.0, False, False, {}),
    'huge': lambda: (np.array([0, 1e16], np.float32), 1.0, False, False, {}),
    'reward_nan': lambda: (_good(), float('nan'), False, False, {}),
    'reward_infinite': lambda: (_good(), float('inf'), False, False, {}),
    'reward_huge': lambda: (_good(), 1e16, False, False, {}),
    'reward_none': lambda: (_good(), None, False, False, {}),
    'reward_text': lambda: (_good(), 'one', False, False, {}),
    'none': lambda: None,
    'text': lambda: 'observation',
    'observation_none': lambda: (None, 1.0, False, False, {}),
    'hang': _hang,
    'killed': lambda: os.kill(os.getpid(), signal.SIGKILL),
}
FAILURES = tuple(_STEP)


def _good():
  return np.zeros(2, np.float32)


class Failing(gymnasium.Env):
  """Plays short episodes; fails at the second step of some."""

  observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, how, episodes=(2,), render_mode=None):
    """Makes it.

    Args:
      how: One of `FAILURES`.
      episodes: Those that fail, counted over all its life.
      render_mode: None.
    """
    self._how, self._episodes = how, episodes
    self._episode = self._t = 0

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._episode, self._t = self._episode + 1, 0
    return _good(), {}

  def step(self, action):
    self._t += 1
    if self._t == 2 and self._episode in self._episodes:
      return _STEP[self._how]()
    return _good(), 1.0, self._t == LENGTH, False, {}
