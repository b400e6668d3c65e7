"""How a sweep does, as one table: a line a task and variation."""

from collections.abc import Sequence
import csv
import io
import itertools
import math
import pathlib
import statistics
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa import children
from dreamerv2_tfa import columns
from dreamerv2_tfa import durable
from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product

_HEADINGS = ('finished', 'frames', 'return', 'std', 'min', 'max')


class Line(NamedTuple):
  """The seeds of one task and variation."""

  task: str
  vary: dict[str, str]
  finished: int  # seeds
  seeds: int
  frames: int  # that all seeds have taken
  returns: list[float]  # the last evaluation of each seed that has one


def states(
    folder: entries.Folder, listed: Sequence[entries.Entry],
) -> dict[str, dict[str, Any]]:
  """How far the runs are that have begun, by name; see `states.answer`.

  Args:
    folder: Of the sweep.
    listed: Its list.
  """
  begun = [entry for entry in listed if folder.run(entry).is_dir()]
  if not begun:
    return {}
  answers = children.ask('dreamerv2_tfa.sweeps.states', [
      [str(folder.run(entry)), entry.seed, entry.task,
       *entries.settings(entry)] for entry in begun])
  return {
      entry.run: found for entry, found in zip(begun, answers, strict=True)}


def lines(
    listed: Sequence[entries.Entry], found: dict[str, dict[str, Any]],
) -> list[Line]:
  """Sums the seeds of each task and variation, in the order of the list.

  Args:
    listed: The list.
    found: Of `states`.
  """
  by_mark = {}
  for entry in listed:
    by_mark.setdefault(product.mark(entry), []).append(entry)
  summed = []
  for group in by_mark.values():
    each = [found.get(entry.run, {}) for entry in group]
    returns = [state.get('eval_return') for state in each]
    summed.append(Line(
        group[0].task, group[0].vary,
        sum(state.get('finished', False) for state in each), len(group),
        min(state.get('frames', 0) for state in each),
        [x for x in returns if x is not None]))
  return summed


def _numbers(line: Line) -> list[float | None]:
  """Mean, standard deviation, least and largest return.

  None without returns; NaN where one is NaN, or they are too large to sum.
  """
  found = line.returns
  if not found:
    return [None] * 4
  try:
    if any(map(math.isnan, found)):
      return [math.nan] * 4
    spread = statistics.pstdev(found) if len(found) > 1 else None
    return [statistics.fmean(found), spread, min(found), max(found)]
  except OverflowError:
    return [math.nan] * 4


def _settings(summed):
  """Names of what varies, in order."""
  return list(dict.fromkeys(
      itertools.chain.from_iterable(line.vary for line in summed)))


def text(summed: Sequence[Line]) -> str:
  """The table as text in columns."""
  names = _settings(summed)
  shown = lambda x: '-' if x is None else f'{x:,.2f}'
  return columns.layout([
      ['task', *names, *_HEADINGS], *(
          [line.task, *(line.vary.get(name, '-') for name in names),
           f'{line.finished} of {line.seeds}', f'{line.frames:,}',
           *map(shown, _numbers(line))] for line in summed)], numbers=True)


def write_csv(path: str, summed: Sequence[Line]) -> None:
  """Writes the table as CSV; a return that is not there is empty.

  Args:
    path: Of the file.
    summed: The lines.

  Raises:
    UserError: If it cannot be written.
  """
  names = _settings(summed)
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(['task', *names, 'finished', 'seeds', *_HEADINGS[1:]])
  for line in summed:
    writer.writerow([
        line.task, *(line.vary.get(name, '') for name in names),
        line.finished, line.seeds, line.frames, *_numbers(line)])
  try:
    durable.write_text(pathlib.Path(path).expanduser(), file.getvalue())
  except OSError as error:
    raise checks.UserError(
        f'--csv={path} cannot be written ({error.strerror}). Give another '
        'file.') from error


def notes(found: dict[str, dict[str, Any]]) -> list[str]:
  """What could not be read of the runs, or is not counted, a line each."""
  return [f'Note: {run}: {said}' for run, state in found.items()
          for said in (state['fault'], _other(state['other'])) if said]


def _other(settings):
  """Why a run of other settings is not counted; None where there are none."""
  if not settings:
    return None
  more = f', and {len(settings) - 3} more' if len(settings) > 3 else ''
  return (
      f'not counted, it has other settings than its line: '
      f'{"; ".join(settings[:3])}{more}. If it has steps left, bin/train '
      'resumes it with the settings that its line gives, or refuses them; to '
      'train it from step 0, move its folder away.')
