"""Environments by their ids in the registries of Gym and Gymnasium."""

import difflib
import importlib
import warnings

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import gym

LIBRARIES = ('gym', 'gymnasium')


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
