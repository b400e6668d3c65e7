"""What every command does with its flags: gin files, bindings, errors."""

import datetime
import os
import re
import secrets
import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import interrupt

_DEFINE = {
    'root_dir': lambda: (
        flags.DEFINE_string(
            'root_dir', None,
            'Folder of the run; the same one again resumes it.'
        ),
        flags.DEFINE_alias('logdir', 'root_dir'),
    ),
    'gin_file': lambda: flags.DEFINE_multi_string(
        'gin_file', [], 'Preset or overlay, such as gin/atari.gin; repeatable, '
        "a later one wins. Without any: the one of the task's suite, or "
        'gin/quickstart.gin.'
    ),
    'gin_bindings': lambda: flags.DEFINE_multi_string(
        'gin_bindings', [], "One binding, such as 'train.steps = 1e6'; "
        'repeatable.'
    ),
    'task': lambda: flags.DEFINE_string(
        'task', None, "Task, such as 'atari_pong' or 'dmc_walker_walk'."
    ),
    'precision': lambda: flags.DEFINE_string(
        'precision', None, "'auto', '16' (float16), 'bf16' or '32'."
    ),
    'seed': lambda: flags.DEFINE_integer(
        'seed', None, 'Seed of everything random.'
    ),
}


def define(*names):
  """Defines flags that several programs share: those that this one reads.

  Args:
    *names: Names of flags.
  """
  for name in names:
    if name not in flags.FLAGS:
      _DEFINE[name]()


def value(name):
  """The value of a shared flag, None where this program has none of it."""
  return flags.FLAGS[name].value if name in flags.FLAGS else None


def parse(folder=None):
  """Reads the gin files and bindings of the command line.

  Args:
    folder: Path of the run's folder, whose settings come first; None: no run.

  Returns:
    List of str, the names of the presets.

  Raises:
    ValueError: If a file is missing, or a line names what does not exist.
  """
  from dreamerv2_tfa.training import settings  # imports TensorFlow

  named = {name: value(name) for name in ('precision', 'seed')}
  return settings.parse(
      folder, value('gin_file'), [*value('gin_bindings'), *(
          f'train.{name} = {given!r}'
          for name, given in named.items() if given is not None
      )], value('task'),
  )


def root_dir():
  """The run's folder; without --root_dir a fresh one in runs/.

  Its name is <date>-<time>-<six random digits>: runs that begin in the same
  second, in other containers too, have folders of their own.
  """
  if value('root_dir'):
    return value('root_dir')
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  return os.path.join('runs', f'{now}-{secrets.token_hex(3)}')


# What a file or a machine can cause; see `checks.is_refusal` for settings.
_OUTSIDE = (OSError, SyntaxError, ImportError, FloatingPointError)


def guarded(function, arguments=0):
  """Turns what a user can mend into one message and exit code 1.

  An error of an environment's own code is shown with its traceback and, below,
  in one line; all else is a fault, and is raised. SIGTERM ends a program as an
  error would, so that what is open is closed.

  Args:
    function: Function of `argv`.
    arguments: int, how many arguments it takes beside flags.

  Returns:
    The same, without a traceback for user errors.
  """
  def run(argv):
    try:
      if argv[1 + arguments:]:
        raise checks.UserError(
            f'Nothing here reads {" ".join(argv[1 + arguments:])!r}. Flags '
            'begin with --; --help lists them.'
        )
      with interrupt.terminable():
        return function(argv)
    except Exception as error:
      shown = _shown(error)
      if shown is None or flags.FLAGS['verbosity'].value > 0:
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
  """The error's text in one line, without the frames that gin adds to it."""
  text = str(error).replace(gin_files.MARK, '')
  if isinstance(error, SyntaxError):
    given = value('gin_bindings')
    place = error.filename or f'--gin_bindings={given}'
    text = f'{error.msg} (line {error.lineno} of {place})'
  # For an unbound macro, gin adds the whole configuration.
  text = text.partition(' in config string:')[0]
  frame = re.compile(r'\s*In (call to configurable|bindings string|file)')
  lines = [line.strip() for line in text.splitlines() if not frame.match(line)]
  return ' '.join(line for line in lines if line)
