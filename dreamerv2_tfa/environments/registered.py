"""Environments by their ids in the registries of Gym and Gymnasium."""

import difflib
import types
from typing import Any
import warnings

from dreamerv2_tfa import checks
from dreamerv2_tfa import late
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import faults

LIBRARIES = ('gym', 'gymnasium')


def ids(library: str) -> tuple[str, ...]:
  """Sorted ids of the environments that a library knows.

  Args:
    library: One of `LIBRARIES`.
  """
  registry = _load(library).envs.registration.registry
  specs = registry.all() if hasattr(registry, 'all') else registry.values()
  return tuple(sorted({spec.id for spec in specs}))


def check(name: str) -> None:
  """Refuses an id whose package is missing, or does not register it.

  Args:
    name: `gym_` or `gymnasium_`, a package, ':' and an id. Both libraries take
      an id in the form `package:Id`.

  Raises:
    UserError: If the package or the id is missing.
    EnvironmentFailed: If the package raises.
  """
  library, _, identifier = name.partition('_')
  package, _, game = identifier.partition(':')
  _load(library)
  try:
    late.imported(package)
  except ImportError as error:
    raise checks.UserError(
        f'The task {name!r} cannot be made: {error}. Wanted '
        f'{library}_package:Id, with the package importable from here.'
    ) from error
  except faults.Terminated:
    raise
  except (Exception, SystemExit) as error:  # the package may raise anything
    raise faults.failed(
        f'The package {package!r} of the task cannot be imported', error
    ) from error
  if game not in ids(library):
    near = difflib.get_close_matches(game, ids(library))
    raise checks.UserError(
        f'The package {package!r} registers no environment {game!r}.'
        + (f' Did you mean {" or ".join(near)}?' if near else ''))


def make(library: str, identifier: str) -> Any:
  """Makes the library's own environment of an id.

  Raises:
    UserError: If a package that it needs is not installed.
  """
  module = _load(library)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # "a newer version exists"
      return module.make(identifier)
  except (module.error.Error, ImportError) as error:
    raise checks.UserError(
        f'The task {f"{library}_{identifier}"!r} cannot be made: {error}'
    ) from error


def _load(library: str) -> types.ModuleType:
  return extras.load(library, library)
