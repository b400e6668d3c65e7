"""The one door to gin: register, parse, read back, clear, restore.

No other module parses gin or asks it for its configuration. What gin can bind
is declared where it is used, by `@gin.configurable`; importing this module
imports all of it.
"""

import ast
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import logging
import os
import pathlib
import re
from typing import Any

import gin
from gin import config as gin_config

from dreamerv2_tfa import agent
from dreamerv2_tfa import checks
from dreamerv2_tfa import reading
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import bindings as bindings_lib
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import recorded as recorded_lib
from dreamerv2_tfa.training import settings

DECLARING = agent, settings  # imported so that gin knows what they declare
_TRUSTED: set[str] = set()  # import lines of the files that a caller gave
# Arguments of `train` that earlier versions recorded, and that set nothing.
_GONE = re.compile(r'^train\.(adopt|adopt_keys|dry_run|presets) = .*\n', re.M)


def load_config(
    files: Sequence[str | os.PathLike] = (), bindings: Sequence[str] = (),
) -> None:
  """Loads gin files and bindings over what gin has bound already.

    dreamerv2_tfa.load_config(['atari'], ['RSSM.deter = 200'])
    agent = dreamerv2_tfa.DreamerV2Agent(time_step_spec, action_spec)

  After the first call, with or without arguments, gin's own functions find the
  presets too: `gin.parse_config_file('atari.gin')` works in any folder, and so
  does a file of your own with the line `include 'defaults.gin'`.

  Args:
    files: Paths of gin files, or names of presets and overlays, such as
      'atari' and 'debug'; a later one wins.
    bindings: Lines of gin, which win over the files.

  Raises:
    UserError: If a file is missing, or a line cannot be read or names what does
      not exist; with the place of the mistake.
  """
  register()
  with gin.unlock_config():
    parse(files, bindings)


@functools.cache  # a second call would add the same readers again
def register() -> None:
  """Makes gin know all that can be bound, and read the presets by name.

  Raises:
    UserError: If the presets are missing.
  """
  tasks.import_suites()
  gin_config.register_file_reader(
      gin_files.open_marked, lambda path: path.startswith(gin_files.MARK)
  )
  gin_config.register_file_reader(
      lambda path: (presets.folder() / path).open(encoding='utf-8'),
      lambda path: path in presets.names(),
  )


def parse(
    names: Sequence[str | os.PathLike], lines: Sequence[str],
) -> None:
  """Parses gin files, then bindings; a later one wins.

  An `include` is looked for beside the including file first, then as the files
  themselves are: from the working directory, then among the presets.

  Args:
    names: Paths or names of presets, with '.gin' or without it.
    lines: Bindings, lines of gin.

  Raises:
    UserError: If a file is missing, or a line cannot be read or names what does
      not exist; with the place of the mistake.
  """
  register()
  paths = [gin_files.path(name) for name in names]
  sources = gin_files.begin()
  try:
    with _without_log():
      for path in paths:
        gin.parse_config_file(gin_files.marked(path))
      _TRUSTED.update(each.format() for each in gin_config._IMPORTS)
      for number, line in enumerate(lines, 1):
        source = bindings_lib.Source(None, number, line)
        gin.parse_config(gin_files.read(source, ''))
      bindings_lib.check_macros(sources)
      gin.finalize()
  except (SyntaxError, ValueError, ImportError, OSError) as error:
    if isinstance(error, checks.UserError):
      raise
    raise bindings_lib.explain(error, sources) from error


@contextlib.contextmanager
def _without_log():
  """gin logs an error for each place where an included file is not."""
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    yield
  finally:
    logging.disable(before)


def trust(names: Sequence[str | os.PathLike]) -> None:
  """Runs the import lines of a caller's gin files, and binds nothing.

  What a run has recorded may then have the same lines; see `parse_recorded`.
  """
  with isolated():
    parse(names, ())


def parse_recorded(path: pathlib.Path) -> None:
  """Parses a run's `operative_config.gin`, and runs none of what it names.

  Raises:
    ValueError: If it is missing, gin cannot read it, or it would run code; see
      `recorded.check`.
  """
  way_out = (
      'Put it back from a copy; or run bin/train with the settings of the run, '
      'which writes it again.'
  )
  if not path.exists():
    raise ValueError(f'{path} is missing. {way_out}')
  register()
  try:
    text = _GONE.sub('', reading.text(path))
    recorded_lib.check(path, text, _TRUSTED)
    gin.parse_config(text)
  except checks.UserError:
    raise
  except Exception as error:  # gin's own, the tokenizer's, a module's
    reason = str(error).strip().partition('\n')[0] or type(error).__name__
    raise ValueError(f'{path} is damaged ({reason}). {way_out}') from error


def clear() -> None:
  """Forgets everything that gin has bound."""
  gin.clear_config()


@contextlib.contextmanager
def isolated() -> Iterator[None]:
  """Begins with no binding of gin, and restores those that were there.

  Values that gin cannot write down, such as objects that were bound from
  Python, are lost.
  """
  text, locked = gin.config_str(), gin.config_is_locked()
  gin.clear_config()
  try:
    yield
  finally:
    gin.clear_config()
    gin.parse_config(text)
    if locked:
      gin.finalize()


def is_bound(name: str) -> bool:
  """Whether a setting such as 'train.task' is bound."""
  return name in bound()


def value(name: str) -> Any:
  """The value that a setting is bound to; None where it is not bound."""
  return gin.query_parameter(name) if is_bound(name) else None


def bind(name: str, value: Any) -> None:
  """Binds a setting, such as 'train.replay_from', to a value."""
  with gin.unlock_config():
    gin.bind_parameter(name, value)


def bound() -> dict[str, str]:
  """All bindings: each name and its value as gin writes it."""
  return as_dict(text())


def text() -> str:
  """All bindings as gin writes them, a long value on one line."""
  return gin.config_str(max_line_length=10**6)


def operative() -> str:
  """All settings that were read so far, bound or default, as gin writes."""
  return gin.operative_config_str()


def recorded(path: pathlib.Path) -> dict[str, str]:
  """As `bound`, from a run's `operative_config.gin`; {} where it is missing."""
  if not path.exists():
    return {}
  try:
    return as_dict(reading.data(path).decode('utf-8', errors='replace'))
  except (ValueError, OSError) as error:
    raise ValueError(
        f'{path} is damaged ({error}). Put it back from a copy.'
    ) from error


def recorded_value(path: pathlib.Path, name: str, default: Any = None) -> Any:
  """A setting of a run, a Python literal; `default` where it is not there."""
  written = recorded(path).get(name)
  return default if written is None else ast.literal_eval(written)


def unused() -> list[str]:
  """Names of bindings that nothing has read so far, sorted."""
  names = bound()
  return sorted(set(names) - {
      read_from(name, names) for name in as_dict(operative())})


def read_from(name: str, names: Collection[str]) -> str | None:
  """The binding that a value was read from: of the innermost scope.

  Args:
    name: Of a setting that was read, such as 'reward/MLP.units'.
    names: Of the bindings.
  """
  *scope, selector = name.split('/')
  tries = ['/'.join([*scope[:i], selector]) for i in range(len(scope) + 1)]
  return next((each for each in reversed(tries) if each in names), None)


def as_dict(text: str) -> dict[str, str]:
  """Names and values in what gin has written, a value on one line."""
  found = re.findall(r'^([\w./]+) = (.*(?:\n[ \t]+.*)*)', text, re.M)
  # Where gin breaks lines depends on the length of the values.
  return {
      name: re.sub(r'\s+', ' ', value.replace('\\\n', ' ')).strip()
      for name, value in found
  }
