"""Which settings a run has: its own, its presets', and those that are given."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import os
import re
import shlex

from dreamerv2_tfa import checks
from dreamerv2_tfa import scopes
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs

# Settings that name the folder of another run.
_FOLDERS = ('train.replay_from', 'train.model_from')


def parse(
    root_dir: str | os.PathLike | None, files: Sequence[str | os.PathLike],
    bindings: Sequence[str],
    make_task: Callable[[], task_lib.Task] | None = None,
) -> list[str]:
  """Parses the settings of a run with gin; a later one wins.

    a new run         the given files; below them the preset that suits its
                      task, where none of them is or includes a preset
    a folder's run    the settings that it had, then the given files
    both              then the given bindings

  Args:
    root_dir: Path of the run's folder, which need not exist; None: no run.
    files: Paths or names of gin files.
    bindings: Lines of gin.
    make_task: Makes a `Task` of the environment object that is trained on;
      None: there is none.

  Returns:
    The names of the run's presets.

  Raises:
    UserError: If a file is missing, or the folder's run was trained on an
      object that only Python can give, or on a task that would import a module
      and is not given.
    ValueError: If a setting cannot be read, or its run's are damaged.
    SyntaxError: If a line cannot be read, from gin.
  """
  folder = None
  if root_dir is not None:
    folder = runs.RunFolder(root_dir, '--root_dir')
  given = list(map(gin_files.name, files))
  task, recorded = _task(bindings), {}
  there = None if folder is None else _recorded(
      folder, given, task or make_task)
  if folder is not None and there is not None:
    config.trust(files)
    config.parse_recorded(folder.config)
    if not (task or make_task or config.is_bound('train.task')):
      raise checks.UserError(
          f'The run in {folder.root} was trained on an object, '
          f'{there["task"]!r}, which no task names. Resume it from Python: '
          'dreamerv2_tfa.train(environment, root_dir=...). If it has a task, '
          f'{folder.config} is damaged: put it back from a copy.'
      )
    recorded = _without_modules(*([] if make_task else ['train.task']))
    before = list(there['presets'])
    given = [name for name in before if name not in given] + given
  elif all(map(gin_files.is_overlay, files)):
    chosen = presets.of_task(task) if folder is None else _chosen(
        bindings, task, make_task)
    files, given = [chosen, *files], [chosen, *given]
  config.parse(files, bindings)
  for name, value in recorded.items():
    if config.value(name) is None:
      raise _no_word(folder, name, value)
  _check_parts()
  for name in _FOLDERS:
    _make_absolute(name)
  return given


def _without_modules(*names):
  """Unbinds recorded settings that would import a module; returns them."""
  found = {}
  for name in (*names, 'train.callbacks', 'train.loggers'):
    value = config.value(name)
    if value and _imports(name, value):
      config.bind(name, None)
      found[name] = value
  return found


def _imports(name, value):
  """Whether a value of one of these settings would import a module."""
  if name == 'train.task':
    return not isinstance(value, str) or tasks.names_module(value)
  return name != 'train.loggers' or ':' in repr(value)


def _no_word(folder, name, value):
  """What is said of a recorded setting that would import a module."""
  if name == 'train.task':
    given, kind = f'--task={value}', f'task {str(value)!r}'
  else:
    given, kind = f'--gin_bindings={name} = {value!r}', f'{name} = {value!r}'
  return checks.UserError(
      f'{folder.config} has the {kind}, whose module would be imported '
      'and run. If it is yours, or you trust it, give it with the command: '
      f'{shlex.quote(given)}.'
  )


def _check_parts():
  """Refuses a setting of a part that is none, which nothing would read."""
  for name in config.bound():
    scope, _, setting = name.rpartition('/')
    kind = setting.partition('.')[0]
    parts = scopes.PARTS.get(kind, ())
    if scope and kind in scopes.PARTS and scope not in parts:
      raise checks.UserError(
          f'There is no part {scope!r} of {kind}, as in {name}.'
          f'{checks.did_you_mean(scope, parts)} Its parts are '
          f'{", ".join(parts)}.'
      )


def _task(bindings):
  """Name of the task in the last of the lines that bind it, or None."""
  line = re.compile(r"""\s*train\.task\s*=\s*(['"])(.+)\1""")
  found = [match.group(2) for match in map(line.match, bindings) if match]
  return found[-1] if found else None


def _recorded(folder, given, task):
  """The `protocol.json` of a run whose settings can be read, or None.

  With files given, settings that are missing are not needed. With nothing
  given, a run that has saved needs both.
  """
  there = protocol.read(folder.protocol)
  if there is None and not (task or given) and folder.config.is_file() and (
      checkpoint_files.find(folder.checkpoints)):
    protocol.wanted(folder.protocol)  # raises
  if there is None or given and not folder.config.is_file():
    return None
  return there


def _chosen(bindings, task, make_task):
  """The preset of a task; where its suite does not say it, by what it shows."""
  if make_task is None and not presets.is_shown(task):
    return presets.of_task(task)
  config.parse([presets.PUBLISHED], bindings)
  made = make_task() if make_task else tasks.load(task)
  with contextlib.ExitStack() as stack:
    environment = made.make(0)
    stack.callback(batch.close, environment)
    name, _ = presets.of_specs(environment.observation_spec())
  config.clear()
  return name


def _make_absolute(name):
  """A folder means the same wherever the run is resumed from."""
  value = config.value(name)
  if value is not None:
    config.bind(name, str(checks.folder(name, value).absolute()))
