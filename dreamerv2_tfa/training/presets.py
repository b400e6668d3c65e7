"""Where the presets are, and which one suits a task."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_OF_SUITE = {
    'atari': 'atari', 'dmc': 'dmc_vision', 'crafter': 'crafter',
    'minigrid': 'minigrid', 'gym': 'gym', 'gymnasium': 'gym',
}
DEFAULT = 'quickstart'


def folder():
  """Folder of the presets: beside the package, or inside when installed."""
  beside = _PACKAGE.parent / 'gin'
  return beside if beside.is_dir() else _PACKAGE / 'gin'


def names():
  """Sorted file names of the presets."""
  return sorted(path.name for path in folder().glob('*.gin'))


def of_task(task):
  """Name of the preset for a task, without '.gin'.

  Args:
    task: Name of the task, or None.

  Returns:
    str.
  """
  suite = (task or '').partition('_')[0]
  return _OF_SUITE.get(suite, DEFAULT)
