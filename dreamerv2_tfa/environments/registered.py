"""Environments by their ids in the registries of Gym and Gymnasium."""

import warnings

from dreamerv2_tfa.environments import extras
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


def make(name, *, seed):
  """Makes an environment.

  Args:
    name: `gym_` or `gymnasium_` and an id.
    seed: Python int.

  Returns:
    `GymEnvironment`.

  Raises:
    ValueError: If a package that it needs is not installed.
  """
  library, _, identifier = name.partition('_')
  module = _load(library)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # that there is a newer version of it
      env = module.make(identifier)
  except (module.error.Error, ImportError) as error:
    raise ValueError(f'The task {name!r} cannot be made: {error}') from error
  return gym.GymEnvironment(env, seed=seed)


def _load(library):
  return extras.load(library, library)
