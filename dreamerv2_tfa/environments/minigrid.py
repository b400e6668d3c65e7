"""MiniGrid: the agent's view of a grid world, drawn in colour."""

import re

import gin
from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import gym

_EXTRA = 'minigrid'
_ID = re.compile(r'MiniGrid-(.+)-v\d+')
_ENDLESS = 2**31 - 1  # steps


def games():
  """Returns the sorted names of the grid worlds, such as 'DoorKey-6x6'."""
  return tuple(sorted(_ids()))


def make(game, *, seed, tile_size):
  """Makes one world; its step limit cuts an episode and is no death.

  MiniGrid says `done` at its own limit as well, so the limit is taken off and
  put on again from outside. A success still pays 1 less 0.9 of the share of the
  limit that it took.

  Args:
    game: One of `games()`.
    seed: Python int, of the worlds.
    tile_size: Python int, pixels of a cell.

  Returns:
    `PyEnvironment` with the observation 'image' and others.
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


def _ids():
  """Gym's id of each game."""
  extras.load('gym_minigrid', _EXTRA)  # registers the worlds
  registry = extras.load('gym.envs.registration', _EXTRA).registry
  ids = (spec.id for spec in registry.all())
  return {
      match.group(1): match.group(0) for match in map(_ID.fullmatch, ids)
      if match}


@gin.configurable('load_minigrid')
def load(game, *, tile_size=8, keys='image'):
  """Returns a task of MiniGrid: seven by seven cells in front of the agent.

  Args:
    game: One of `games()`, such as 'DoorKey-6x6'.
    tile_size: Python int, pixels of a cell before the image is resized.
    keys: Regular expression of the observations to keep; 'direction' is one.

  Returns:
    A `Task`.
  """
  tile_size = checks.integer('load_minigrid.tile_size', tile_size)
  checks.pattern('load_minigrid.keys', keys)

  def construct(seed):
    world = make(game, seed=seed, tile_size=tile_size)
    return adapt.Adapted(world, keys=keys)
  return batch.task(
      f'minigrid_{game}', 1, construct, one_thread=False)
