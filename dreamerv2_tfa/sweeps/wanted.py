"""The settings that a line of a list gives, and those that its run has had.

It imports TensorFlow; `states` compares them, in a process of its own.
"""

import ast
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import NamedTuple

from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings

# A run that has taken more steps than its line wants has taken these as well.
_MAY_DIFFER = ('train.steps',)


class Wanted(NamedTuple):
  """What a new run of a line would be bound to."""

  bound: dict[str, str]  # of `config.bound`
  steps: int  # agent steps
  eval_episodes: int


def read(
    task: str, files: Sequence[str], bindings: Sequence[str],
    preset: str | None = None,
) -> Wanted:
  """Reads settings as `bin/train` would for a new run.

  Args:
    task: Name.
    files: Gin files.
    bindings: Lines of gin.
    preset: Of `chosen`.

  Raises:
    ValueError: If it would refuse them.
  """
  if preset and all(map(gin_files.is_overlay, files)):
    files = [preset, *files]
  with bound(task, files, bindings) as found:
    return Wanted(config.bound(), found.timetable.steps, found.eval_episodes)


@contextlib.contextmanager
def bound(
    task: str, files: Sequence[str], bindings: Sequence[str],
) -> Iterator[settings.Settings]:
  """The settings of a line, bound with gin inside of the `with`.

  Args and errors are those of `read`.
  """
  with config.isolated():
    run_settings.parse(None, files, [*bindings, f'train.task = {task!r}'])
    yield settings.read()


def chosen(folder: runs.RunFolder, task: str) -> str | None:
  """The preset that a run took by what its environment shows; else None.

  Args:
    folder: Of the run.
    task: Name.
  """
  there = protocol.read(folder.protocol) if presets.is_shown(task) else None
  first = [*(there or {}).get('presets', ()), None][0]
  return first if first in presets.SMALL else None


def differences(folder: runs.RunFolder, bound: dict[str, str]) -> list[str]:
  """Settings of a run, as recorded last, that are not those of its line.

  Args:
    folder: Of the run.
    bound: Of `Wanted`.

  Raises:
    ValueError: If the run has recorded none.
  """
  there = config.recorded(folder.config)
  if not there:
    raise ValueError(f'{folder.config} is missing or has no settings')
  found = []
  for name, value in there.items():
    binding = config.read_from(name, bound)
    if binding and name not in _MAY_DIFFER and (
        _meaning(value) != _meaning(bound[binding])):
      found.append(f'{name} = {value}, and {bound[binding]} in the list')
  return found


def _meaning(value):
  try:
    return ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return value
