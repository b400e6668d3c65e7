"""Misspelt flags and words of a command line, and what they may mean."""

import ast
import os
import pathlib
import re

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import presets

# Flags of the published package, and of others, by what they are here.
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


def no_flag(name, values, known):
  """Returns the sentences about a flag that a program has not.

  Args:
    name: str, as it was given.
    values: List of str, what stood behind its '=', or the words after it.
    known: Names of the flags that the program has.

  Returns:
    str.
  """
  said = f'There is no flag --{name}.'
  value = values[0] if values else ''
  settable = 'gin_bindings' in known
  word = name.lower().replace('-', '_')
  if settable and '.' in name:  # a setting, as the published package has them
    return f'{said} {_as_binding(name, value)}'
  if (meant := _ELSEWHERE.get(word)) in known:
    return f'{said} Did you mean {_moved(meant, values or ["VALUE"])}?'
  if 'root_dir' in known:
    known = [*known, 'logdir']
  if near := checks.near(word, known):
    return f'{said} Did you mean --{near[0]}{value and f"={value}"}?'
  if settable and bindings.meant(word):
    return f'{said} {_as_binding(name, value)}'
  return said


def _moved(flag, values):
  """A flag of another program as this one takes it."""
  if flag == 'gin_bindings':
    return "--gin_bindings='NAME = VALUE'"
  if flag != 'gin_file':
    return f'--{flag}={values[0]}'
  known = [name.removesuffix('.gin') for name in presets.names()]
  return ' '.join(
      f'--gin_file={(checks.near(value, known) or ["PRESET"])[0]}'
      for value in values)


def _as_binding(name, value):
  """The sentence that says how the settings of this name are bound."""
  try:
    ast.literal_eval(value)
  except (ValueError, SyntaxError):
    value = repr(value) if value else 'VALUE'
  lines = [
      bindings.shell(f'{each} = {value}') for each in bindings.meant(name)
  ] or ["--gin_bindings='NAME = VALUE'"]
  return f'A setting is bound so: {" or ".join(lines)}.'


def meant_by(word, known):
  """What a word without dashes may mean as a flag, or None.

  Args:
    word: str.
    known: Names of the flags that the program has.

  Returns:
    str, such as '--gin_file=mine.gin'.
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
  for flag in ('from', 'root_dir', 'policy'):
    if flag in known and _is_folder(word):
      return f'--{flag}={word}'
  if 'task' in known and is_task(word):
    return f'--task={word}'
  return None


def unread(words, known):
  """The sentences about words that a program does not take.

  Args:
    words: List of str.
    known: Names of the flags that the program has.

  Returns:
    str.
  """
  meant = meant_by(words[0], known)
  return f'Nothing here reads {" ".join(words)!r}. ' + (
      f'Did you mean {meant}?' if meant else
      'Flags begin with --; --help lists them.')


def is_task(word):
  """Whether a word has the form of a task's name."""
  return word == 'catch' or bool(
      re.match(rf'({"|".join(tasks.SUITES)})_', word)
      or re.fullmatch(r'[\w.]+:\w+', word))


def _is_folder(word):
  """Whether a word is the path of a folder, and not the name of a task."""
  path = pathlib.Path(word).expanduser()
  looks = word.startswith(('.', '/', '~', f'runs{os.sep}'))
  return bool(word) and (
      looks or word.endswith('/') or path.is_dir() and not is_task(word))
