"""Crafter: survival in an open world, with 22 achievements."""

import gin
import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import gym

_EXTRA = 'crafter'
_GAMES = ('reward', 'noreward')
ACHIEVEMENTS = (  # in alphabetical order, as Crafter lists them
    'collect_coal', 'collect_diamond', 'collect_drink', 'collect_iron',
    'collect_sapling', 'collect_stone', 'collect_wood', 'defeat_skeleton',
    'defeat_zombie', 'eat_cow', 'eat_plant', 'make_iron_pickaxe',
    'make_iron_sword', 'make_stone_pickaxe', 'make_stone_sword',
    'make_wood_pickaxe', 'make_wood_sword', 'place_furnace', 'place_plant',
    'place_stone', 'place_table', 'wake_up',
)


class Game:
  """Crafter as a Gym environment that tells death from the time limit.

  It keeps what each episode has unlocked out of the observations, for
  `pop_outcomes`.
  """

  def __init__(self, *, reward, seed, length):
    """Makes the world.

    Args:
      reward: Python bool, whether the task is rewarded.
      seed: Python int, of the worlds.
      length: Python int, steps after which an episode is cut.
    """
    crafter = extras.load('crafter', _EXTRA)
    spaces = extras.load('gym.spaces', _EXTRA)
    self._env = crafter.Env(reward=reward, seed=seed, length=length)
    # Crafter keeps the creatures of a chunk in a set and picks by a random
    # index: by their places in memory, so that a seed does not say which.
    self._balance, self._world = self._env._balance_chunk, self._env._world
    self._env._balance_chunk = self._balance_in_order
    self.action_space = spaces.Discrete(self._env.action_space.n)
    self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    self._ended = []

  def reset(self):
    """Starts an episode in a new world."""
    return self._env.reset()

  def step(self, action):
    """Plays `action`; the old form of Gym, with a truncation marked."""
    observation, reward, done, info = self._env.step(action)
    if done:
      self._ended.append({
          name: float(info['achievements'][name] > 0) for name in ACHIEVEMENTS})
    truncated = done and info['discount'] > 0
    return observation, reward, done, {'TimeLimit.truncated': truncated}

  def _balance_in_order(self, chunk, creatures):
    """Spawns or removes creatures, those that a chunk has in order of age."""
    number = lambda creature: self._world._obj_map[tuple(creature.pos)]
    self._balance(chunk, sorted(creatures, key=number))

  def close(self):
    """Has nothing to close."""

  def pop_outcomes(self):
    """Returns what the episodes that ended since the last call achieved.

    Returns:
      List of dicts from an achievement to 1.0, unlocked, or 0.0.
    """
    ended, self._ended = self._ended, []
    return ended


def make(game, *, seed, length):
  """Makes the `PyEnvironment` of one of `games()`; see `Game`."""
  return gym.GymEnvironment(
      Game(reward=game == 'reward', seed=seed, length=length))


def games() -> tuple[str, ...]:
  """Crafter with its reward, and without."""
  return _GAMES


@gin.configurable('load_crafter')
def load(game, *, length=10000):
  """Returns the task of Crafter, with its achievements.

  Args:
    game: 'reward', or 'noreward', where every reward is 0.
    length: Python int, steps an episode.

  Returns:
    A `Task`.
  """
  length = checks.integer('load_crafter.length', length)

  def construct(seed):
    return adapt.Adapted(make(game, seed=seed, length=length))
  return batch.task(
      f'crafter_{game}', 1, construct, achievements=ACHIEVEMENTS,
      one_thread=False)
