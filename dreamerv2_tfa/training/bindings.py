"""What is wrong with a line of gin: where, and what it should have been."""

import ast
from collections.abc import Sequence
import functools
import io
import os
import re
import tokenize
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import presets

_BINDING = re.compile(r'^\s*([\w./]+)\s*=\s*(.*?)\s*$')
_SETTING = re.compile(r'^(?:\w+/)*(\w+\.\w+) = ', re.M)
_WORDS = {
    'true': 'True', 'yes': 'True', 'on': 'True', 'false': 'False',
    'no': 'False', 'off': 'False', 'none': 'None', 'null': 'None',
}
# What other programs call it, the published package among them.
_RATES = [
    f'DreamerV2Agent.{part}_learning_rate' for part in (
        'model', 'actor', 'critic')
]
_ELSEWHERE = {
    'lr': _RATES, 'learning_rate': _RATES,
    'batch': ['train.batch_size'], 'batch_length': ['train.sequence_length'],
    'length': ['train.sequence_length'], 'seq_len': ['train.sequence_length'],
    'buffer_size': ['train.replay_capacity'],
    'capacity': ['train.replay_capacity'],
    'envs': ['train.environments'], 'num_envs': ['train.environments'],
    'n_envs': ['train.environments'],
    'gamma': ['DreamerV2Agent.discount'],
    'timesteps': ['train.steps'], 'total_timesteps': ['train.steps'],
    'train_every': ['train.steps_per_update'],
}
_OPEN, _CLOSE = '([{', ')]}'


class Source(NamedTuple):
  """A text that gin has read."""

  file: str | None  # path
  number: int  # of a binding, from 1
  text: str

  def place(self, line: int, column: int) -> str:
    """Where a character is; both numbers count from 1."""
    if self.file:
      return f'{self.file}:{line}:{column}'
    return f'binding {self.number}, column {column}'


@functools.cache
def names() -> list[str]:
  """Names of all settings, such as 'train.steps': sorted list of str.

  They are those that the presets bind, which bind every setting; so the names
  are there without the package's slow imports.
  """
  files = presets.folder().glob('*.gin')
  texts = (path.read_text(encoding='utf-8') for path in files)
  return sorted({name for text in texts for name in _SETTING.findall(text)})


def meant(name: str) -> list[str]:
  """Returns the settings that a name may mean: list of str, at most three.

  Args:
    name: Such as 'train.stpes', 'RSMM.deter', or without a class: 'lr'.
  """
  *_, name = name.split('/')
  *_, parameter = name.split('.')
  last = lambda setting: setting.partition('.')[2]
  if parameter in _ELSEWHERE:
    return _ELSEWHERE[parameter]
  same = [each for each in names() if last(each) == parameter]
  if '.' not in name:
    return same[:3] or [
        each for each in names() if checks.near(parameter, [last(each)])][:3]
  return checks.near(name, same) or same[:3] or [
      each for each in checks.near(name, names())
      if checks.near(parameter, [last(each)])]


def no_setting(name: str) -> str:
  """Returns the sentence about a setting that does not exist."""
  found = meant(name)
  return f'There is no setting {name[:80]}.' + (
      f' Did you mean {" or ".join(found)}?' if found else
      ' gin/defaults.gin lists them.')


def shell(line: str) -> str:
  """Returns a binding as a flag of the command line, quoted for a shell."""
  quote = '"' if "'" in line else "'"
  return f'--gin_bindings={quote}{line}{quote}'


def check(source: Source) -> None:
  """Refuses a text that is no sequence of tokens, such as an open bracket.

  Args:
    source: `Source`.

  Raises:
    UserError: If there is none.
  """
  unclosed, last = [], None
  try:
    for last in tokenize.generate_tokens(io.StringIO(source.text).readline):
      if last.type == tokenize.OP and last.string in _OPEN:
        unclosed.append(last)
      elif last.type == tokenize.OP and last.string in _CLOSE and unclosed:
        unclosed.pop()
  except (tokenize.TokenError, SyntaxError) as error:
    if unclosed:
      line, column = unclosed[0].start
      raise at(
          source, line, column,
          f'The bracket {unclosed[0].string} is not closed.',
      ) from None
    if isinstance(error, SyntaxError):  # of the indentation
      line, column, what = error.lineno or 1, 0, error.msg
    else:
      what, (line, column) = error.args
    raise unreadable(source, line, column, what) from None


