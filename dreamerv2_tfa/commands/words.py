"""Suggestions for misspelt flags and words of a command line."""

import ast
from collections.abc import Collection
from collections.abc import Sequence
import os
import pathlib
import re

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import presets

# Flags of the published package and of others, with their names here.
_ELSEWHERE = {
    'config': 'gin_file', 'configs': 'gin_file', 'preset': 'gin_file',
    'env': 'task', 'env_id': 'task', 'game': 'task', 'environment': 'task',
    'log_dir': 'root_dir', 'output_dir': 'root_dir', 'outdir': 'root_dir',
    'dir': 'root_dir', 'run': 'root_dir', 'folder': 'root_dir',
    'num_envs': 'environments', 'n_envs': 'environments',
    'envs': 'environments', 'timesteps': 'steps', 'total_timesteps': 'steps',
    'num_steps': 'steps', 'gin_config': 'gin_file', 'gin': 'gin_file',
    'gin_param': 'gin_bindings', 'bind': 'gin_bindings',
    'binding': 'gin_bindings', 'output': 'out', 'o': 'out', 'p': 'port',
    'from_dir': 'from', 'model': 'policy', 'export': 'policy',
}


def no_flag(name: str, values: Sequence[str], known: Collection[str]) -> str:
  """The message about a flag that a program does not have.

  Args:
    name: As it was given.
    values: What stood behind its '=', or the words after it.
    known: Names of the program's flags.
  """
  said = f'There is no flag --{name}.'
  value = values[0] if values else ''
  settable = 'gin_bindings' in known
  word = name.lower().replace('-', '_')
  if settable and '.' in name:  # a setting, as in the published package
    return f'{said} {_as_binding(name, value)}'
  if (meant := _ELSEWHERE.get(word, '')) in known:
    return f'{said} Did you mean {_moved(meant, values or ["VALUE"])}?'
  if 'root_dir' in known:
    known = [*known, 'logdir']
  if near := checks.near(word, known):
    return f'{said} Did you mean --{near[0]}{value and f"={value}"}?'
  if settable and bindings.meant(word):
    return f'{said} {_as_binding(name, value)}'
  return said


def _moved(flag: str, values: Sequence[str]) -> str:
  """Translates a flag of another program."""
  if flag == 'gin_bindings':
    return "--gin_bindings='NAME = VALUE'"
  if flag != 'gin_file':
    return f'--{flag}={values[0]}'
  known = [name.removesuffix('.gin') for name in presets.names()]
  return ' '.join(
      f'--gin_file={(checks.near(value, known) or ["PRESET"])[0]}'
      for value in values)


def _as_binding(name: str, value: str) -> str:
  """The sentence about how to bind the settings of this name."""
  try:
    ast.literal_eval(value)
  except (ValueError, SyntaxError):
    value = repr(value) if value else 'VALUE'
  lines = [
      bindings.shell(f'{each} = {value}') for each in bindings.meant(name)
  ] or ["--gin_bindings='NAME = VALUE'"]
  return f'A setting is bound so: {" or ".join(lines)}.'


def meant_by(word: str, known: Collection[str]) -> str | None:
  """Guesses the flag that a word without dashes means.

  Args:
    word: Of the command line.
    known: Names of the program's flags.

  Returns:
    Such as '--gin_file=mine.gin'; None without a guess.
  """
  name, is_pair, value = word.partition('=')
  if is_pair and '.' in name and 'gin_bindings' in known:
    return bindings.shell(f'{name} = {value}')
  if is_pair:
    near = checks.near(name, known)
    return f'--{near[0]}={value}' if near else None
  if re.match('[\u2010-\u2015\u2212]', word):
    return '--' + word.lstrip('-\u2010\u2011\u2012\u2013\u2014\u2015\u2212')
  if 'gin_file' in known and (
      word.endswith('.gin') or f'{word}.gin' in presets.names()):
    return f'--gin_file={word}'
  for flag in ('from', 'root_dir', 'sweep_dir', 'policy'):
    if flag in known and _is_folder(word):
      return f'--{flag}={word}'
  if 'task' in known and is_task(word):
    return f'--task={word}'
  return None


def unread(words: Sequence[str], known: Collection[str]) -> str:
  """The message about words that a program does not take.

  Args:
    words: Of the command line.
    known: Names of the program's flags.
  """
  meant = meant_by(words[0], known)
  return f'Nothing here reads {" ".join(words)!r}. ' + (
      f'Did you mean {meant}?' if meant else
      'Flags begin with --; --help lists them.')


def is_task(word: str) -> bool:
  """Whether a word has the form of a task's name."""
  return word == 'catch' or bool(
      re.match(rf'({"|".join(tasks.SUITES)})_', word)
      or re.fullmatch(r'[\w.]+:\w+', word))


def _is_folder(word: str) -> bool:
  """Whether a word is the path of a folder, not the name of a task."""
  path = pathlib.Path(word).expanduser()
  looks = word.startswith(('.', '/', '~', f'runs{os.sep}'))
  return bool(word) and (
      looks or word.endswith('/') or path.is_dir() and not is_task(word))
