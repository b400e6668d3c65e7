"""What every command does with its flags: gin files, bindings, errors."""

from collections.abc import Callable
from collections.abc import Collection
import datetime
import os
import secrets
import sys
from typing import Any

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import words
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import interrupt


class _Number(flags.ArgumentParser):
  """Whole numbers as they are written: 300, 1e6, 200_000."""

  def parse(self, argument):
    try:
      value = float(argument)
    except ValueError:
      value = 0.5
    if value != value // 1:
      raise ValueError('wanted a whole number, such as 300, 1e6 or 200_000.')
    return int(value)


class _Word(flags.ArgumentParser):
  """A word, or nothing: --list_tasks or --list_tasks=atari."""

  def parse(self, argument):
    return {'true': '', 'false': None}.get(argument, argument)


def number(name: str, default: int | None, text: str) -> flags.FlagHolder:
  """Defines a flag that takes whole numbers, 1e6 as well; returns its holder.

  Args:
    name: str.
    default: Or None.
    text: What help says.

  Returns:
    An object whose `value` is an int or None.
  """
  return flags.DEFINE(
      _Number(), name, default, text, serializer=flags.ArgumentSerializer())


_DEFINE = {
    'root_dir': lambda: (
        flags.DEFINE_string(
            'root_dir', None,
            "The run's folder; the same one again resumes it. --logdir is the "
            'same flag. Without it: a new folder in runs/.'
        ),
        flags.DEFINE_alias('logdir', 'root_dir'),
    ),
    'gin_file': lambda: flags.DEFINE_multi_string(
        'gin_file', [], 'Preset, overlay or file of your own, such as atari or '
        'mine.gin; repeatable, a later one wins. Without it: the preset of the '
        'task.'
    ),
    'gin_bindings': lambda: flags.DEFINE_multi_string(
        'gin_bindings', [], "One setting, such as 'train.batch_size = 32'; "
        'repeatable. gin/defaults.gin lists all settings, with units; so does '
        '--show_config, without.'
    ),
    'task': lambda: flags.DEFINE_string(
        'task', None, 'What to learn, such as atari_pong, dmc_walker_walk, '
        'gymnasium_CartPole-v1, or module:factory for your own.'
    ),
    'precision': lambda: flags.DEFINE_string(
        'precision', None, 'auto, 16 (float16), bf16 or 32.'
    ),
    'seed': lambda: number(
        'seed', None, 'Of weights, environments and sampling.'
    ),
    'steps': lambda: number(
        'steps', None, 'Agent steps in all (train.steps), such as 2e5.'
    ),
    'environments': lambda: number(
        'environments', None, 'Environments that collect side by side '
        '(train.environments), each in a process of its own.'
    ),
    'csv': lambda: flags.DEFINE_string(
        'csv', None, 'File to write the numbers to as CSV.'
    ),
    'out': lambda: flags.DEFINE_string('out', None, 'What to write.'),
    'policy': lambda: flags.DEFINE_string(
        'policy', None, 'Folder that bin/export wrote.'
    ),
    'trust': lambda: flags.DEFINE_string(
        'trust', None, 'SHA-256 of its policy.json, which bin/export prints: '
        "this export and no other; or 'any': also operations that read and "
        'write files.'
    ),
    'list_tasks': lambda: flags.DEFINE_flag(flags.Flag(
        _Word(), flags.ArgumentSerializer(), 'list_tasks', None,
        'Names of the tasks, or of those that begin with PREFIX.', boolean=True
    )),
    'list_presets': lambda: flags.DEFINE_bool(
        'list_presets', False, 'Presets and overlays, one a line.'
    ),
}
# Flags that are settings of `train` as well.
_SETTINGS = ('task', 'precision', 'seed', 'steps', 'environments')


def define(*names: str) -> None:
  """Defines flags that several programs share: those that this one reads.

  Args:
    *names: Names of flags.
  """
  for name in names:
    if name not in flags.FLAGS:
      _DEFINE[name]()


def value(name: str) -> Any:
  """The value of a shared flag, None where this program has none of it."""
  return flags.FLAGS[name].value if name in flags.FLAGS else None


def bindings() -> list[str]:
  """The bindings of the command line: list of str, those of flags last."""
  given = {name: value(name) for name in _SETTINGS}
  return list(value('gin_bindings') or []) + [
      f'train.{name} = {each!r}'
      for name, each in given.items() if each is not None
  ]


def given() -> list[str]:
  """The shared flags of this command line that say what is trained.

  Returns:
    Arguments of `bin/train`, but for the run's folder.
  """
  found = []
  for name in ('gin_file', 'gin_bindings', *_SETTINGS):
    flag = value(name)
    for each in flag if isinstance(flag, list) else [flag]:
      if each is not None:
        found.append(f'--{name}={each}')
  return found


def parse(folder: str | os.PathLike | None = None) -> list[str]:
  """Reads the gin files and bindings of the command line.

  Args:
    folder: The run's folder, whose settings come first; None: no run.

  Returns:
    List of str, the names of the presets.

  Raises:
    UserError: If a file is missing, or a line names what does not exist.
  """
  from dreamerv2_tfa.training import run_settings  # imports TensorFlow

  return run_settings.parse(folder, value('gin_file'), bindings())


def root_dir() -> str:
  """The run's folder; without --root_dir a fresh one in runs/.

  Its name is <date>-<time>-<six random digits>: runs that begin in the same
  second, in other containers too, have folders of their own.
  """
  if value('root_dir') is not None:
    return value('root_dir')
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  return os.path.join('runs', f'{now}-{secrets.token_hex(3)}')


# What a file or a machine can cause; see `checks.is_refusal` for settings.
_OUTSIDE = (OSError, SyntaxError, ImportError, FloatingPointError)


def guarded(
    function: Callable[[list[str]], Any], arguments: int = 0,
    known: Collection[str] = (),
) -> Callable[[list[str]], Any]:
  """Turns what a user can fix into one message and exit code 1.

  An error of an environment's own code is shown with its traceback and, below,
  in one line; all else is a fault, and is raised. SIGTERM and SIGHUP end a
  program as an error would, so that what is open is closed; Ctrl-C is shown by
  `commands`.

  Args:
    function: Function of `argv`.
    arguments: How many arguments it takes beside flags.
    known: Names of the flags that the program has, for hints.

  Returns:
    The same, without a traceback for user errors.
  """
  def run(argv):
    try:
      if argv[1 + arguments:]:
        raise checks.UserError(words.unread(argv[1 + arguments:], known))
      with interrupt.terminable():
        return function(argv)
    except Exception as error:
      shown = _shown(error)
      if shown is None or flags.FLAGS['verbosity'].value > 0:  # pyright: ignore[reportOptionalOperand]
        raise
      print(shown, file=sys.stderr)
      sys.exit(1)

  return run


def _shown(error):
  """What to print of an error, or None where it is a fault to be raised."""
  if isinstance(error, faults.EnvironmentFailed):
    return f'{error.trace}\n\nError: {error.said}'
  if checks.is_refusal(error) or isinstance(error, _OUTSIDE):
    return f'Error: {_message(error)}'
  return None


def _message(error):
  """The error's text without the frames that gin adds to it.

  A refusal of ours keeps its lines, such as one that shows a line of a file.
  """
  text = gin_files.plain(error)
  if isinstance(error, SyntaxError):
    text = f'{error.msg} (line {error.lineno} of {error.filename})'
  if isinstance(error, checks.UserError):
    return text
  return ' '.join(text.split())
