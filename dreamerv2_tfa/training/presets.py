"""Where the presets are, what each is for, and which one suits a task."""

from collections.abc import Sequence
import pathlib
import re
from typing import Any
from typing import NamedTuple

import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import tasks

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_NAMED_OTHERWISE = {'dmc': 'dmc_vision', 'gymnasium': 'gym'}  # by suite
DEFAULT = 'quickstart'
PUBLISHED = 'gym'  # sizes, and settings to look at an environment with
_LOOKED_AT = ('gym', 'gymnasium')
SMALL = 'gym_small', 'gym_pixels_small'


class Preset(NamedTuple):
  """What a file of the presets says of itself."""

  summary: str  # first sentence of its first comment
  overlay: bool  # lies over a preset, states few settings, runs nothing alone


def folder() -> pathlib.Path:
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


def names() -> list[str]:
  """Sorted file names of the presets."""
  return sorted(path.name for path in folder().glob('*.gin'))


def is_shown(task: str | None) -> bool:
  """Whether the preset of a task follows from what its environment shows.

  Args:
    task: Name of the task, or None.
  """
  name = task or ''
  return name.partition('_')[0] in _LOOKED_AT or ':' in name


def of_task(task: str | None) -> str:
  """Name of the preset for a task, without '.gin': the file of its suite.

  Args:
    task: Name of the task, or None.
  """
  suite = (task or '').partition('_')[0]
  name = _NAMED_OTHERWISE.get(suite, suite)
  known = suite in tasks.SUITES and f'{name}.gin' in names()
  return name if known else DEFAULT


def said(names: Sequence[str], observation_spec: Any) -> str:
  """One line about the presets of a run.

  Args:
    names: Names without '.gin'.
    observation_spec: As in `of_specs`.

  Returns:
    str; why it is the preset, where that follows from what is observed.
  """
  line = f'Preset {" + ".join(names) or "none"}'
  name, why = of_specs(observation_spec)
  if name in names:
    line += f': {why}; the published sizes are in the preset {PUBLISHED}'
  return f'{line}.'


def of_specs(observation_spec: Any) -> tuple[str, str]:
  """Preset for an environment of the user's own, by what it shows.

  Args:
    observation_spec: Nest of specs of what the agent reads, so pictures are
      uint8 of rank 3.

  Returns:
    Name of the preset without '.gin', and why, both str.
  """
  flat = tree.flatten(observation_spec)  # TensorFlow is slow to import
  pictures = [x for x in flat if len(x.shape) == 3 and x.dtype.name == 'uint8']
  if not pictures:
    return SMALL[0], 'the environment shows vectors alone'
  shapes = ' and '.join('x'.join(map(str, x.shape)) for x in pictures)
  beside = ' beside vectors' * (len(pictures) < len(flat))
  return SMALL[1], f'the environment shows pictures ({shapes}){beside}'


def describe() -> dict[str, Preset]:
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


def numbers(name: str) -> set[float]:
  """The numbers that presets and overlays bind to a setting: set of float.

  Args:
    name: Python string, such as 'train.replay_capacity'.
  """
  line = re.compile(rf'^{re.escape(name)} = ([-+.\deE]+)', re.M)
  return {
      float(number) for path in folder().glob('*.gin')
      for number in line.findall(path.read_text(encoding='utf-8'))
  }
