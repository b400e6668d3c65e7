"""Where the presets are, what each is for, and which one suits a task."""

import pathlib
import re
from typing import NamedTuple

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_OF_SUITE = {
    'atari': 'atari', 'dmc': 'dmc_vision', 'crafter': 'crafter',
    'minigrid': 'minigrid', 'gym': 'gym', 'gymnasium': 'gym',
}
DEFAULT = 'quickstart'
_SMALL = 'gym_small', 'gym_pixels_small'


class Preset(NamedTuple):
  """What a file of the presets says of itself."""

  summary: str  # first sentence of its first comment
  overlay: bool  # lies over a preset, states few settings, runs nothing alone


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


def of_specs(observation_spec, name='The environment'):
  """Preset for an environment of the user's own, by what it shows.

  Args:
    observation_spec: Nest of specs of what the agent reads, so pictures are
      uint8 of rank 3.
    name: What the environment is called.

  Returns:
    Name of the preset without '.gin', and a sentence that says why, both str.
  """
  flat = _leaves(observation_spec)
  pictures = [x for x in flat if len(x.shape) == 3 and x.dtype.name == 'uint8']
  if not pictures:
    return _SMALL[0], f'{name} shows vectors alone'
  shapes = ' and '.join('x'.join(map(str, x.shape)) for x in pictures)
  beside = ' beside vectors' * (len(pictures) < len(flat))
  return _SMALL[1], f'{name} shows pictures ({shapes}){beside}'


def _leaves(nest):
  """The specs of a nest, a list: without TensorFlow, which is slow to import."""
  if isinstance(nest, dict):
    nest = list(nest.values())
  if isinstance(nest, list | tuple):
    return [leaf for part in nest for leaf in _leaves(part)]
  return [nest]


def describe():
  """What each preset and overlay is: dict of `Preset` by name, sorted."""
  found = {}
  for path in sorted(folder().glob('*.gin')):
    comment = []
    for line in path.read_text(encoding='utf-8').splitlines():
      if not line.startswith('#'):
        break
      comment.append(line.lstrip('# ').rstrip())
    summary = re.split(r'(?<=\.) (?!\d)', ' '.join(comment), maxsplit=1)[0]
    found[path.stem] = Preset(summary, summary.startswith('An overlay'))
  return found


def numbers(name):
  """The numbers that presets and overlays bind to a setting: set of float.

  Args:
    name: Python string, such as 'train.replay_capacity'.
  """
  line = re.compile(rf'^{re.escape(name)} = ([-+.\deE]+)', re.M)
  return {
      float(number) for path in folder().glob('*.gin')
      for number in line.findall(path.read_text(encoding='utf-8'))
  }
