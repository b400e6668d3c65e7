"""Loggers of a run, by the names of `train.loggers`: one file here each.

A file has OPEN, which makes a `logger.Logger` of a `logger.Start`, and EXTRA:
the module that it needs and the extra that installs it, or None. Where it needs
one it may fail, and the run trains on.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.training import own
from dreamerv2_tfa.training.loggers import csv
from dreamerv2_tfa.training.loggers import jsonl
from dreamerv2_tfa.training.loggers import logger
from dreamerv2_tfa.training.loggers import mlflow
from dreamerv2_tfa.training.loggers import tensorboard
from dreamerv2_tfa.training.loggers import wandb

_KNOWN: dict[str, Any] = {
    'tensorboard': tensorboard, 'jsonl': jsonl, 'csv': csv, 'wandb': wandb,
    'mlflow': mlflow,
}


def load(names: Sequence[Any]) -> list[logger.Chosen]:
  """Looks up loggers, and imports what they need; opens none.

  Args:
    names: Of `train.loggers`: 'jsonl', 'csv', ..., or `module:factory` of the
      user's own, a function of the run's folder, a path, that returns a
      `logger.Logger`. Importing the module runs it.

  Raises:
    UserError: If there is none of a name, one is there twice, or 'jsonl' is
      not there.
    ValueError: If a package is not installed.
  """
  for name in names:
    if not isinstance(name, str):
      raise checks.UserError(
          f'train.loggers must be names, of {", ".join(_KNOWN)} or '
          f'module:factory; got {name!r}.')
    if names.count(name) > 1:
      raise checks.UserError(
          f'train.loggers has {name!r} twice; wanted each once.')
  if 'jsonl' not in names:
    raise checks.UserError(
        f"train.loggers must have 'jsonl'; got {tuple(names)!r}. A resume, "
        'bin/report and bin/plot read metrics.jsonl. Add it.')
  return [_load(name) for name in names]


def _load(name):
  if ':' in name:
    return logger.Chosen(name, _own(name), True)
  if name not in _KNOWN:
    raise checks.UserError(
        f'train.loggers has {name!r}, which is no logger.'
        f'{checks.did_you_mean(name, _KNOWN)} Wanted some of '
        f'{", ".join(_KNOWN)}, or module:factory of your own.')
  module = _KNOWN[name]
  if module.EXTRA is not None:
    extras.load(*module.EXTRA)
  return logger.Chosen(name, module.OPEN, module.EXTRA is not None)


def _own(name: str) -> Callable[[logger.Start], Any]:
  """A function of a `Start` that calls the user's factory."""
  factory = own.load('train.loggers', 'logger', name)
  if not callable(factory):
    raise checks.UserError(
        f'{name} of train.loggers must be a function of the run\'s folder; got '
        f'{factory!r}.')
  return lambda start: factory(start.folder.root)
