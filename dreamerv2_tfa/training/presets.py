"""Where the presets are, and which one suits a task."""

import functools
import pathlib

import gin
import tensorflow as tf

from dreamerv2_tfa import checks

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
  """Folder of the presets: inside the installed package, or beside it.

  Beside an installed package another `gin` is found, the library's.

  Returns:
    `pathlib.Path`.

  Raises:
    UserError: If neither folder has the presets.
  """
  inside, beside = _PACKAGE / 'gin', _PACKAGE.parent / 'gin'
  for found in (inside, beside):
    if (found / 'defaults.gin').is_file():
      return found
  raise checks.UserError(
      f'The presets are missing: there is no defaults.gin in {inside}, where '
      f'pip installs it, nor in {beside}, where a checkout has it. Install '
      'the package again.'
  )


@functools.cache  # a second call would add the same folder again
def register_gin():
  """Makes gin itself read the presets: by name, and with all that they bind.

  After it, `gin.parse_config_file('atari.gin')` works in any folder, and so
  does the file of a user that has the line `include 'defaults.gin'`.

  Raises:
    UserError: If the presets are missing.
  """
  from dreamerv2_tfa.training import train  # noqa: F401 - slow to import

  gin.add_config_file_search_path(str(folder()))


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
