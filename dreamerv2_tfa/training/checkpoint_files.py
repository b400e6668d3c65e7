"""The files of checkpoints: which are there, whole, damaged, left behind."""

from collections.abc import Sequence
import pathlib
import re
import shutil

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading

BEST = 'best'  # folder of the checkpoint with the highest evaluation
SCORE = 'evaluation.json'  # in `best/`
_FIRST = 'first.part'  # is there while a run saves for the first time
_ENDINGS = ('index', 'data-00000-of-00001')


def step(path: str | pathlib.Path) -> int:
  """Agent steps at a checkpoint, by its path without endings."""
  return int(str(path).rpartition('-')[2])


def files(path: pathlib.Path) -> list[pathlib.Path]:
  """The files of a checkpoint that are there.

  Args:
    path: Without endings.
  """
  both = (path.with_name(f'{path.name}.{ending}') for ending in _ENDINGS)
  return [file for file in both if file.exists()]


def steps_of(
    directory: pathlib.Path, endings: Sequence[str] = _ENDINGS,
) -> list[int]:
  """Agent steps of the checkpoints with a file of these endings, ascending."""
  names = (path.name for path in directory.glob('ckpt-*'))
  matches = (re.fullmatch(r'ckpt-(\d+)\.(.*)', name) for name in names)
  return sorted({
      int(match[1]) for match in matches if match and match[2] in endings
  })


def write_state(directory: pathlib.Path, steps: Sequence[int]) -> None:
  """Writes the state file as TensorFlow does.

  Args:
    directory: `checkpoints/` of the run.
    steps: Agent steps of the checkpoints, ascending.
  """
  lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"'] + [
      f'all_model_checkpoint_paths: "ckpt-{each}"' for each in steps
  ]
  durable.write_text(directory / 'checkpoint', '\n'.join(lines) + '\n')


def find(directory: pathlib.Path) -> str | None:
  """The last whole checkpoint of a run: the one place where it is looked for.

  It is the one that the state file `checkpoints/checkpoint` names, or a newer
  whole one beside it; where that file is missing, the newest there is. Names
  alone count, so a folder may be moved.

  Args:
    directory: `checkpoints/` of the run, which need not exist.

  Returns:
    The path without endings; None where there is no checkpoint.

  Raises:
    ValueError: If the one that should be the last is damaged.
  """
  named = _named(directory)
  candidates = steps_of(directory, ('index',))[::-1]
  if named is not None:
    candidates = [x for x in candidates if x > named] + [named]
  for number in candidates:
    path = directory / f'ckpt-{number}'
    found = fault(path)
    if found is None:
      return str(path)
    # A newer one that the state file does not name is a save that was cut off.
    if named is None or number == named:
      raise _damaged(path, found)
  return None


def chosen(directory: pathlib.Path, which: str) -> str:
  """A checkpoint that the user has chosen.

  Args:
    directory: `checkpoints/` of the run.
    which: Agent steps at it, or 'best'.

  Returns:
    The path without endings.

  Raises:
    UserError: If it is not there, or damaged.
  """
  there = steps_of(directory, ('index',))
  best = find(directory / BEST) if (directory / BEST).is_dir() else None
  if which == BEST and best:
    return best
  if which.isdecimal() and int(which) in there:
    path = directory / f'ckpt-{int(which)}'
    if (found := fault(path)) is None:
      return str(path)
    raise checks.UserError(
        f'The checkpoint at {int(which):,} steps is damaged: {found}. Put the '
        'file back from a copy, or give another.'
    )
  names = [*map(str, there), *([BEST] if best else [])]
  raise checks.UserError(
      f'The run in {directory.parent} has no checkpoint {which!r}; it has '
      f'{", ".join(names) or "none"}. Give one of them: agent steps, or '
      'best; a run keeps train.keep_checkpoints.'
  )


def recover(directory: pathlib.Path) -> list[str]:
  """Prepares `checkpoints/` for a process that resumes the run and writes.

  What a killed process has left of a save is removed. Where the last checkpoint
  is damaged and an older one is whole, the damaged files are renamed to
  `*.damaged`, so that the older one is the last.

  Args:
    directory: `checkpoints/` of the run, which need not exist.

  Returns:
    A line for the user about each checkpoint that was set aside.

  Raises:
    ValueError: If all checkpoints are damaged; nothing was renamed then.
  """
  lines, named = [], _named(directory)
  for number in sorted({*steps_of(directory), named} - {None})[::-1]:
    path = directory / f'ckpt-{number}'
    found = fault(path)
    if found is None:
      break
    if named is not None and number > named:
      _remove(files(path))
    elif (whole := _whole(path)) is not None:
      lines.append(_set_aside(path, found, whole))
      write_state(directory, [step(whole)])
    else:
      break
  _remove(directory.glob('ckpt-*_temp'))
  _remove(directory.glob('checkpoint.part'))
  durable.recover(directory / BEST)
  lines += _recover_best(directory / BEST)
  find(directory)
  return lines


