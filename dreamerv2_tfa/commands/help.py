"""The help page of a program: its own flags alone, grouped, with examples."""

import os
import pathlib
import sys
import textwrap
from typing import NamedTuple

from absl import flags

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_ASKS = ('-h', '--h', '-?', '-help', '--help', '--helpshort')
# Entries of every program.
VERSION = 'version', 'Print the versions of the package and its hosts.'
HELP = 'help', 'Print this page; -h is the same.'
_COLUMN, _WIDTH = 29, 80


class Page(NamedTuple):
  """What `--help` shows."""

  name: str  # of the program in bin/
  purpose: str  # what the program does
  usage: str  # the arguments
  groups: dict  # heading: list of 'flag=VALUE', or (that, its text)
  examples: list  # of (arguments, what that does)

  def flags(self) -> list[str]:
    """Names of the program's flags as they are listed: list of str."""
    entries = [
        entry if isinstance(entry, str) else entry[0]
        for group in self.groups.values() for entry in group
    ]
    return [_name(entry) for entry in entries if not entry.isupper()]


def program(name: str) -> str:
  """The program as it is called here: 'bin/train', or 'dreamerv2-train'.

  Args:
    name: Of the program in bin/.
  """
  called = pathlib.PurePath(sys.argv[0]).name
  if called.startswith('dreamerv2-'):
    return 'dreamerv2-' + name.replace('_', '-')
  if (_ROOT / 'bin' / name).exists():
    return f'bin/{name}'
  module = {'import': 'import_published'}.get(name, name)
  return f'python -m dreamerv2_tfa.commands.{module}'


def asked(arguments: list[str]) -> bool:
  """Whether help is asked for among the arguments of a program."""
  before = arguments[:arguments.index('--')] if '--' in arguments else arguments
  return any(word in _ASKS for word in before)


def text(page: Page) -> str:
  """The page as text, at most 80 columns wide.

  Args:
    page: `Page`.
  """
  name = program(page.name)
  lines = [f'Usage: {name} {page.usage}', '', *textwrap.wrap(
      page.purpose, _WIDTH)]
  for heading, entries in page.groups.items():
    lines += ['', f'{heading}:']
    for entry in entries:
      lines += _entry(*([entry] if isinstance(entry, str) else entry))
  lines += ['', 'Examples:']
  for arguments, what in page.examples:
    lines += [f'  {name} {arguments}'.rstrip(), f'      {what}']
  lines += ['', '--helpfull lists the flags of the libraries as well.']
  return '\n'.join(lines)


def _entry(shown, said=None):
  """Lines of a flag: how it is written, and what it does."""
  if said is None:
    flag = flags.FLAGS[_name(shown)]
    said = flag.help.partition(';\n')[0].strip()  # absl adds 'repeat ...'
    if flag.default not in (None, [], False):
      said = f'{said.rstrip(".")} (default: {flag.default}).'
  left = f'  {shown}' if shown.isupper() else f'  --{shown}'
  wrapped = textwrap.wrap(said, _WIDTH - _COLUMN)
  if len(left) >= _COLUMN:
    return [left, *(' ' * _COLUMN + line for line in wrapped)]
  first, *others = wrapped
  return [left.ljust(_COLUMN) + first,
          *(' ' * _COLUMN + line for line in others)]


def _name(shown):
  """The flag in 'list_tasks[=PREFIX]'."""
  return shown.partition('=')[0].partition('[')[0]


def say(shown: str) -> None:
  """Prints a text; a reader that closes the pipe, such as `head`, may."""
  try:
    print(shown, flush=True)
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
