"""Summary panels: many tasks in one number, over frames.

A panel takes the mean over a method's seeds in each task, normalises it where
the panel says so, and reduces over tasks. All methods are on the same tasks:
those that each of them has.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
import warnings

import numpy as np

from dreamerv2_tfa.reports import curves as curves_lib
from dreamerv2_tfa.reports import references as references_lib

_RESAMPLES = 200


class Kind(NamedTuple):
  """What a panel shows."""

  title: str
  reduce: Callable[..., np.ndarray]  # of [tasks, ...] to [...]
  human: str | None = None           # what is 1, see `references.span`
  clip: bool = False                 # each task is cut at 1


class Line(NamedTuple):
  """A method in a panel."""

  xs: np.ndarray      # float64 [X], frames that all its tasks reach
  values: np.ndarray  # float64 [X]
  low: np.ndarray     # float64 [X], 95% over seeds; NaN where a task has one
  high: np.ndarray    # float64 [X]


class Panel(NamedTuple):
  """A panel, ready to be drawn."""

  name: str
  title: str
  tasks: tuple[str, ...]
  lines: dict[str, Line]        # by method
  references: dict[str, float]  # by name


_median = lambda x: np.median(x, axis=0)
_mean = lambda x: np.mean(x, axis=0)
KINDS = {
    'gamer_median': Kind('Gamer median', _median, 'human_gamer'),
    'gamer_mean': Kind('Gamer mean', _mean, 'human_gamer'),
    'record_mean': Kind('Record mean', _mean, 'human_record'),
    'clip_record_mean': Kind(
        'Clipped record mean', _mean, 'human_record', True),
    'human_above': Kind(
        'Tasks at or above gamer', lambda x: np.sum(x >= 1, 0) * 1.0,
        'human_gamer'),
    'human_below': Kind(
        'Tasks at or below gamer', lambda x: np.sum(x <= 1, 0) * 1.0,
        'human_gamer'),
    'mean': Kind('Mean over tasks', _mean),
    'median': Kind('Median over tasks', _median),
}
NAMES = (*KINDS, 'seeds')  # and 'auto', 'none'


def chosen(add: Sequence[str], tasks: Sequence[str]) -> list[str]:
  """Names of the panels that `--add` asks for.

  Args:
    add: Of `NAMES`; 'auto' is the four of the paper for Atari, mean and median
      for others, none for one task; 'none' is none.
    tasks: That are drawn.
  """
  names = []
  for name in add:
    if name == 'auto' and len(tasks) > 1:
      atari = any(curves_lib.suite(task) == 'atari' for task in tasks)
      names += list(KINDS)[:4] if atari else ['mean', 'median']
    elif name not in ('auto', 'none'):
      names.append(name)
  return list(dict.fromkeys(names))


def build(
    name: str, curves: Sequence[curves_lib.Curve],
    references: dict[str, dict[str, float]], names: Sequence[str],
) -> tuple[Panel | None, str | None]:
  """One panel.

  Args:
    name: Of `NAMES`.
    curves: All that are drawn.
    references: Scores by task and name.
    names: Of the references to be drawn.

  Returns:
    The panel, and a note on tasks that are left out; None where there is none.
  """
  if name == 'seeds':
    return _seeds(curves), None
  kind = KINDS[name]
  by_method = {}
  for curve in curves:
    by_method.setdefault(curve.method, {})[curve.task] = curve
  tasks = sorted({curve.task for curve in curves})
  spans = {task: kind.human and references_lib.span(
      task, kind.human, references) for task in tasks}
  kept = [
      task for task in tasks
      if all(task in each for each in by_method.values())
      and (spans[task] or kind.human is None)]
  note = None if len(kept) == len(tasks) else (
      f'{kind.title}: {len(kept)} of {len(tasks)} tasks; the others lack a '
      'method or the scores that normalise them.')
  if not kept:
    return None, note
  scale = lambda ys, task: _scaled(ys, spans[task], kind.clip)
  lines = {
      method: _line([each[task] for task in kept], kind, scale)
      for method, each in by_method.items()}
  return Panel(name, kind.title, tuple(kept), lines, {
      reference: float(kind.reduce(np.array([
          scale(references[task][reference], task) for task in kept])))
      for reference in names
      if all(reference in references[task] for task in kept)}), note


def _scaled(ys, span, clip):
  """Returns as a panel counts them; without a span as they are."""
  if span is None:
    return np.asarray(ys)
  ys = references_lib.normalise(ys, span)
  return np.minimum(ys, 1.0) if clip else ys


def _line(curves, kind, scale):
  """A method over its tasks."""
  first = max(curve.xs[0] for curve in curves)
  last = min(curve.xs[-1] for curve in curves)
  xs = np.unique(np.concatenate([curve.xs for curve in curves]))
  xs = xs[(first <= xs) & (xs <= last)]
  ys = [np.stack([curves_lib.last_value(curve.xs, seed, xs)
                  for seed in curve.ys]) for curve in curves]
  with warnings.catch_warnings():  # of x where no run has a value yet
    warnings.simplefilter('ignore', RuntimeWarning)
    over_tasks = lambda picked: kind.reduce(np.stack([
        scale(np.nanmean(y, 0), curve.task)
        for y, curve in zip(picked, curves, strict=True)]))
    values = over_tasks(ys)
    low = high = np.full_like(values, np.nan)
    if min(map(len, ys)) > 1:
      generator = np.random.default_rng(0)
      drawn = [
          over_tasks([y[generator.integers(len(y), size=len(y))] for y in ys])
          for _ in range(_RESAMPLES)]
      low, high = np.nanpercentile(drawn, (2.5, 97.5), 0)
  return Line(xs, values, low, high)


def _seeds(curves):
  """How many runs have got how far."""
  lines = {}
  for method in dict.fromkeys(curve.method for curve in curves):
    own = [curve for curve in curves if curve.method == method]
    xs = np.unique(np.concatenate([curve.xs for curve in own]))
    count = np.sum([np.where(
        xs <= curve.xs[-1], np.nan_to_num(curves_lib.last_value(
            curve.xs, curve.count, xs)), 0) for curve in own], axis=0)
    known = count > 0  # not after the end of the published table
    none = np.full(known.sum(), np.nan)
    lines[method] = Line(xs[known], count[known], none, none)
  tasks = tuple(sorted({curve.task for curve in curves}))
  return Panel('seeds', 'Runs', tasks, lines, {})


def last(line: Any) -> float | None:
  """The value of a line at its last x; None for an empty one."""
  finite = line.values[np.isfinite(line.values)]
  return float(finite[-1]) if len(finite) else None
