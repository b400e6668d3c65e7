"""What every command does with its flags: gin files, bindings, errors."""

import datetime
import os
import pathlib
import re
import sys

from absl import flags
from absl import logging
import gin

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_DEFAULT = 'quickstart.gin'

_ROOT_DIR = flags.DEFINE_string(
    'root_dir', None, 'Folder of the run; the same one again resumes it.'
)
flags.DEFINE_alias('logdir', 'root_dir')
_GIN_FILE = flags.DEFINE_multi_string(
    'gin_file', [], 'Preset or overlay, such as gin/atari.gin; repeatable, a '
    'later one wins. Without any: gin/quickstart.gin.'
)
_GIN_BINDINGS = flags.DEFINE_multi_string(
    'gin_bindings', [], "One binding, such as 'train.steps = 1e6'; repeatable."
)
_TASK = flags.DEFINE_string('task', None, "Task, such as 'atari_pong'.")
_PRECISION = flags.DEFINE_string(
    'precision', None, "'auto', '16' (float16), 'bf16' or '32'."
)
_SEED = flags.DEFINE_integer('seed', None, 'Seed of everything random.')


def presets():
  """Folder of the presets: beside the package, or inside when installed."""
  beside = _PACKAGE.parent / 'gin'
  return beside if beside.is_dir() else _PACKAGE / 'gin'


def parse():
  """Reads the gin files and bindings of the command line.

  Returns:
    List of str, the names of the presets.

  Raises:
    ValueError: If a file is missing, or a line names what does not exist.
  """
  for folder in (presets(), presets().parent):
    gin.add_config_file_search_path(str(folder))
  files = _GIN_FILE.value or [str(presets() / _DEFAULT)]
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
  places = [pathlib.Path(name), presets() / name, presets().parent / name]
  if not any(place.is_file() for place in places):
    known = ', '.join(sorted(p.name for p in presets().glob('*.gin')))
    raise ValueError(
        f'There is no gin file {name!r}. The presets in {presets()} are: '
        f'{known}.'
    )


def root_dir():
  """The run's folder; without --root_dir a fresh one, runs/<date>-<time>."""
  if _ROOT_DIR.value:
    return _ROOT_DIR.value
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  return os.path.join('runs', now)


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
