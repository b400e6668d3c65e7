"""Which settings a run has: its own, its presets', and those that are given."""

import contextlib
import re

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa import scopes
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol

# Settings that name the folder of another run.
_FOLDERS = ('train.replay_from', 'train.model_from')


def parse(root_dir, files, bindings, make_task=None):
  """Reads the settings of a run into gin, a later one wins.

    a new run         the given files; below them the preset that suits its
                      task, where none of them is or includes a preset
    a folder's run    the settings that it had, then the given files
    both              then the given bindings

  Args:
    root_dir: Path of the run's folder, which need not exist; None: no run.
    files: Paths or names of gin files.
    bindings: Lines of gin.
    make_task: Function without arguments that returns a `Task` of the
      environment object that is trained on; None: there is none.

  Returns:
    List of str, the names of the run's presets.

  Raises:
    UserError: If a file is missing, or the folder's run was trained on an
      object that only Python can give.
    ValueError: If a setting cannot be read, or its run's are damaged.
    SyntaxError: If a line cannot be read, from gin.
  """
  if root_dir is not None:
    root_dir = checks.folder('--root_dir', root_dir)
  given = list(map(gin_files.name, files))
  task = _task(bindings)
  there = None if root_dir is None else _recorded(root_dir, given)
  if there is not None:
    protocol.parse_config(root_dir)
    if not (task or make_task or _is_bound('train.task')):
      raise checks.UserError(
          f'The run in {root_dir} was trained on an object, '
          f'{there["task"]!r}, which no task names. Resume it from Python: '
          'dreamerv2_tfa.train(environment, root_dir=...).'
      )
    before = list(there['presets'])
    given = [name for name in before if name not in given] + given
  elif all(map(gin_files.is_overlay, files)):
    chosen = presets.of_task(task) if root_dir is None else _chosen(
        bindings, task, make_task)
    files, given = [chosen, *files], [chosen, *given]
  gin_files.parse(files, bindings)
  _check_parts()
  for name in _FOLDERS:
    _make_absolute(name)
  return given


def _check_parts():
  """Refuses a setting of a part that is none, which nothing would read."""
  for name in comparison.bindings(gin.config_str()):
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


def _recorded(root_dir, given):
  """The `protocol.json` of a run whose settings can be read, or None.

  With files given, settings that are missing are not needed.
  """
  there = protocol.read(root_dir)
  if there is None or given and not (root_dir / protocol.CONFIG).is_file():
    return None
  return there


def _chosen(bindings, task, make_task):
  """The preset of a task; where its suite does not say it, by what it shows."""
  if make_task is None and not presets.is_shown(task):
    return presets.of_task(task)
  gin_files.parse([presets.PUBLISHED], bindings)
  made = make_task() if make_task else tasks.load(task)
  with contextlib.ExitStack() as stack:
    environment = made.make(0)
    stack.callback(batch.close, environment)
    name, _ = presets.of_specs(environment.observation_spec())
  gin.clear_config()
  return name


def _is_bound(name):
  return name in comparison.bindings(gin.config_str())


def _make_absolute(name):
  """A folder means the same wherever the run is resumed from."""
  value = gin.query_parameter(name) if _is_bound(name) else None
  if value is not None:
    folder = checks.folder(name, value).absolute()
    with gin.unlock_config():
      gin.bind_parameter(name, str(folder))