def at(source: Source, line: int, column: int, what: str) -> checks.UserError:
  """Returns a refusal that shows a line and points at a character.

  Args:
    source: `Source`.
    line: From 1.
    column: From 0.
    what: What is wrong and how to write it.

  Returns:
    `UserError`.
  """
  lines = source.text.splitlines() or ['']
  shown = ''.join(
      each if each.isprintable() else ' ' if each.isspace() else '?'
      for each in lines[min(line, len(lines)) - 1])
  indent = len(shown) - len(shown.lstrip())
  column = max(column, indent)
  return checks.UserError(
      f'{what}\n  {source.place(line, column + 1)}:\n    '
      f'{shown.strip()[:120]}\n    {" " * (column - indent)}^')


def unreadable(
    source: Source, line: int, column: int, what: str,
) -> checks.UserError:
  """Returns the refusal of a line that gin cannot read.

  Args:
    source: `Source`.
    line: From 1.
    column: From 0, where reading ended.
    what: What gin said.

  Returns:
    `UserError`, with the line as it should be where that can be told.
  """
  lines = source.text.splitlines() or ['']
  text = lines[min(line, len(lines)) - 1]
  found = _BINDING.match(_without_comment(text))
  if not found or found.group(2).startswith('='):
    return at(source, line, column, _not_a_binding(text, what))
  name, value = found.groups()
  said, fixed = _value(name, value)
  if not said:
    return at(source, line, column, f'This cannot be read: {_brief(what)}')
  if fixed:
    fixed = f'{name} = {fixed}'
    said += f' Write {fixed}'
    if not source.file:
      said += f', in a shell: {shell(fixed)}'
  return at(source, line, found.start(2), said)


def _not_a_binding(text, what):
  """What to say of a line that has no name, '=' and value."""
  word = text.split()[0] if text.split() else ''
  if word.startswith('--'):
    return 'A flag is no line of gin; a line is NAME = VALUE.'
  if '=' not in text or '==' in text:
    wanted = ' Write one =.' if '==' in text else ''
    return f'A line of gin is NAME = VALUE, as train.steps = 1e6.{wanted}'
  return f'This cannot be read ({_brief(what)}). Wanted NAME = VALUE.'


def _value(name, value):
  """What is wrong with a value, and the value as it should be, or None."""
  if not value:
    return f'{name} has no value.', None
  if word := _WORDS.get(value.lower()):
    return f'{value} is no value of gin.', word
  if re.fullmatch(r'[-+]?[\d.][\d.,_eE+-]*', value):
    number = value.replace(',', '').rstrip('.')
    return f'{value} is no number.', number if _is_literal(number) else None
  if re.fullmatch(r'''[^'"\[\](){}@%;*]+''', value) and not _is_literal(value):
    if re.search('[\u2018\u2019\u201c\u201d]', value):
      bare = value.strip('\u2018\u2019\u201c\u201d ')
      return 'These are quotes of typography; gin wants plain ones.', repr(bare)
    if re.match(r'[A-Za-z_./~]', value):
      return f'The quotes around {value} are missing.', repr(value)
  if value[0] in '\'"' and value.count(value[0]) % 2:
    return 'A quote is not closed.', value + value[0]
  if ';' in value:
    return 'A line has one setting. Give the second in one of its own.', None
  return None, None


def _is_literal(value):
  try:
    ast.literal_eval(value)
  except (ValueError, SyntaxError):
    return False
  return True


def _without_comment(text):
  """The line without its comment, unless the # is in quotes."""
  return re.sub(r'''\s#[^'"]*$''', '', text)


def _brief(what):
  """What gin said, without the objects that it prints."""
  return ' '.join(what.split('\n')[0].split()).rstrip('.')


