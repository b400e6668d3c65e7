"""Suite `crafter`: survival in an open world, with 22 achievements."""

from typing import Any

import gin
import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import task as task_lib

_EXTRA = 'crafter'
_DRAWN = (576, 576)  # pixels; the view has nine cells a side
ACHIEVEMENTS = (  # in alphabetical order, as Crafter lists them
    'collect_coal', 'collect_diamond', 'collect_drink', 'collect_iron',
    'collect_sapling', 'collect_stone', 'collect_wood', 'defeat_skeleton',
    'defeat_zombie', 'eat_cow', 'eat_plant', 'make_iron_pickaxe',
    'make_iron_sword', 'make_stone_pickaxe', 'make_stone_sword',
    'make_wood_pickaxe', 'make_wood_sword', 'place_furnace', 'place_plant',
    'place_stone', 'place_table', 'wake_up',
)


def games() -> tuple[str, ...]:
  """Names of the tasks; in 'noreward' every reward is 0."""
  return 'reward', 'noreward'


# gin's annotation of a decorator with a name is wrong.
@gin.configurable('load_crafter')  # pyright: ignore[reportCallIssue]
def load(game: str, *, length: int = 10000) -> task_lib.Task:
  """Makes the task of Crafter, with its achievements as metrics.

  Args:
    game: One of `games()`.
    length: Steps an episode.
  """
  length = checks.integer('load_crafter.length', length)

  def construct(seed):
    return adapt.Adapted(gym.GymEnvironment(
        Game(reward=game == 'reward', seed=seed, length=length)))
  return task_lib.from_constructor(
      f'crafter_{game}', 1, construct, metrics=ACHIEVEMENTS, one_thread=False)


class Game:
  """Crafter as a Gym environment that tells death from the time limit.

  The achievements of an episode are no observation: `pop_metrics` returns them.
  """

  def __init__(self, *, reward: bool, seed: int, length: int):
    """Makes the world.

    Args:
      reward: False: every reward is 0.
      seed: Of the worlds.
      length: Steps after which an episode is truncated.
    """
    crafter = extras.load('crafter', _EXTRA)
    spaces = extras.load('gym.spaces', _EXTRA)
    self._env = crafter.Env(reward=reward, seed=seed, length=length)
    # Crafter keeps the creatures of a chunk in a set and picks one by a random
    # index. The order of a set depends on addresses, so a seed would not
    # reproduce an episode.
    self._balance, self._world = self._env._balance_chunk, self._env._world
    self._env._balance_chunk = self._balance_in_order
    self.action_space = spaces.Discrete(self._env.action_space.n)
    self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    self._metrics = []

  def reset(self) -> np.ndarray:
    """Starts an episode in a new world; returns its picture."""
    return self._env.reset()

  def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
    """Plays `action`; Gym's older form of a step, with truncations marked."""
    observation, reward, done, info = self._env.step(action)
    if done:
      self._metrics.append({
          name: float(info['achievements'][name] > 0) for name in ACHIEVEMENTS})
    truncated = done and info['discount'] > 0
    return observation, reward, done, {'TimeLimit.truncated': truncated}

  def render(self, mode: str = 'rgb_array') -> np.ndarray:
    """The view at 64 pixels a cell, uint8 `[576, 576, 3]`.

    Crafter draws the noise of the night from the random numbers of the world,
    which are put back: a picture changes no episode.
    """
    del mode
    state = self._world.random.get_state()
    try:
      return self._env.render(_DRAWN)
    finally:
      self._world.random.set_state(state)

  def _balance_in_order(self, chunk, creatures):
    """Spawns or removes creatures of a chunk, which are sorted by age."""
    number = lambda creature: self._world._obj_map[tuple(creature.pos)]
    self._balance(chunk, sorted(creatures, key=number))

  def close(self) -> None:
    """Does nothing: Crafter has nothing to close."""

  def pop_metrics(self) -> list[dict[str, float]]:
    """Achievements of the episodes that ended since the last call.

    Returns:
      A dict an episode, from each of `ACHIEVEMENTS` to 1.0, unlocked, or 0.0.
    """
    metrics, self._metrics = self._metrics, []
    return metrics
