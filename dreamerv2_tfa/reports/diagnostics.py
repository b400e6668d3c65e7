"""What the evaluations of a run found of its model and critic.

That is in `diagnostics.jsonl` and `diagnostic_curves.json`. The files may be a
stranger's: what is no such line or curve is left out, with a note.
"""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa import reading
from dreamerv2_tfa.diagnostics import horizon
from dreamerv2_tfa.training import runs

ENTROPIES = ('posterior_entropy', 'prior_entropy')
_MOST_PARTS = 20      # of an observation
_MOST_NUMBERS = 1000  # of a curve
_LONG = 80            # characters of a part's name
_LARGEST = 1e38       # about what float32 holds; charts draw no larger number
_ERRORS = ValueError, TypeError, KeyError, AttributeError

Numbers = list[float | None]


class Curves(NamedTuple):
  """What an evaluation has measured; each dict is empty where it has not."""

  step: int | None  # environment frames
  horizon: dict[str, dict[str, Numbers]]  # errors by part and `horizon.WAYS`
  reliability: dict[str, dict[str, Numbers]]  # predicted, observed, count
  latents: dict[str, Numbers]   # kl, `ENTROPIES`
  value: dict[str, Numbers]     # predicted, realised
  imagined: dict[str, Numbers]  # imagined, real


def lines(
    folder: runs.RunFolder, metrics: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[str]]:
  """Reads what the evaluations found, one row each.

  Args:
    folder: Of the run.
    metrics: Rows of `metrics.jsonl`. Of an evaluation that is not among them
      (a resumed run plays it again) nothing counts, and of one that was played
      again the last.

  Returns:
    Rows with `step`, by it; notes about what is left out.
  """
  path = folder.evaluated.diagnostics
  if not path.exists():
    return [], []
  try:
    data = reading.data(path, reading.LINES)
  except (OSError, ValueError) as error:
    return [], [f'{path.name} is not shown: {str(error)[:200]}.']
  played = {row['step'] for row in metrics if 'eval_return' in row}
  found, damaged = {}, 0
  for line in data.splitlines(keepends=True):
    if not line.endswith(b'\n'):
      break  # a process was killed while it wrote
    try:
      row = reading.parsed(line)
      if row['step'] in played:
        found[row['step']] = row
    except _ERRORS:
      damaged += 1
  notes = [f'Damaged lines of {path.name}, left out: {damaged:,}.']
  return [found[step] for step in sorted(found)], notes if damaged else []


def read(folder: runs.RunFolder) -> tuple[Curves | None, list[str]]:
  """Reads the curves of the last evaluation.

  Args:
    folder: Of the run.

  Returns:
    `Curves`, None where there are none; notes about what is left out.
  """
  path = folder.evaluated.curves
  if not path.exists():
    return None, []
  try:
    content = reading.parsed(reading.text(path))
    if not isinstance(content, dict):
      raise ValueError('it is no object')
  except (OSError, ValueError) as error:
    return None, [f'{path.name} is not shown: {str(error)[:200]}.']
  found, notes = {}, []
  for name, take in _CURVES.items():
    try:
      found[name] = take(content[name]) if name in content else {}
    except _ERRORS as error:
      found[name] = {}
      notes.append(f'{name} of {path.name} is not shown: it is no such curve '
                   f'({type(error).__name__}: {str(error)[:200]}).')
  if not any(found.values()):
    return None, notes
  return Curves(_step(content.get('step')), **found), notes


def _step(content):
  """Frames; None of all else."""
  number = isinstance(content, int | float) and not isinstance(content, bool)
  return int(content) if number and 0 <= content < 1e15 else None


def _numbers(content):
  """A list of numbers; None for those that cannot be drawn."""
  if not isinstance(content, list):
    raise TypeError(f'wanted a list, got {type(content).__name__}')
  if len(content) > _MOST_NUMBERS:
    raise ValueError(
        f'{len(content):,} numbers, at most {_MOST_NUMBERS:,} are drawn')
  return [_number(each) for each in content]


def _number(content):
  if content is None:
    return None
  if isinstance(content, bool) or not isinstance(content, int | float):
    raise TypeError(f'wanted a number, got {type(content).__name__}')
  # An int may be larger than a float can be; NaN is not smaller than anything.
  return float(content) if -_LARGEST < content < _LARGEST else None


def _lines(content, *names, optional=()):
  """The curves of an object by name; those that are optional may be missing."""
  wanted = [*names, *(name for name in optional if name in content)]
  return {name: _numbers(content[name]) for name in wanted}


def _pairs(content, *names, optional=()):
  """The same, of lists that are equally long."""
  found = _lines(content, *names, optional=optional)
  if len({len(each) for each in found.values()}) > 1:
    raise ValueError('the lists are not equally long')
  return found


def _by_part(content, take):
  """What `take` makes of each part of an observation."""
  return {str(key)[:_LONG]: take(each)
          for key, each in list(content.items())[:_MOST_PARTS]}


_CURVES = {  # what reads each entry of the file
    'horizon': lambda content: _by_part(
        content, lambda each: _lines(each, optional=horizon.WAYS)),
    'reliability': lambda content: _by_part(
        content, lambda each: _pairs(
            each, 'predicted', 'observed', optional=('count',))),
    'latents': lambda content: _pairs(content, 'kl', optional=ENTROPIES),
    'value': lambda content: _lines(content, 'predicted', 'realised'),
    'imagined': lambda content: _lines(content, 'imagined', 'real'),
}
