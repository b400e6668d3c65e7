"""Environments by their ids in the registries of Gym and Gymnasium."""

import difflib
import importlib
from typing import NamedTuple
import warnings

import gin
from tf_agents.environments import tf_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import task as task_lib

LIBRARIES = ('gym', 'gymnasium')


class _Suite(NamedTuple):
  """The environments that one library knows by their ids."""

  library: str

  def games(self) -> tuple[str, ...]:
    """Sorted ids."""
    return ids(self.library)

  def load(self, game: str) -> task_lib.Task:
    """The task of an id; see `load`."""
    return load(f'{self.library}_{game}')


GYM, GYMNASIUM = map(_Suite, LIBRARIES)


def ids(library):
  """Returns the sorted ids of the environments that a library knows.

  Args:
    library: 'gym' or 'gymnasium'.
  """
  registry = _load(library).envs.registration.registry
  specs = registry.all() if hasattr(registry, 'all') else registry.values()
  return tuple(sorted({spec.id for spec in specs}))


def check(name):
  """Refuses an id whose package is not there, or does not register it.

  Args:
    name: `gym_` or `gymnasium_`, a package, ':' and an id, as both libraries
      take it.

  Raises:
    UserError: If there is none.
    EnvironmentFailed: If the package raises.
  """
  library, _, identifier = name.partition('_')
  package, _, game = identifier.partition(':')
  _load(library)
  try:
    importlib.import_module(package)
  except ImportError as error:
    raise checks.UserError(
        f'The task {name!r} cannot be made: {error}. Wanted '
        f'{library}_package:Id, with the package importable from here.'
    ) from error
  except Exception as error:  # whatever the package raises
    raise faults.failed(
        f'The package {package!r} of the task cannot be imported', error
    ) from error
  if game not in ids(library):
    near = difflib.get_close_matches(game, ids(library))
    raise checks.UserError(
        f'The package {package!r} registers no environment {game!r}.'
        + (f' Did you mean {" or ".join(near)}?' if near else ''))


def make(name, *, seed):
  """Makes an environment.

  Args:
    name: `gym_` or `gymnasium_` and an id.
    seed: Python int.

  Returns:
    `GymEnvironment`.

  Raises:
    UserError: If a package that it needs is not installed.
  """
  library, _, identifier = name.partition('_')
  module = _load(library)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # that there is a newer version of it
      env = module.make(identifier)
  except (module.error.Error, ImportError) as error:
    raise checks.UserError(
        f'The task {name!r} cannot be made: {error}') from error
  return gym.GymEnvironment(env, seed=seed)


def _load(library):
  return extras.load(library, library)


@gin.configurable('load_gym')
def load(
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

  def wrapped(seed):
    env = construct(seed) if construct else make(name, seed=seed)
    if isinstance(env, tf_environment.TFEnvironment) or env.batched:
      return env
    if action_repeat > 1:
      env = wrappers.ActionRepeat(env, action_repeat)
    if max_steps:
      env = wrappers.TimeLimit(env, max_steps)
    with factories.closed_on_error(env):
      return adapt.Adapted(
          env, keys=keys, size=size, pictures=pictures, numbers=numbers)
  return batch.task(name, action_repeat, wrapped)
