"""Suite `minigrid`: grid worlds, seen from where the agent stands, in RGB."""

import re

import gin
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import task as task_lib

_EXTRA = 'minigrid'
_ID = re.compile(r'MiniGrid-(.+)-v\d+')
_ENDLESS = 2**31 - 1  # steps


def games() -> tuple[str, ...]:
  """Sorted names of the grid worlds, such as 'DoorKey-6x6'."""
  return tuple(sorted(_ids()))


# gin's annotation of a decorator with a name is wrong.
@gin.configurable('load_minigrid')  # pyright: ignore[reportCallIssue]
def load(
    game: str, *, tile_size: int = 8, keys: str = 'image') -> task_lib.Task:
  """Makes a task of MiniGrid: the agent sees seven by seven cells before it.

  Args:
    game: One of `games()`.
    tile_size: Pixels of a cell before the image is resized.
    keys: Regular expression of the observations to keep; 'direction' is one.
  """
  tile_size = checks.integer('load_minigrid.tile_size', tile_size)
  checks.pattern('load_minigrid.keys', keys)

  def construct(seed):
    return adapt.Adapted(make(game, seed=seed, tile_size=tile_size), keys=keys)
  return task_lib.from_constructor(
      f'minigrid_{game}', 1, construct, one_thread=False)


def make(
    game: str, *, seed: int, tile_size: int) -> py_environment.PyEnvironment:
  """Makes one world, whose step limit truncates an episode.

  MiniGrid returns `done` at its step limit, as at a success. So its own limit
  is removed, and TF-Agents' `TimeLimit` applies the same one. The reward of a
  success stays 1 - 0.9 * steps / limit.

  Args:
    game: One of `games()`.
    seed: Of the worlds.
    tile_size: Pixels of a cell.

  Returns:
    An environment that observes 'image' and others.
  """
  registry = extras.load('gym', _EXTRA)
  views = extras.load('gym_minigrid.wrappers', _EXTRA)
  env = registry.make(_ids()[game])
  world = env.unwrapped
  limit, world.max_steps = world.max_steps, _ENDLESS
  # Only successes are rewarded, by this method of every world.
  world._reward = lambda: 1 - 0.9 * world.step_count / limit
  env = views.RGBImgPartialObsWrapper(env, tile_size=tile_size)
  return wrappers.TimeLimit(gym.GymEnvironment(env, seed=seed), limit)


def _ids() -> dict[str, str]:
  """Gym's id of each game."""
  extras.load('gym_minigrid', _EXTRA)  # registers the worlds
  registry = extras.load('gym.envs.registration', _EXTRA).registry
  ids = (spec.id for spec in registry.all())
  return {
      match.group(1): match.group(0) for match in map(_ID.fullmatch, ids)
      if match}
