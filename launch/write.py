"""Writes the commands of a distributed run into the files of launch/.

  bin/python launch/write.py
  bin/python launch/write.py --out=mine --root_dir=/runs/crafter \
      --collectors=16 crafter_reward --precision=16

The first line leaves the files here as they are; the second one writes others,
of a run of one's own. Arguments that are not among those of --help are the
run's: its task, and flags of bin/train that all its processes share.

A line with `# written: NAME` is followed by the arguments of that role, or has
the value of that name. All else in the files is written by hand.
"""

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
import re
import shlex
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import words
from dreamerv2_tfa.distributed import invocation

HERE = pathlib.Path(__file__).resolve().parent
PORT = 8008  # of the replay server, in the files too
ROOT_DIR = '/runs/pong'  # in the containers; on Slurm it is in the checkout
COMMON = ('--task=atari_pong', '--precision=32')
_MARK = re.compile(r'( *[^:=]+(?:: ?|=)).*  # written: (\w+)')


class Launcher(NamedTuple):
  """A file, and how it says what only its launcher knows."""

  address: str  # of the replay server
  root_dir: str | None  # None: that of the command line
  collector: str | None  # number of a collector
  quote: Callable[[str], str]  # an argument of the run, literally
  item: Callable[[str], str]  # the line of an argument


def _yaml(argument):
  return f'- {json.dumps(argument, ensure_ascii=False)}'


def _without_variables(text):
  return text.replace('$', '$$')  # to Compose and to Kubernetes


FILES = {
    'compose.yaml': Launcher(
        f'replay:{PORT}', None, None, _without_variables, _yaml),
    'kubernetes.yaml': Launcher(
        f'replay:{PORT}', None, '$(JOB_COMPLETION_INDEX)', _without_variables,
        _yaml),
    'kubernetes_sweep.yaml': Launcher('', None, None, str, _yaml),
    'slurm.sh': Launcher(
        '"$address"', '"$root_dir"', '"$number"', shlex.quote, str),
    'slurm_sweep.sh': Launcher('', None, None, shlex.quote, str),
}


def commands(
    launcher: Launcher, root_dir: str, common: Sequence[str],
) -> dict[str, list[str]]:
  """The arguments of each role, as the file of a launcher says them.

  Args:
    launcher: Of the file.
    root_dir: The run's folder, where the launcher has none of its own.
    common: What all processes share.
  """
  folder = launcher.root_dir or launcher.quote(root_dir)
  shared = list(map(launcher.quote, common))
  of = lambda role, *more: invocation.arguments(
      role, launcher.address, *more)
  return {
      **{role: of(role, folder, shared)
         for role in ('replay', 'learner', 'evaluator')},
      'collector': of('collector', None, shared, launcher.collector),
  }


def written(
    text: str, launcher: Launcher, roles: Mapping[str, Sequence[str]],
    values: Mapping[str, str],
) -> str:
  """A file's text with the arguments and values in their places.

  Args:
    text: Of the file, as it was.
    launcher: Of the file.
    roles: Arguments by role.
    values: By name, as the file says them.
  """
  lines, inside = [], None
  for line in text.splitlines():
    if inside is not None and line.startswith(inside):
      continue  # an argument that was written before
    inside, found = None, _MARK.fullmatch(line)
    if found and found[2] in values:
      lines.append(f'{found[1]}{values[found[2]]}  # written: {found[2]}')
      continue
    lines.append(line)
    if found:
      inside = ' ' * (len(line) - len(line.lstrip()) + 2)
      lines += [f'{inside}{launcher.item(x)}' for x in roles[found[2]]]
  return '\n'.join(lines) + '\n'


def write(
    folder: pathlib.Path, root_dir: str | None, common: Sequence[str],
    image: str, collectors: int,
) -> None:
  """Writes all files.

  Args:
    folder: Where; it is made if it does not exist.
    root_dir: The run's folder, as its processes see it; None: that of the
      files here.
    common: Arguments that all processes of the run share.
    image: Name of the container image.
    collectors: How many.
  """
  own = shlex.quote(root_dir or ROOT_DIR.removeprefix('/'))
  values = {
      'image': json.dumps(image),
      'collectors': str(collectors),
      'ntasks': str(collectors + 3),
      'root_dir': f'${{ROOT_DIR:-{own}}}',
  }
  folder.mkdir(parents=True, exist_ok=True)
  for name, launcher in FILES.items():
    text = written(
        (HERE / name).read_text(encoding='utf-8'), launcher,
        commands(launcher, root_dir or ROOT_DIR, common), values)
    (folder / name).write_text(text, encoding='utf-8')


def check(common: Sequence[str], root_dir: str | None) -> None:
  """Refuses arguments of a run that leave out its task or its folder.

  They stand in place of the default ones, and the folder is that of a run of
  the default task.

  Args:
    common: Arguments that all processes of the run share.
    root_dir: The run's folder; None if it was not given.

  Raises:
    UserError: If they do.
  """
  said = shlex.join(common)
  if not any(words.is_task(each) or re.fullmatch(r'--?task(=.*)?', each)
             for each in common):
    raise checks.UserError(
        f'Got {said} without a task. Name it too, such as atari_pong.')
  if root_dir is None:
    raise checks.UserError(
        f"Got {said} without --root_dir. Name the run's folder too, such as "
        '--root_dir=/runs/mine.')


def main() -> None:
  """Parses the command line and writes the files."""
  parser = argparse.ArgumentParser(
      prog='launch/write.py', allow_abbrev=False,
      description='Writes the commands of a distributed run into files for '
      'Docker Compose, Kubernetes and Slurm. Further arguments are the task, '
      'and flags of bin/train that all its processes share; default: '
      + ' '.join(COMMON))
  parser.add_argument(
      '--out', type=pathlib.Path, default=HERE, help='folder; default: launch')
  parser.add_argument(
      '--root_dir', help="the run's folder, as its processes see it; default: "
      f'{ROOT_DIR} in the containers, {ROOT_DIR[1:]} on Slurm')
  parser.add_argument(
      '--image', default='dreamerv2_tfa', help='default: %(default)s')
  parser.add_argument(
      '--collectors', type=int, default=4, help='default: %(default)s')
  told, common = parser.parse_known_args()
  try:
    collectors = checks.integer('--collectors', told.collectors)
    if common:
      check(common, told.root_dir)
  except checks.UserError as error:
    parser.error(str(error))
  write(told.out, told.root_dir, common or COMMON, told.image, collectors)


if __name__ == '__main__':
  main()
