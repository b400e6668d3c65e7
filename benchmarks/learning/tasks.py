"""Four small tasks, each in the dress of either package.

  --task=benchmarks.learning.tasks:catch      for this one
  tasks.published('catch', seed)              for the published one

The dynamics are written once, in numpy; numbers are float32, images uint8
[64, 64, 1] on grey.
"""

import numpy as np

SIZE = 64  # pixels
GREY, MIDDLE, WHITE = 64, 160, 255


class Catch:
  """Four balls fall one after another on a grid of 6 x 6; +1 or -1 for each."""

  actions = 3  # left, stay, right
  best, random = 4.0, -2.67  # return
  cells = 6

  def reset(self, rng):
    self._rng, self._t, self._paddle = rng, 0, 2
    self._ball = rng.integers(self.cells)
    return self._draw(0)

  def step(self, action):
    self._t += 1
    self._paddle = np.clip(self._paddle + action - 1, 0, self.cells - 1)
    fall = self.cells - 1
    row, reward = self._t % fall, 0.0
    if row == 0:
      reward = 1.0 if self._paddle == self._ball else -1.0
    observation = self._draw(fall if row == 0 else row)
    if row == 0:
      self._ball = self._rng.integers(self.cells)
    return observation, reward, self._t == 4 * fall, False

  def _draw(self, row):
    image = np.full([SIZE, SIZE, 1], GREY, np.uint8)
    place = lambda row, column, level: image.__setitem__(
        (slice(2 + 10 * row, 12 + 10 * row),
         slice(2 + 10 * column, 12 + 10 * column)), level)
    place(self.cells - 1, self._paddle, MIDDLE)
    place(row, self._ball, WHITE)
    return {'image': image}


class Reach:
  """A point in a square is moved to a target; 25 steps, 1 a step on it."""

  actions = (2,)  # velocities in [-1, 1]
  best, random = 23.0, 7.0

  def reset(self, rng):
    self._t = 0
    self._position, self._target = rng.uniform(-1, 1, [2, 2])
    return self._look()

  def step(self, action):
    self._t += 1
    self._position = np.clip(self._position + 0.4 * action, -1, 1)
    distance = np.sum((self._position - self._target) ** 2)
    return self._look(), float(np.exp(-2 * distance)), False, self._t == 25

  def _look(self):
    return {'position': np.float32(self._position),
            'target': np.float32(self._target)}


class Chase:
  """A paddle follows a blob that bounces between walls, in pixels; 25 steps."""

  actions = (1,)  # velocity in [-1, 1]
  best, random = 24.0, 9.0

  def reset(self, rng):
    self._t, self._paddle = 0, 0.0
    self._blob = rng.uniform(-1, 1)
    self._velocity = rng.choice([-0.15, 0.15])
    return self._draw()

  def step(self, action):
    self._t += 1
    self._paddle = np.clip(self._paddle + 0.4 * action[0], -1, 1)
    if abs(self._blob + self._velocity) > 1:
      self._velocity = -self._velocity
    self._blob += self._velocity
    distance = (self._paddle - self._blob) ** 2
    return self._draw(), float(np.exp(-3 * distance)), False, self._t == 25

  def _draw(self):
    image = np.full([SIZE, SIZE, 1], GREY, np.uint8)
    for x, row, level in ((self._paddle, 48, MIDDLE), (self._blob, 16, WHITE)):
      column = int(round(6 + (x + 1) / 2 * 52))
      image[row - 6:row + 6, column - 6:column + 6] = level
    return {'image': image}


class Memory:
  """A cue in the first step says which way to turn at the end; +1 or -1."""

  actions = 2
  best, random = 1.0, 0.0
  length = 4  # steps to the junction

  def reset(self, rng):
    self._t, self._cue = 0, rng.integers(2)
    return self._look()

  def step(self, action):
    self._t += 1
    end = self._t == self.length
    reward = 1.0 if action == self._cue else -1.0
    return self._look(), reward if end else 0.0, end, False

  def _look(self):
    cue = np.zeros(2, np.float32)
    if self._t == 0:
      cue[self._cue] = 1.0
    return {'cue': cue, 'way': np.float32([self._t / self.length])}


TASKS = {'catch': Catch, 'reach': Reach, 'chase': Chase, 'memory': Memory}


def published(name, seed):
  """The task as an environment of the published package."""
  import gym

  task, rng = TASKS[name](), np.random.default_rng(seed)

  class Environment:
    """Its interface: dictionaries in and out."""

    @property
    def obs_space(self):
      flags = ('is_first', 'is_last', 'is_terminal')
      boxes = {
          key: gym.spaces.Box(-np.inf, np.inf, x.shape, x.dtype)
          if x.dtype != np.uint8 else gym.spaces.Box(0, 255, x.shape, x.dtype)
          for key, x in TASKS[name]().reset(np.random.default_rng(0)).items()
      }
      reward = gym.spaces.Box(-np.inf, np.inf, (), np.float32)
      return {**boxes, 'reward': reward,
              **{key: gym.spaces.Box(0, 1, (), bool) for key in flags}}

    @property
    def act_space(self):
      if isinstance(task.actions, int):
        return {'action': gym.spaces.Discrete(task.actions)}
      return {'action': gym.spaces.Box(-1, 1, task.actions, np.float32)}

    def reset(self):
      return dict(task.reset(rng), reward=0.0, is_first=True, is_last=False,
                  is_terminal=False)

    def step(self, action):
      observation, reward, end, cut = task.step(action['action'])
      return dict(observation, reward=reward, is_first=False,
                  is_last=end or cut, is_terminal=end)

  return Environment()


def _make(name, seed):
  from tf_agents.environments import py_environment
  from tf_agents.specs import array_spec
  from tf_agents.trajectories import time_step as ts

  task, rng = TASKS[name](), np.random.default_rng(seed)

  class Environment(py_environment.PyEnvironment):
    """The task as a TF-Agents environment."""

    def observation_spec(self):
      shown = TASKS[name]().reset(np.random.default_rng(0))
      return {
          key: array_spec.BoundedArraySpec(x.shape, np.uint8, 0, 255)
          if x.dtype == np.uint8 else array_spec.ArraySpec(x.shape, x.dtype)
          for key, x in shown.items()
      }

    def action_spec(self):
      if isinstance(task.actions, int):
        return array_spec.BoundedArraySpec((), np.int32, 0, task.actions - 1)
      return array_spec.BoundedArraySpec(task.actions, np.float32, -1, 1)

    def _reset(self):
      return ts.restart(task.reset(rng))

    def _step(self, action):
      if self._current_time_step.is_last():
        return self.reset()
      observation, reward, end, cut = task.step(action)
      if end:
        return ts.termination(observation, reward)
      if cut:
        return ts.truncation(observation, reward)
      return ts.transition(observation, reward)

  return Environment()


def catch(seed):
  return _make('catch', seed)


def reach(seed):
  return _make('reach', seed)


def chase(seed):
  return _make('chase', seed)


def memory(seed):
  return _make('memory', seed)
