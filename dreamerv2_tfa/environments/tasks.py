"""Tasks by name: the table of suites, and the task of one of their games.

A suite is a module with two functions:

  games() -> names       each is a task: SUITE_NAME, or SUITE for the name ''
  load(game) -> Task     gin binds its settings

This module is quick to import; a suite's module is imported at its first use.
"""

from collections.abc import Sequence
import importlib
import importlib.util
import os
import re
import sys
import types
import typing

from dreamerv2_tfa import checks
from dreamerv2_tfa import late
from dreamerv2_tfa.environments import registered

if typing.TYPE_CHECKING:
  from dreamerv2_tfa.environments import task as task_lib

_HERE = 'dreamerv2_tfa.environments'
SUITES = {  # name: module
    'catch': f'{_HERE}.catch',
    'atari': f'{_HERE}.atari',
    'dmc': f'{_HERE}.dm_control',
    'crafter': f'{_HERE}.crafter',
    'minigrid': f'{_HERE}.minigrid',
    'gym': f'{_HERE}.gym',
    'gymnasium': f'{_HERE}.gymnasium',
}


def import_suites() -> None:
  """Imports the module of every suite, so that gin knows their settings."""
  for name in SUITES:
    _suite(name)


def names(suite: str | None = None) -> list[str]:
  """Names of the tasks of a suite, or of all; each suite's in its own order.

  A suite whose package is not installed has none.

  Args:
    suite: One of `SUITES`; None: all.
  """
  if suite is None:
    return [name for each in SUITES for name in names(each)]
  try:
    return [_name(suite, game) for game in _suite(suite).games()]
  except ValueError:  # the package is not installed
    return []


def names_module(name: str) -> bool:
  """Whether a task's name has a module in it, which making the task imports."""
  return ':' in name


def load(name: str) -> 'task_lib.Task':
  """Makes a task by its name, with the settings that gin binds for its suite.

  A name with a module in it runs that module: whoever calls this has the name
  from the user, not from a run's folder; see `names_module`.

  Args:
    name: `catch`; a suite, '_' and a game, such as `atari_pong` or
      `gym_CartPole-v1`; or `module:factory`, see `custom.load_factory`. After
      `gym_` and `gymnasium_`, an id may name the package that registers it:
      `gymnasium_package:Env-v0`.

  Raises:
    UserError: If there is no such task, with the nearest names; or if the
      packages of its suite are not installed, with the command to do so.
    EnvironmentFailed: If the user's own module raises.
  """
  name = str(name)
  if names_module(name):
    find_modules_here()
  suite, _, game = name.partition('_')
  if _names_package(name):
    registered.check(name)
    return _suite(suite).load(game)
  if ':' in name:
    return late.imported(f'{_HERE}.custom').load_factory(name)
  if suite not in SUITES or game not in _suite(suite).games() or (
      name != _name(suite, game)):
    raise checks.UserError(_unknown(name, suite))
  return _suite(suite).load(game)


def find_modules_here() -> None:
  """Lets Python import modules that the user names, from where they are.

  The working directory comes last: it may be a folder of someone else's, with
  modules named like libraries. Programs of `bin/` begin without it.
  """
  if (here := os.getcwd()) not in sys.path:
    sys.path.append(here)


def _suite(name: str) -> types.ModuleType:
  return late.imported(SUITES[name])


def _name(suite: str, game: str) -> str:
  return f'{suite}_{game}' if game else suite


def _names_package(name: str) -> bool:
  """Whether it is a Gym id with its package, not `module:factory`."""
  module, _, word = name.partition(':')
  if module.partition('_')[0] not in registered.LIBRARIES or not word:
    return False
  own = word.isidentifier() and '.' not in module
  return not (own and importlib.util.find_spec(module))


# Gym's names of Atari games: PongNoFrameskip-v4, ALE/Pong-v5, Pong-ram-v0.
_ATARI_ID = re.compile(
    r'(?:(?:atari|gym|gymnasium)_)?(?:ALE/)?'
    r'(\w+?)(?:NoFrameskip|Deterministic|-ram)*-v\d+')


def _atari(name: str) -> str | None:
  """The task that Gym's name of an Atari game means here."""
  found = _ATARI_ID.fullmatch(name)
  words = found and re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', found.group(1))
  game = f'atari_{words.lower()}' if words else None
  return game if game in names('atari') else None


def _unknown(name: str, suite: str) -> str:
  """The message for a name that is no task, with the nearest names."""
  known = names(suite) if suite in SUITES else names()
  # If the suite was left out, its games are meant as well.
  meant = {whole.partition('_')[2] or whole: whole for whole in known}
  meant.update({whole: whole for whole in known})
  folded = {word.lower(): whole for word, whole in meant.items()}
  word = name.partition('_')[2] if suite in SUITES else name
  near = [folded[each] for each in checks.near(word, folded)]
  if atari := _atari(name):
    near = [atari]
  if near:
    meant = ' or '.join(dict.fromkeys(near))
    return f'There is no task {name!r}. Did you mean {meant}?'
  if suite in SUITES:
    return f'There is no task {name!r}. {_choices(suite, known)}'
  return (
      f'There is no task {name!r}: unknown suite {suite!r}. Tasks are '
      f'{_forms()}, and module:factory for your own.')


def _choices(suite: str, known: Sequence[str]) -> str:
  """The tasks of a suite, as a sentence."""
  if known == [suite]:
    return f'Its suite has one task: {suite}.'
  games = ', '.join(whole.partition('_')[2] for whole in known)
  return f'After {suite}_ comes one of: {games}.'


def _forms() -> str:
  """The form of each suite's names, such as `atari_<game>`."""
  return ', '.join(
      suite if names(suite) == [suite] else f'{suite}_<game>'
      for suite in SUITES)
