"""The command line of a program: its flags, its words, and misspelt ones."""

from collections.abc import Callable
import functools
import importlib.metadata
import itertools
import os
import platform
import sys

from absl import app
from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.commands import words as words_lib

_PACKAGES = ('dreamerv2_tfa', 'tensorflow', 'tf_agents')


def main(
    function: Callable[[list[str]], None], page: help_lib.Page, words: int = 0,
) -> None:
  """Entry point of a program.

  Args:
    function: Function of `argv`, the words that are no flags.
    page: Of the program.
    words: How many it takes.
  """
  _open_streams()
  app.run(
      configuration.guarded(function, words, page.flags()),
      flags_parser=functools.partial(parse, page=page))


def _open_streams():
  """Opens standard streams that are closed, as by `>&-`, to nowhere.

  Else the next files to be opened would be in their place, and what libraries
  print would be written into them.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def parse(argv: list[str], page: help_lib.Page) -> list[str]:
  """Reads the flags; shows help or the version where that is asked for.

  Args:
    argv: The program and its arguments.
    page: `help.Page`.

  Returns:
    List of str, the program and the words that are no flags.

  Raises:
    SystemExit: 0 where help or the version was shown, 1 after a mistake.
  """
  if help_lib.asked(argv[1:]):
    help_lib.say(help_lib.text(page))
    sys.exit(0)
  if '--helpfull' in argv[1:]:
    app.usage(writeto_stdout=True)
    sys.exit(0)
  if '--version' in argv[1:] or '-version' in argv[1:]:
    print(_version())
    sys.exit(0)
  try:
    return flags.FLAGS(argv)
  except (flags.Error, ValueError) as error:
    print(
        f'Error: {_said(error, argv, page)} {help_lib.program(page.name)} '
        '--help lists the flags.', file=sys.stderr)
    sys.exit(1)


def _version():
  """Names and versions of this package and its hosts, in one line."""
  found = []
  for name in _PACKAGES:
    try:
      found.append(f'{name} {importlib.metadata.version(name)}')
    except importlib.metadata.PackageNotFoundError:
      pass  # TensorFlow under another name, or a checkout that is no package
  return ', '.join([*found, f'Python {platform.python_version()}'])


def _said(error, argv, page):
  """What is wrong with the flags, and what may have been meant."""
  if isinstance(error, flags.UnrecognizedFlagError):
    shown = error.flagvalue
    _, given, value = shown.partition('=')
    after = argv[argv.index(shown) + 1:] if shown in argv else []
    values = [value] if given else list(
        itertools.takewhile(lambda word: not word.startswith('-'), after))
    return words_lib.no_flag(error.flagname, values, page.flags())
  text = str(error).removeprefix('flag ').removeprefix('ERROR:: ')
  if text.startswith('Missing value for flag '):
    name = text.removeprefix('Missing value for flag ')
    return f'{name} has no value; wanted {name}=VALUE.'
  if 'Non-boolean argument' in text:
    text = f'{text.partition(":")[0]}: wanted true or false'
  return f'{text.rstrip(".")}.'


def task(argv: list[str], page: help_lib.Page) -> None:
  """Takes the task that is given as a word, where --task is read from.

  Args:
    argv: The program and at most one word.
    page: Of the program.

  Raises:
    UserError: If --task says another one, or the word is no task but a gin
      file, a folder, or a flag without its dashes.
  """
  if not argv[1:]:
    return
  word, given = argv[1], configuration.value('task')
  check_task(word, page)
  if given not in (None, word):
    raise checks.UserError(
        f'Got two tasks, {word!r} and --task={given}. Give one of them.')
  flags.FLAGS['task'].value = word


def check_task(word: str, page: help_lib.Page) -> None:
  """Refuses a word that is no task but something else of the command line.

  Args:
    word: Of the command line.
    page: Of the program.

  Raises:
    UserError: If it is a gin file, a folder, or a flag without its dashes.
  """
  meant = None if words_lib.is_task(word) else words_lib.meant_by(
      word, page.flags())
  if meant:
    raise checks.UserError(f'{word!r} is no task. Did you mean {meant}?')