def _recover_best(folder):
  """Sets a damaged `best/` aside; returns lines about it."""
  if not folder.exists():
    return []
  try:
    found = None if find(folder) and score(folder) > -np.inf else (
        f'{folder} lacks its checkpoint, or what it scored in {SCORE}')
  except ValueError as error:
    found = str(error).partition('. ')[0]
  if found is None:
    return []
  aside = folder.with_name(f'{BEST}.damaged')
  shutil.rmtree(aside, ignore_errors=True)
  folder.rename(aside)
  return [
      f'Note: the checkpoint with the highest evaluation is damaged: {found}. '
      f'It is set aside as {aside}, and the best from here on is kept.'
  ]


def score(folder: pathlib.Path) -> float:
  """The evaluation of the best checkpoint so far; the least where none is.

  Args:
    folder: `best/`.
  """
  try:
    found = reading.parsed(reading.text(folder / SCORE))
    return float(found['eval_return'])
  except (OSError, ValueError, TypeError, KeyError):
    return -np.inf


def begin_first(directory: pathlib.Path) -> None:
  """Notes that a run saves for the first time, until `end_first`."""
  directory.mkdir(parents=True, exist_ok=True)
  durable.write_text(directory / _FIRST, '')


def end_first(directory: pathlib.Path) -> None:
  """Notes that the first save is whole."""
  (directory / _FIRST).unlink(missing_ok=True)


def first_was_cut_off(directory: pathlib.Path) -> bool:
  """Whether a run was killed while it saved for the first time."""
  return (directory / _FIRST).exists() and find(directory) is None


def remove_first(directory: pathlib.Path) -> None:
  """Removes what a first save that was cut off has left."""
  for number in steps_of(directory):
    _remove(files(directory / f'ckpt-{number}'))
  end_first(directory)


def _remove(paths):
  for path in paths:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _set_aside(path, found, whole):
  """Renames the files of a damaged checkpoint; returns a line about it."""
  there = files(path)
  for file in there:
    file.replace(file.with_name(f'{file.name}.damaged'))
  aside = there and f'Its files are set aside as {path.name}.*.damaged, and '
  return (
      f'Note: the last checkpoint is damaged: {found}. {aside or ""}'
      f'{"the" if there else "The"} run resumes from {whole.name}.'
  )


def _named(directory):
  """The agent steps that the state file says; None where it says nothing."""
  try:
    text = reading.data(directory / 'checkpoint').decode(errors='replace')
  except (OSError, ValueError):  # where it is missing, or no such file
    return None
  found = re.search(r'^model_checkpoint_path: ".*?ckpt-(\d+)"', text, re.M)
  return int(found.group(1)) if found else None


def fault(path: pathlib.Path) -> str | None:
  """What is wrong with a checkpoint, in words; None where every byte is read.

  Each tensor has a checksum, so reading them all finds files that were cut. No
  tensor is allocated that the file is too small for.

  Args:
    path: Without endings.
  """
  index, data = (path.with_name(f'{path.name}.{end}') for end in _ENDINGS)
  for file in (index, data):
    if not file.is_file():
      return f'{file} is missing'
  # What a cut file raises depends on where it is cut, IndexError among it.
  try:
    reader = tf.train.load_checkpoint(str(path))
    shapes = reader.get_variable_to_shape_map()
    types = reader.get_variable_to_dtype_map()
  except Exception as error:
    return f'{index} cannot be read: {reason(error)}'
  claimed = sum(
      int(np.prod(shape, dtype=np.float64)) * types[name].size
      for name, shape in shapes.items() if types[name] != tf.string
  )
  size = data.stat().st_size
  if claimed > size:
    return f'{data} cannot be read: it has {size:,} bytes of {claimed:,}'
  try:
    for name in shapes:
      reader.get_tensor(name)
  except Exception as error:
    return f'{data} cannot be read: {reason(error)}, by {index.name}'
  return None


def reason(error: Exception) -> str:
  """The first line of an error's text, without its full stop."""
  lines = str(error).strip().splitlines() or [type(error).__name__]
  return lines[0].rstrip('.')


def _whole(path):
  """The newest whole checkpoint that is older than another, or None."""
  for number in steps_of(path.parent)[::-1]:
    other = path.with_name(f'ckpt-{number}')
    if number < step(path) and fault(other) is None:
      return other
  return None


def _damaged(path, found):
  """The error that says what else there is to take."""
  if path.parent.name == BEST:
    return ValueError(
        f'The best checkpoint is damaged: {found}. Put the file back from a '
        'copy; or take the last one.'
    )
  whole, best = _whole(path), _whole_best(path.parent / BEST)
  if whole is not None:
    way_out = (
        f'{whole.name} beside it is whole. Put the file back from a copy; or '
        'let bin/train resume the run, which sets the damaged files aside and '
        f'continues from {step(whole):,} steps.'
    )
  elif best is not None:
    way_out = (
        f'No other is whole but {best}, that with the highest evaluation. Put '
        'the file back from a copy; or take that one: load_agent(..., '
        'best=True).'
    )
  else:
    way_out = (
        'No whole checkpoint is beside it. Put the file back from a copy, or '
        'take another --root_dir.'
    )
  return ValueError(f'The last checkpoint is damaged: {found}. {way_out}')


def _whole_best(folder):
  """The best checkpoint, if it is there and whole; else None."""
  try:
    return find(folder)
  except ValueError:
    return None
