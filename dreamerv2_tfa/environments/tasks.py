"""Tasks by name, for example `atari_pong`, or from an object."""

import difflib
import functools
import importlib
import os
import sys

from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment

from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import crafter
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import emulators
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import minigrid
from dreamerv2_tfa.environments import registered
from dreamerv2_tfa.environments import suites

_GAMES = {
    'atari': emulators.games, 'dmc': dm_control.games,
    'crafter': lambda: crafter.GAMES, 'minigrid': minigrid.games,
    'gym': lambda: registered.ids('gym'),
    'gymnasium': lambda: registered.ids('gymnasium'),
}
_FORMS = (
    'catch, atari_<game>, dmc_<domain>_<task>, dmc_manip_<task>, '
    'dmc_locom_<task>, crafter_reward, crafter_noreward, minigrid_<world>, '
    'gym_<id>, gymnasium_<id>, and module:factory for your own'
)


def names(suite=None):
  """Returns the names of the tasks of a suite, sorted, or of all.

  Suites whose packages are not installed have no names here.

  Args:
    suite: Python string, such as 'dmc', or None.
  """
  if suite is None:
    return ['catch'] + [name for each in _GAMES for name in names(each)]
  try:
    return [f'{suite}_{game}' for game in _GAMES[suite]()]
  except ValueError:
    return []


def load(name):
  """Returns the task of this name under the bound settings of its suite.

  Args:
    name: Python string: `catch`; a suite, '_' and a game, such as `atari_pong`
      or `gym_CartPole-v1`; or `module:factory`, see `load_factory`.

  Returns:
    A `Task`.

  Raises:
    ValueError: If there is no such task, with the nearest names; or if the
      packages of its suite are not installed, with the line that mends it.
  """
  name = str(name)
  if ':' in name:
    return load_factory(name)
  if name == 'catch':
    return suites.load_catch()
  suite, _, game = name.partition('_')
  if suite not in _GAMES or not game or game not in _GAMES[suite]():
    raise ValueError(_unknown(name, suite))
  return suites.loader(suite)(game)


def load_factory(name):
  """Returns a task of the user's own, one frame an agent step.

  Args:
    name: Python string `module:factory`. The module is found from the working
      directory or among what is installed; `factory(seed)` returns what
      `from_object` takes.

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
  return from_factory(name, factory)


def from_factory(name, factory):
  """Returns a task whose environments `factory(seed)` makes.

  Args:
    name: Python string, what the task is called.
    factory: Function from a seed, a Python int, to what `as_environment` takes.

  Returns:
    A `Task` under the settings of `load_gym`.
  """
  return suites.load_gym(name, functools.partial(_made, name, factory))


def _made(name, factory, seed):
  return as_py_environment(factory(seed), f'The task {name!r} returned', seed)


def as_environment(environment, whose='Got', seed=None):
  """Returns an environment of any library as the agent takes it.

  Args and errors are those of `as_py_environment`.

  Returns:
    A `TFEnvironment` or batched `PyEnvironment` as it was, or an `Adapted`,
    whose actions are the environment's own.
  """
  made = as_py_environment(environment, whose, seed)
  if isinstance(made, tf_environment.TFEnvironment) or made.batched:
    return made
  return adapt.Adapted(made)


def as_py_environment(environment, whose='Got', seed=None):
  """Returns an environment of any library as TF-Agents', as it is.

  Args:
    environment: A Gym, Gymnasium or `dm_env` environment, a TF-Agents
      `PyEnvironment` or `TFEnvironment`.
    whose: Python string, how an error begins.
    seed: Python int of a Gym environment, or None to leave it as it is.

  Returns:
    A `TFEnvironment` or `PyEnvironment`, that which it was if it was one.

  Raises:
    ValueError: If it is none of these, or its spaces cannot be used.
  """
  if isinstance(environment, (
      tf_environment.TFEnvironment, py_environment.PyEnvironment)):
    return environment
  if _is_dm_env(environment):
    return dm_control.DmEnvironment(environment)
  if gym.is_gym(environment):
    return gym.GymEnvironment(environment, seed=seed)
  raise ValueError(
      f'{whose} {environment!r}; wanted a Gym, Gymnasium or dm_env '
      'environment, or a TF-Agents PyEnvironment or TFEnvironment.')


def _is_dm_env(environment):
  methods = ('reset', 'step', 'observation_spec', 'action_spec')
  return all(hasattr(environment, method) for method in methods)


def _unknown(name, suite):
  """Returns what to tell someone who asked for a task that is not there."""
  known = names(suite) if suite in _GAMES else names()
  # Where the suite was left out, its games are meant as well.
  meant = {whole.partition('_')[2] or whole: whole for whole in known}
  meant.update({whole: whole for whole in known})
  folded = {word.lower(): whole for word, whole in meant.items()}
  word = name.partition('_')[2] if suite in _GAMES else name
  near = difflib.get_close_matches(word.lower(), folded)
  near = ' or '.join(dict.fromkeys(folded[word] for word in near))
  hint = f' Did you mean {near}?' if near else ''
  if suite in _GAMES:
    games = ', '.join(whole.partition('_')[2] for whole in known)
    return f'There is no task {name!r}.' + (
        hint or f' After {suite}_ comes one of: {games}.')
  return (f'There is no task {name!r}: unknown suite {suite!r}.{hint} Tasks '
          f'are {_FORMS}.')