def explain(error: Exception, sources: Sequence[Source]) -> Exception:
  """Returns what to raise for an error that gin raised while it read.

  Args:
    error: The exception.
    sources: List of `Source`, what gin has read, the last one last.

  Returns:
    `UserError`; the error itself where it is no mistake in a line.
  """
  if isinstance(error, SyntaxError):
    source = _named(sources, error.filename)
    return unreadable(source, error.lineno or 1, error.offset or 0, error.msg)
  said, _, rest = str(error).partition('\n  In ')
  place = re.match(r'(?:file "(.*?)",|bindings string) line (\d+)', rest)
  if place:
    source, line = _named(sources, place.group(1)), int(place.group(2))
    return _misnamed(error, said, source, line)
  if found := re.match(
      r"No bindings specified for '([\w./]+?)/gin.macro'", said):
    return _found(sources, f'%{found.group(1)}', (
        f'The macro %{found.group(1)} is not bound. Bind it: '
        f'{found.group(1)} = VALUE; or write a value in its place.'))
  if found := re.search(r"reference '(@[\w./]+)", said):
    name = found.group(1)
    return _found(sources, name, _no_class(name[1:], name))
  return error


def _named(sources, file):
  """The source of this path; without a path the last binding."""
  return next(
      source for source in reversed(sources) if source.file == (file or None))


def _misnamed(error, said, source, line):
  """The refusal of a name that does not exist."""
  text = source.text.splitlines()[line - 1]
  if found := re.match(r"No module named '(\S+)'", said):
    what = f'There is no module {found.group(1)} to import.'
    return at(source, line, max(text.find(found.group(1)), 0), what)
  if found := re.match(r'Unable to open file: (.*?)\. Searched', said):
    name = found.group(1)
    return at(source, line, text.find(name), no_file(name))
  if found := re.match(r"No configurable matching reference '(@\S+?)'", said):
    name = found.group(1)
    return at(source, line, text.find(name), _no_class(name[1:], name))
  name = re.split(r'[^\w./]', text.lstrip(), maxsplit=1)[0]
  missing = re.match(r"Configurable '(\S+?)' .*parameter named '(\w+)'", said)
  if missing and '.' not in name:  # within a block
    name = '.'.join(missing.groups())
  if missing:
    return at(source, line, text.rfind(
        missing.group(2), 0, text.find('=')), no_setting(name))
  if said.startswith('No configurable matching '):
    return at(source, line, 0, (
        no_setting(name) if '.' in name else _no_class(name, f'{name}:')))
  return at(source, line, 0, said) if isinstance(error, ValueError) else error


def _no_class(name, shown):
  """The sentence about a class or function that has no settings."""
  known = sorted({each.partition('.')[0] for each in names()})
  return f'There is no {shown}.{checks.did_you_mean(name, known)}'


def _found(sources, word, what):
  """A refusal that points at a word in what was read."""
  for source in reversed(sources):
    for line, text in enumerate(source.text.splitlines(), 1):
      if word in _without_comment(text):
        return at(source, line, text.find(word), what)
  return checks.UserError(what)


def no_file(name: str | os.PathLike) -> str:
  """Returns the sentences about a gin file that does not exist."""
  known = [each.removesuffix('.gin') for each in presets.names()]
  word = re.split(r'[/\\]', str(name))[-1].removesuffix('.gin')
  return (f'There is no gin file {str(name)!r}.'
          f'{checks.did_you_mean(word, known)} The presets are: '
          f'{", ".join(known)}.')


def check_macros(sources: Sequence[Source]) -> None:
  """Refuses a name without its class, which gin takes for a macro.

  Args:
    sources: List of `Source`.

  Raises:
    UserError: If a macro that nothing uses is named like a setting, or is a
      binding of the command line.
  """
  texts = [_without_comment(line) for source in sources
           for line in source.text.splitlines()]
  for source in sources:
    for number, line in enumerate(source.text.splitlines(), 1):
      found = re.match(r'((?:\w+/)*\w+)\s*=', line)
      if not found or any(f'%{found.group(1)}' in text for text in texts):
        continue
      if meant(found.group(1)) or not source.file:
        raise at(source, number, 0, no_setting(found.group(1)))
