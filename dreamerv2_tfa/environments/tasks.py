"""Tasks by name, for example `atari_pong`."""

from collections.abc import Callable
import difflib
import importlib
import os
import sys
from typing import NamedTuple

import gin
from tf_agents.environments import batched_py_environment
from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment

from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import catch


class Task(NamedTuple):
  """What there is to learn; no emulator runs before `make` is called."""

  name: str           # as `load` takes it
  action_repeat: int  # environment frames an agent step
  # From a seed, an environment of batch size 1 that shares nothing.
  make: Callable[[int], tf_environment.TFEnvironment]


def names():
  """Returns the name of every task, sorted within each suite."""
  return ['catch'] + [f'atari_{game}' for game in atari.games()]


def load(name):
  """Returns the task of this name under the bound settings of its suite.

  Args:
    name: Python string: `catch`, or `atari_` and a game in snake case, or
      `module:factory`, see `load_factory`.

  Returns:
    A `Task`.

  Raises:
    ValueError: If there is no such task.
  """
  if ':' in str(name):
    return load_factory(name)
  if name not in names():
    raise ValueError(_unknown(str(name)))
  if name == 'catch':
    return load_catch()
  return load_atari(name[len('atari_'):])


def load_catch():
  """Returns the task `catch`, one frame an agent step."""
  return Task('catch', 1, lambda seed: catch.Catch(batch_size=1, seed=seed))


def load_factory(name):
  """Returns a task of the user's own, one frame an agent step.

  Args:
    name: Python string `module:factory`. The module is found from the working
      directory or among what is installed; `factory(seed)` returns a TF-Agents
      `PyEnvironment`, or a `TFEnvironment` of batch size 1.

  Returns:
    A `Task`. Its `make` raises `ValueError` if that is not what it returns.

  Raises:
    ValueError: If there is no such module or no such function in it.
  """
  module_name, _, attribute = name.partition(':')
  if (here := os.getcwd()) not in sys.path:
    sys.path.append(here)
  try:
    factory = getattr(importlib.import_module(module_name), attribute)
  except (ImportError, AttributeError, ValueError) as error:
    raise ValueError(
        f'There is no task {name!r}: {error}. Wanted module:factory, with the '
        'module importable from here.') from error
  return Task(name, 1, lambda seed: _in_tensorflow(name, factory(seed)))


def _in_tensorflow(name, environment):
  if isinstance(environment, py_environment.PyEnvironment):
    if not environment.batched:
      environment = batched_py_environment.BatchedPyEnvironment(
          [environment], multithreading=False)
    environment = tf_py_environment.TFPyEnvironment(environment)
  if not isinstance(environment, tf_environment.TFEnvironment):
    raise ValueError(
        f'The task {name!r} returned {environment!r}; wanted a TF-Agents '
        'PyEnvironment or TFEnvironment.')
  if environment.batch_size != 1:
    raise ValueError(
        f'The task {name!r} has batch size {environment.batch_size}; wanted 1.')
  return environment


@gin.configurable
def load_atari(
    game, *, action_repeat=4, size=64, grayscale=True, noops=30, sticky=0.25,
    full_action_space=False, max_steps=27000, terminal_on_life_loss=False,
    ram=False):
  """Returns the task of an Atari game; the defaults are the paper's protocol.

  Args:
    game: One of `atari.games()`.
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
  def make(seed):
    game_environment = atari.AtariEnvironment(
        game, seed=seed, action_repeat=action_repeat, size=size,
        grayscale=grayscale, noops=noops, sticky=sticky,
        full_action_space=full_action_space, max_steps=max_steps,
        terminal_on_life_loss=terminal_on_life_loss, ram=ram)
    # Without threads, which one environment has no use for.
    return tf_py_environment.TFPyEnvironment(
        batched_py_environment.BatchedPyEnvironment(
            [game_environment], multithreading=False))
  return Task(f'atari_{game}', action_repeat, make)


def _unknown(name):
  """Returns what to tell someone who asked for a task that is not there."""
  suite = name.partition('_')[0]
  meant = {'catch': 'catch', **{g: f'atari_{g}' for g in atari.games()}}
  near = difflib.get_close_matches(name.lower().removeprefix('atari_'), meant)
  near = ' or '.join(meant[word] for word in near)
  hint = f' Did you mean {near}?' if near else ''
  if suite == 'atari':
    return (f'There is no task {name!r}.{hint} The Atari games are: '
            f'{", ".join(atari.games())}.')
  return (f'There is no task {name!r}: unknown suite {suite!r}.{hint} This '
          'version has the tasks catch and atari_<game>, for example '
          'atari_pong, and module:factory for your own.')
