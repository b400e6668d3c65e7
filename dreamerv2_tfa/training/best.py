"""The checkpoint with the highest evaluation, kept apart in `best/`."""

import filecmp
import json
import os
import pathlib
import shutil
import typing

from dreamerv2_tfa import durable
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import sums as sums_lib

if typing.TYPE_CHECKING:
  from dreamerv2_tfa.training import runs


def keep(
    folder: 'runs.RunFolder', sums: sums_lib.Sums, steps: int, score: float,
) -> None:
  """Keeps a checkpoint in `best/` if no evaluation was higher than its.

  Of two equal ones the later stays. Who calls it has the run's lock.

  Args:
    folder: Of the run.
    sums: Of the folder.
    steps: Agent steps of the checkpoint; nothing is done if it is not there.
    score: Mean return of its evaluation.
  """
  path = folder.checkpoints / f'ckpt-{steps}'
  final = folder.checkpoints / checkpoint_files.BEST
  if checkpoint_files.fault(path) or not score >= checkpoint_files.score(final):
    return
  index = final / f'{path.name}.index'
  if index.exists() and filecmp.cmp(
      index, path.with_name(index.name), shallow=False):
    return
  sums.begin(index, final / checkpoint_files.SCORE)
  replace(path, score)
  sums.write()


def replace(path: pathlib.Path, score: float) -> None:
  """Makes `best/` that of a checkpoint.

  Args:
    path: Of the checkpoint, without endings.
    score: Mean return of its evaluation.
  """
  final = path.parent / checkpoint_files.BEST
  fresh = final.with_name(f'{final.name}.new')
  shutil.rmtree(fresh, ignore_errors=True)
  fresh.mkdir()
  for file in checkpoint_files.files(path):
    _link(file, fresh / file.name)
  checkpoint_files.write_state(fresh, [checkpoint_files.step(path)])
  text = json.dumps({'eval_return': score}) + '\n'
  durable.write_text(fresh / checkpoint_files.SCORE, text)
  durable.replace(fresh, final)


def part(path: pathlib.Path) -> None:
  """Parts a checkpoint from `best/`, with which it may share its files.

  TensorFlow writes into a file that is there: a run that is stopped right after
  it was resumed saves the same step again.

  Args:
    path: Of the checkpoint, without endings.
  """
  for file in checkpoint_files.files(path):
    if file.stat().st_nlink > 1:
      copy = file.with_name(f'{file.name}.new')
      shutil.copyfile(file, copy)
      copy.replace(file)


def _link(file, other):
  """A second name of a file; a copy where the file system has no links."""
  try:
    os.link(file, other)
  except OSError:
    shutil.copyfile(file, other)
