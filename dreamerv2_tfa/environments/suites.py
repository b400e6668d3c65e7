"""The settings of each suite, and the task of one of its games."""

import gin
from tf_agents.environments import tf_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.environments import crafter
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import minigrid
from dreamerv2_tfa.environments import registered


def load_catch():
  """Returns the task `catch`, one frame an agent step."""
  def make(seed, rows=1, processes=False):
    del processes  # it is a batch in TensorFlow by itself
    return catch.Catch(batch_size=rows, seed=seed)

  return batch.Task('catch', 1, make)


@gin.configurable
def load_atari(
    game, *, emulator='ale_py', action_repeat=4, size=64, grayscale=True,
    noops=30, sticky=0.25, full_action_space=False, max_steps=27000,
    terminal_on_life_loss=False, ram=False):
  """Returns the task of an Atari game; the defaults are the paper's protocol.

  Args:
    game: One of `emulators.games()`.
    emulator: 'ale_py', or 'atari_py' from the extra [atari-py].
    action_repeat: Python int, frames an agent step.
    size: Python int, pixels, height and width of the image.
    grayscale: Python bool, luminance with one channel, else RGB.
    noops: Python int, most no-op frames at a reset.
    sticky: Python float, probability that a frame repeats the last action.
    full_action_space: Python bool, all 18 actions in every game.
    max_steps: Python int, agent steps an episode (108,000 frames).
    terminal_on_life_loss: Python bool, a lost life ends the episode.
    ram: Python bool, observe the memory of the console as well.

  Returns:
    A `Task`. Its `make` raises `ValueError` if a number is not in its range.
  """
  action_repeat = checks.integer(
      'load_atari.action_repeat', action_repeat, 1, 2**31 - 1)

  def construct(seed):
    return atari.AtariEnvironment(
        game, seed=seed, emulator=emulator, action_repeat=action_repeat,
        size=size, grayscale=grayscale, noops=noops, sticky=sticky,
        full_action_space=full_action_space, max_steps=max_steps,
        terminal_on_life_loss=terminal_on_life_loss, ram=ram)
  return batch.task(
      f'atari_{game}', action_repeat, construct, one_thread=False)


@gin.configurable
def load_dmc(
    game, *, action_repeat=2, pixels=True, proprio=False, size=64,
    camera=None):
  """Returns a task of DeepMind Control.

  Args:
    game: One of `dm_control.games()`.
    action_repeat: Python int, physics steps an agent step.
    pixels: Python bool, observe the camera as 'image', in colour.
    proprio: Python bool, observe joint positions, velocities and the like.
    size: Python int, pixels, height and width of the image.
    camera: Python int or string; None: the task's own, as published.

  Returns:
    A `Task`.
  """
  action_repeat = checks.integer('load_dmc.action_repeat', action_repeat)
  size = checks.integer('load_dmc.size', size)
  checks.flag('load_dmc.pixels', pixels)
  checks.flag('load_dmc.proprio', proprio)

  def construct(seed):
    return adapt.Adapted(dm_control.make(
        game, seed=seed, action_repeat=action_repeat, pixels=pixels,
        proprio=proprio, size=size, camera=camera), size=size)
  return batch.task(f'dmc_{game}', action_repeat, construct)


@gin.configurable
def load_crafter(game, *, length=10000):
  """Returns the task of Crafter, with its achievements as outcomes.

  Args:
    game: 'reward', or 'noreward', where every reward is 0.
    length: Python int, steps an episode.

  Returns:
    A `Task`.
  """
  length = checks.integer('load_crafter.length', length)

  def construct(seed):
    return adapt.Adapted(crafter.make(game, seed=seed, length=length))
  return batch.task(
      f'crafter_{game}', 1, construct, outcomes=crafter.ACHIEVEMENTS,
      one_thread=False)


@gin.configurable
def load_minigrid(game, *, tile_size=8, keys='image'):
  """Returns a task of MiniGrid: seven by seven cells in front of the agent.

  Args:
    game: One of `minigrid.games()`, such as 'DoorKey-6x6'.
    tile_size: Python int, pixels of a cell before the image is resized.
    keys: Regular expression of the observations to keep; 'direction' is one.

  Returns:
    A `Task`.
  """
  tile_size = checks.integer('load_minigrid.tile_size', tile_size)
  checks.pattern('load_minigrid.keys', keys)

  def construct(seed):
    world = minigrid.make(game, seed=seed, tile_size=tile_size)
    return adapt.Adapted(world, keys=keys)
  return batch.task(
      f'minigrid_{game}', 1, construct, one_thread=False)


@gin.configurable
def load_gym(
    name, construct=None, *, action_repeat=1, max_steps=0, keys='.*', size=64,
    pictures='$^', numbers='$^'):
  """Returns the task of an environment by its id, or of one's own.

  Args:
    name: `gym_` or `gymnasium_` and the id, such as 'gym_CartPole-v1'; or what
      the task is called.
    construct: Function from a seed to a `PyEnvironment` or `TFEnvironment`.
      None: what is registered under the id.
    action_repeat: Python int, environment steps an agent step.
    max_steps: Python int, agent steps after which an episode is cut, where the
      environment does not do so itself; 0: never.
    keys: Regular expression of the observations to keep.
    size: Python int, pixels, height and width of pictures.
    pictures: Regular expression of the observations that are pictures, whatever
      their bounds say.
    numbers: Regular expression of those that are none.

  Returns:
    A `Task`. An environment that is batched, or in TensorFlow, stays as it is.
  """
  action_repeat = checks.integer('load_gym.action_repeat', action_repeat)
  max_steps = checks.integer('load_gym.max_steps', max_steps, 0)
  size = checks.integer('load_gym.size', size)
  patterns = dict(keys=keys, pictures=pictures, numbers=numbers)
  for which, each in patterns.items():
    checks.pattern(f'load_gym.{which}', each)

  def make(seed):
    env = construct(seed) if construct else registered.make(name, seed=seed)
    if isinstance(env, tf_environment.TFEnvironment) or env.batched:
      return env
    if action_repeat > 1:
      env = wrappers.ActionRepeat(env, action_repeat)
    if max_steps:
      env = wrappers.TimeLimit(env, max_steps)
    with factories.closed_on_error(env):
      return adapt.Adapted(
          env, keys=keys, size=size, pictures=pictures, numbers=numbers)
  return batch.task(name, action_repeat, make)


_LOADERS = {
    'atari': load_atari, 'dmc': load_dmc, 'crafter': load_crafter,
    'minigrid': load_minigrid,
}


def loader(suite):
  """Returns the function from a game of this suite to its task."""
  if suite in registered.LIBRARIES:
    return lambda game: load_gym(f'{suite}_{game}')
  return _LOADERS[suite]
