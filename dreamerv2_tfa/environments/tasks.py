"""Tasks by name, for example `atari_pong`, or from an object."""

import functools
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
from typing import Any

from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment

from dreamerv2_tfa import checks
from dreamerv2_tfa import environments
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import registered

_FORMS = (
    'catch, atari_<game>, dmc_<domain>_<task>, dmc_manip_<task>, '
    'dmc_locom_<task>, crafter_reward, crafter_noreward, minigrid_<world>, '
    'gym_<id>, gymnasium_<id>, and module:factory for your own'
)


def suite(name: str) -> Any:
  """The suite of this name: an object with `games()` and `load(game)`."""
  path = environments.SUITES[name]
  separator = '' if ':' in path else ':'
  return pkgutil.resolve_name(f'{environments.__name__}.{path}{separator}')


def names(of: str | None = None) -> list[str]:
  """Names of the tasks of a suite, sorted, or of all.

  Suites whose packages are not installed have no names here.

  Args:
    of: Name of a suite, such as 'dmc'; None: all.
  """
  if of is None:
    return [name for each in environments.SUITES for name in names(each)]
  try:
    return [f'{of}_{game}' if game else of for game in suite(of).games()]
  except ValueError:
    return []


def load(name):
  """Returns the task of this name under the bound settings of its suite.

  Args:
    name: Python string: `catch`; a suite, '_' and a game, such as `atari_pong`
      or `gym_CartPole-v1`; or `module:factory`, see `load_factory`. After
      `gym_` and `gymnasium_`, an id may name a package as theirs may:
      `gymnasium_package:Env-v0`.

  Returns:
    A `Task`.

  Raises:
    UserError: If there is no such task, with the nearest names; or if the
      packages of its suite are not installed, with the line that mends it.
    EnvironmentFailed: If a module of the user's own raises.
  """
  name = str(name)
  _find_modules_here()
  first, _, game = name.partition('_')
  if _names_package(name):
    registered.check(name)
  elif ':' in name:
    return load_factory(name)
  elif first not in environments.SUITES or game not in suite(first).games():
    raise checks.UserError(_unknown(name, first))
  return suite(first).load(game)


def _find_modules_here():
  if (here := os.getcwd()) not in sys.path:
    sys.path.append(here)


def _names_package(name):
  """Whether it is an id of Gym's with its package, not `module:factory`."""
  module, _, word = name.partition(':')
  if module.partition('_')[0] not in registered.LIBRARIES or not word:
    return False
  own = word.isidentifier() and '.' not in module
  return not (own and importlib.util.find_spec(module))


def load_factory(name):
  """Returns a task of the user's own.

  Args:
    name: Python string `module:factory`. The module is found from the working
      directory or among what is installed; the factory returns what
      `as_environment` takes, and is called as in `factories.call`.

  Returns:
    A `Task`. Its `make` raises `UserError` if that is not what it returns.

  Raises:
    UserError: If there is no such module or no such function in it.
    EnvironmentFailed: If the module raises.
  """
  module_name, _, attribute = name.partition(':')
  _find_modules_here()
  try:
    module = importlib.import_module(module_name)
  except Exception as error:  # whatever the module raises
    if not _is_missing(module_name, error):
      raise faults.failed(
          f'The module {module_name!r} of the task cannot be imported', error
      ) from error
    raise checks.UserError(_no_factory(name, error)) from error
  try:
    factory = getattr(module, attribute)
  except AttributeError as error:
    raise checks.UserError(_no_factory(name, error)) from error
  return from_factory(name, factory)


def _is_missing(module_name, error):
  """Whether there is no such module, rather than one with a fault in it."""
  if isinstance(error, ModuleNotFoundError):
    return f'{module_name}.'.startswith(f'{error.name}.')
  # A name that can be none: '' or '.here'.
  return not module_name.strip('.') or module_name.startswith('.')


def _no_factory(name, error):
  return (
      f'There is no task {name!r}: {error}. Wanted module:factory, with the '
      'module importable from here.')


def from_factory(name, factory):
  """Returns a task whose environments a factory makes.

  Args:
    name: Python string, what the task is called.
    factory: Function or class, called as in `factories.call`, that returns what
      `as_environment` takes: another object at each call.

  Returns:
    A `Task` under the settings of `load_gym`. Its environments are closed with
    it.

  Raises:
    UserError: If the factory is no function or class.
  """
  if not callable(factory):
    raise checks.UserError(
        f'The task {name!r} is {factory!r}; wanted a function or class that '
        'makes an environment.')
  return registered.load(name, functools.partial(_made, name, factory))


