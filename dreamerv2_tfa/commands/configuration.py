"""What every command does with its flags: gin files, bindings, errors."""

import datetime
import os
import pathlib
import re
import secrets
import sys

from absl import flags
from absl import logging
import gin

from dreamerv2_tfa.training import presets

_ROOT_DIR = flags.DEFINE_string(
    'root_dir', None, 'Folder of the run; the same one again resumes it.'
)
flags.DEFINE_alias('logdir', 'root_dir')
_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', [], 'Preset or overlay, such as gin/atari.gin; repeatable, a '
    "later one wins. Without any: the one of the task's suite, or "
    'gin/quickstart.gin.'
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "One binding, such as 'train.steps = 1e6'; repeatable."
)
_TASK = flags.DEFINE_string(
    'task', None, "Task, such as 'atari_pong' or 'dmc_walker_walk'."
)
_PRECISION = flags.DEFINE_string(
    'precision', None, "'auto', '16' (float16), 'bf16' or '32'."
)
_SEED = flags.DEFINE_integer('seed', None, 'Seed of everything random.')


def parse():
  """Reads the gin files and bindings of the command line.

  Returns:
    List of str, the names of the presets.

  Raises:
    ValueError: If a file is missing, or a line names what does not exist.
  """
  for folder in (presets.folder(), presets.folder().parent):
    gin.add_config_file_search_path(str(folder))
  preset = f'{presets.of_task(_TASK.value)}.gin'
  files = _GIN_FILE.value or [str(presets.folder() / preset)]
  for name in files:
    _find(name)
  named = {'task': _TASK.value, 'precision': _PRECISION.value,
           'seed': _SEED.value}
  bindings = list(_GIN_BINDINGS.value) + [
      f'train.{name} = {value!r}'
      for name, value in named.items() if value is not None
  ]
  # gin logs an error for each place where an included file is not.
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)
  gin.parse_config_files_and_bindings(files, bindings)
  logging.set_verbosity(verbosity)
  return [pathlib.Path(name).stem for name in files]


def _find(name):
  folder = presets.folder()
  places = [pathlib.Path(name), folder / name, folder.parent / name]
  if not any(place.is_file() for place in places):
    raise ValueError(
        f'There is no gin file {name!r}. The presets in {folder} are: '
        f'{", ".join(presets.names())}.'
    )


def root_dir():
  """The run's folder; without --root_dir a fresh one in runs/.

  Its name is <date>-<time>-<six random digits>: runs that begin in the same
  second, in other containers too, have folders of their own.
  """
  if _ROOT_DIR.value:
    return _ROOT_DIR.value
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  return os.path.join('runs', f'{now}-{secrets.token_hex(3)}')


# What a setting, a file or a machine can cause; all else is our own fault.
_USER_ERRORS = (
    ValueError, TypeError, OSError, SyntaxError, ImportError,
    FloatingPointError,
)


def guarded(function):
  """Turns what a user can mend into one message and exit code 1.

  Args:
    function: Function of `argv`.

  Returns:
    The same, without a traceback for user errors.
  """
  def run(argv):
    try:
      return function(argv)
    except _USER_ERRORS as error:
      if flags.FLAGS['verbosity'].value > 0:
        raise
      print(f'Error: {_message(error)}', file=sys.stderr)
      sys.exit(1)

  return run


def _message(error):
  """The error's text in one line, without the frames that gin adds to it."""
  text = str(error)
  if isinstance(error, SyntaxError):
    place = error.filename or f'--gin_bindings={_GIN_BINDINGS.value}'
    text = f'{error.msg} (line {error.lineno} of {place})'
  # For an unbound macro, gin adds the whole configuration.
  text = text.partition(' in config string:')[0]
  frame = re.compile(r'\s*In (call to configurable|bindings string|file)')
  lines = [line.strip() for line in text.splitlines() if not frame.match(line)]
  return ' '.join(line for line in lines if line)
