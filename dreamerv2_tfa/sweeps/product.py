"""What `--seeds` and `--vary` say, and the runs that are their product."""

import ast
import collections
from collections.abc import Sequence
import hashlib
import io
import itertools
import json
import re
import tokenize
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa.sweeps import entries

_MOST = 10_000  # runs of a sweep
_NAME = 60  # characters of a task or of a variation, in a run's name
# Values that a name tells from all others, without their quotes.
_NUMBER = r'True|False|None|[-+]?[0-9.][\w.]*([-+]\d+)?'
_WORD = r'''(['"])(?!True\1|False\1|None\1)[A-Za-z](\w*[A-Za-z0-9])?\1'''
_FLAG_OF = {  # settings that have a flag, whose value wins over a binding
    'train.task': 'the tasks as words: TASK TASK ...',
    'train.seed': '--seeds=N',
}


def seeds(text: str) -> list[int]:
  """The seeds that a flag means: '5' is 0 to 4, '3,4,7' are these.

  Raises:
    UserError: If it is neither, or has none, or one of them twice.
  """
  wanted = (
      f'--seeds={text}: wanted how many, such as --seeds=5 for 0 to 4, or the '
      'seeds, such as --seeds=3,4,7')
  words = text.split(',')
  if not all(re.fullmatch(r'\s*\d{1,10}\s*', word, re.A) for word in words):
    raise checks.UserError(f'{wanted}.')
  numbers = list(map(int, words))
  if len(words) == 1:
    if not 1 <= numbers[0] <= _MOST:
      raise checks.UserError(f'{wanted}; at least 1 and at most {_MOST:,}.')
    return list(range(numbers[0]))
  if max(numbers) >= 2**31:
    raise checks.UserError(f'{wanted}, each below {2**31:,}.')
  _check_once('seed', numbers)
  return numbers


def varied(lines: Sequence[str]) -> dict[str, list[str]]:
  """The values of each setting that varies, as gin reads them.

  Args:
    lines: Such as 'train.batch_size = 16, 32'.

  Returns:
    Such as {'train.batch_size': ['16', '32']}.

  Raises:
    UserError: If a line is of another form, or has a value twice.
  """
  found = {}
  for line in lines:
    name, is_pair, text = line.partition('=')
    name = name.strip()
    values = _values(text) if is_pair else []
    if not re.fullmatch(r'[\w./]+', name) or not all(values) or not values:
      raise checks.UserError(
          f'--vary={line!r} is no setting and its values. Wanted for example '
          "--vary='train.batch_size = 16, 32'.")
    if name in found:
      raise checks.UserError(
          f'Got two lists of values of {name}. Give one --vary with all.')
    if name in _FLAG_OF:
      raise checks.UserError(
          f'--vary of {name} is no way to vary it. Give {_FLAG_OF[name]}.')
    _check_once(f'value of {name}', values, _meaning)
    found[name] = values
  return found


def _values(text):
  """The values between commas that are in no bracket and no quotes."""
  try:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
  except (tokenize.TokenError, SyntaxError):
    return []
  depth, starts = 0, [0]
  for token in tokens:
    if token.type == tokenize.OP:
      depth += (token.string in '([{') - (token.string in ')]}')
      if token.string == ',' and not depth:
        starts.append(token.end[1])
  unclosed = any(token.type == tokenize.ERRORTOKEN
                 and token.string[0] in '\'"' for token in tokens)
  if '\n' in text or depth or unclosed:
    return []
  ends = [start - 1 for start in starts[1:]] + [len(text)]
  return [text[a:b].strip() for a, b in zip(starts, ends, strict=True)]


def _meaning(value):
  """What is equal for values that are one, such as 16 and 16.0."""
  try:
    found = ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return value
  return found if isinstance(found, (int, float)) else repr(found)


def _check_once(what, values, meaning=lambda value: value):
  """Refuses a value that is there twice: it would be the same run twice."""
  seen = {}
  for value in values:
    if meaning(value) in seen:
      raise checks.UserError(
          f'Got the {what} {value} twice, which would be the same run twice. '
          'Give each once.')
    seen[meaning(value)] = value


def make(
    tasks: Sequence[str], numbers: Sequence[int],
    variations: dict[str, list[str]], common: Sequence[str],
) -> list[entries.Entry]:
  """The runs of a sweep: tasks x values x seeds, the seeds innermost.

  Args:
    tasks: Names.
    numbers: Seeds.
    variations: Of `varied`.
    common: Arguments of `bin/train` that all runs have.

  Raises:
    UserError: If a task is there twice, or there are too many runs, or a
      setting varies that a common flag sets.
  """
  _check_once('task', tasks)
  for flag in ('steps', 'precision', 'environments'):
    if f'train.{flag}' in variations and any(
        each.startswith(f'--{flag}=') for each in common):
      raise checks.UserError(
          f'Got --{flag} and --vary of train.{flag}: the flag would win in '
          'every run. Leave one of them out.')
  count = len(tasks) * len(numbers)
  for values in variations.values():
    count *= len(values)
  if count > _MOST:
    raise checks.UserError(
        f'{count:,} runs are more than {_MOST:,}, the most of a sweep. Give '
        'fewer tasks, values or seeds.')
  made = [(task, dict(zip(variations, values, strict=True)))
          for task, *values in itertools.product(tasks, *variations.values())]
  return [
      entries.Entry(
          f'{label}-seed{seed}', task, seed, vary,
          _command(task, seed, vary, common))
      for (task, vary), label in zip(made, _labels(made), strict=True)
      for seed in numbers]


def _command(task, seed, vary, common):
  bindings = [f'--gin_bindings={name} = {value}'
              for name, value in vary.items()]
  return [f'--task={task}', f'--seed={seed}', *common, *bindings]


def _labels(made):
  """Names of tasks and their values, as parts of folders' names.

  A name follows from its own task and values alone. Where it does not tell them
  from all others, a part of their hash is added; also to names that are equal
  without regard to case.
  """
  found = [_label(task, vary) for task, vary in made]
  count = collections.Counter(
      label.lower() for label, is_exact in found if is_exact)
  return [
      label if is_exact and count[label.lower()] == 1
      else f'{label}~{_hash(task, vary)}'
      for (label, is_exact), (task, vary) in zip(found, made, strict=True)]


def _label(task, vary):
  """A name of a task and its values, and whether it tells them exactly.

  What file systems and TensorFlow do not take for a name becomes '_'. A setting
  is called by its last part, or by all of it where two end alike.
  """
  last = collections.Counter(map(_last, vary))
  values = '-'.join(
      f'{_last(name) if last[_last(name)] == 1 else name}={value}'
      for name, value in vary.items())
  label = '-'.join(filter(None, [_plain(task), _plain(values)]))
  label = label.lstrip('.-=+_') or 'run'
  is_exact = label.startswith(task) and max(len(task), len(values)) <= _NAME
  return label, is_exact and all(
      re.fullmatch(_NUMBER, value, re.A) or re.fullmatch(_WORD, value, re.A)
      for value in vary.values())


def _last(name):
  return name.rpartition('.')[2]


def _plain(text):
  text = re.sub('[\'"]', '', text)
  return re.sub(r'[^A-Za-z0-9_.=+-]+', '_', text)[:_NAME].strip('_')


def _hash(task, vary):
  said = json.dumps([task, *vary.items()])
  return hashlib.sha256(said.encode()).hexdigest()[:8]


def mark(entry: entries.Entry) -> tuple[Any, ...]:
  """What is equal for the seeds of one task and variation."""
  return entry.task, *entry.vary.items()