def _made(name, factory, seed):
  source = factories.call(factory, seed)
  whose = f'The task {name!r} returned'
  if inspect.isclass(source):
    raise checks.UserError(
        f'{whose} the class {source.__name__}; wanted an environment. Return '
        f'{source.__name__}(...).')
  factories.claim(source, whose)
  with factories.closed_on_error(source):
    made = as_py_environment(source, whose, seed)
  if isinstance(made, tf_environment.TFEnvironment):
    return made
  return factories.Own(made, source)


def from_object(name, environment):
  """Returns a task that plays on one object, which its owner closes.

  Workers, where there are several, have copies of it, which are closed.

  Args:
    name: Python string, what the task is called.
    environment: What `as_environment` takes.

  Returns:
    A `Task` under the settings of `load_gym`.
  """
  process = os.getpid()

  def construct(seed):
    made = as_py_environment(environment, seed=seed)
    if isinstance(made, tf_environment.TFEnvironment):
      batch.leave_open(made)
      return made
    return factories.Lent(made, environment, process)

  task = registered.load(name, construct)

  def make(seed, num_environments=1, processes=False):
    batched = getattr(environment, 'batched', False)
    if num_environments > 1 and not processes and not batched:
      raise checks.UserError(
          f'One environment, {environment!r}, cannot be stepped as '
          f'{num_environments}: train.environments = {num_environments} in one '
          'process. Give a '
          'function that makes one, or set train.processes = True, where each '
          'process has a copy.')
    return task.make(seed, num_environments, processes)

  return task._replace(make=make)


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
    UserError: If it is none of these, or its spaces cannot be used.
  """
  if isinstance(environment, (
      tf_environment.TFEnvironment, py_environment.PyEnvironment)):
    return environment
  check_single(environment, whose)
  if _is_dm_env(environment):
    return dm_control.DmEnvironment(environment)
  if gym.is_gym(environment):
    return gym.GymEnvironment(environment, seed=seed)
  raise checks.UserError(
      f'{whose} {environment!r}; wanted a Gym, Gymnasium or dm_env '
      'environment, or a TF-Agents PyEnvironment or TFEnvironment.')


def check_single(environment, whose='Got'):
  """Refuses vectors of environments, and worlds of several agents.

  Args:
    environment: What a user gave.
    whose: Python string, how an error begins.

  Raises:
    UserError: If it is one of these.
  """
  count = getattr(environment, 'num_envs', None)
  if count is not None:
    raise checks.UserError(
        f'{whose} {environment!r}, a vector of {count} environments; wanted '
        'one. Give a function that makes one, and set train.environments = '
        f'{count}.')
  if hasattr(environment, 'possible_agents'):
    raise checks.UserError(
        f'{whose} {environment!r}, which has several agents, as PettingZoo has '
        'them; wanted an environment of one. Give one agent its own view, with '
        'the others as part of the world.')


def _is_dm_env(environment):
  methods = ('reset', 'step', 'observation_spec', 'action_spec')
  return all(hasattr(environment, method) for method in methods)


# Gym's names of Atari games: PongNoFrameskip-v4, ALE/Pong-v5, Pong-ram-v0.
_ATARI_ID = re.compile(
    r'(?:(?:atari|gym|gymnasium)_)?(?:ALE/)?'
    r'(\w+?)(?:NoFrameskip|Deterministic|-ram)*-v\d+')


def _atari(name):
  """The task that Gym's name of an Atari game means here, or None."""
  found = _ATARI_ID.fullmatch(name)
  words = found and re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', found.group(1))
  game = f'atari_{words.lower()}' if words else None
  return game if game in names('atari') else None


def _unknown(name, first):
  """What to tell someone who asked for a task that does not exist."""
  is_suite = first in environments.SUITES
  known = names(first) if is_suite else names()
  # Where the suite was left out, its games are meant as well.
  meant = {whole.partition('_')[2] or whole: whole for whole in known}
  meant.update({whole: whole for whole in known})
  folded = {word.lower(): whole for word, whole in meant.items()}
  word = name.partition('_')[2] if is_suite else name
  near = [folded[each] for each in checks.near(word, folded)]
  if atari := _atari(name):
    near = [atari]
  if near:
    meant = ' or '.join(dict.fromkeys(near))
    return f'There is no task {name!r}. Did you mean {meant}?'
  if is_suite:
    games = ', '.join(whole.partition('_')[2] for whole in known)
    return f'There is no task {name!r}. After {first}_ comes one of: {games}.'
  return (f'There is no task {name!r}: unknown suite {first!r}. Tasks are '
          f'{_FORMS}.')
