"""Where the presets are, and which one suits a task."""

import pathlib

import tensorflow as tf

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_OF_SUITE = {
    'atari': 'atari', 'dmc': 'dmc_vision', 'crafter': 'crafter',
    'minigrid': 'minigrid', 'gym': 'gym', 'gymnasium': 'gym',
}
DEFAULT = 'quickstart'
PUBLISHED = 'gym'  # the published sizes for what is looked at
LOOK = 'gym.gin'  # the settings to look at an environment with
_LOOKED_AT = ('gym', 'gymnasium')


def folder():
  """Folder of the presets: beside the package, or inside when installed."""
  beside = _PACKAGE.parent / 'gin'
  return beside if beside.is_dir() else _PACKAGE / 'gin'


def names():
  """Sorted file names of the presets."""
  return sorted(path.name for path in folder().glob('*.gin'))


def is_shown(task):
  """Whether the preset of a task follows from what its environment shows.

  Args:
    task: Name of the task, or None.
  """
  name = task or ''
  return name.partition('_')[0] in _LOOKED_AT or ':' in name


def of_task(task):
  """Name of the preset for a task, without '.gin'.

  Args:
    task: Name of the task, or None.

  Returns:
    str.
  """
  suite = (task or '').partition('_')[0]
  return _OF_SUITE.get(suite, DEFAULT)


def of_specs(observation):
  """The preset for what an environment shows.

  Args:
    observation: Nest of `TensorSpec`, as the agent reads it.

  Returns:
    Name, without '.gin', and why: the rest of a sentence about the environment.
  """
  pictures = any(
      spec.dtype == tf.uint8 and spec.shape.rank == 3
      for spec in tf.nest.flatten(observation)
  )
  if pictures:
    return 'gym_pixels_small', 'shows pictures'
  return 'gym_small', 'shows vectors alone'
