"""A run against the published seeds of its task, at the same frames.

The published points are means over some frames around f, see `published`; a run
is compared by the mean of the same metric over the same frames.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa.reports import published

UNKNOWN, TOO_EARLY = 'no published curve', 'too early'
ABOVE, INSIDE, BELOW = 'above', 'inside', 'below'


class Mean(NamedTuple):
  """What the published points of a suite are means of."""

  metric: str  # of metrics.jsonl, which a run is compared by
  before: int  # environment frames before f, without the first
  after: int   # environment frames after f


MEANS = {
    'atari': Mean('eval_return', 2_000_000, 1_000_000),
    'dmc': Mean('train_return', 30_000, 0),
}


class Point(NamedTuple):
  """The published seeds of a task at one number of frames."""

  frames: int
  mean: float
  low: float   # of the lowest seed
  high: float  # of the highest one
  seeds: int


class Compared(NamedTuple):
  """A run at a published point."""

  point: Point
  value: float  # of the run, the same mean
  word: str     # ABOVE, INSIDE or BELOW the published range


class Verdict(NamedTuple):
  """Where a run stands at the last published point that it has passed."""

  word: str                 # one of the five above
  sentence: str
  points: list[Point]       # of the task; none without a published curve
  compared: list[Compared]  # at each point that the run has passed


def mean(task: str) -> Mean:
  """What a run of the task is compared by; evaluations, if by nothing."""
  return MEANS.get(task.partition('_')[0], MEANS['atari'])


def points(task: str) -> list[Point]:
  """The published points of a task that have a range, by frames."""
  suite, _, name = task.partition('_')
  curves = {
      'atari': published.curves, 'dmc': published.control_curves}.get(suite)
  known = curves().get(name) if curves else None
  if known is None:
    return []
  return [
      Point(int(frames), float(mean), float(low), float(high), int(seeds))
      for frames, mean, low, high, seeds in zip(*known, strict=True)
      if np.isfinite(low)]


def judge(task: str, curve: Iterable[tuple[float, float]]) -> Verdict:
  """Compares a run with the published seeds.

  Args:
    task: Such as 'atari_pong' or 'dmc_walker_walk'.
    curve: Environment frames and the metric of `mean(task)`.

  Returns:
    `Verdict` at the last point whose frames the run has passed.
  """
  known, of = points(task), mean(task)
  if not known:
    return Verdict(
        UNKNOWN, f'No published curve for {task}: curves of 55 Atari games and '
        '20 tasks of DM Control are known.', [], [])
  curve = list(curve)
  compared = compare(curve, known, of.before, of.after)
  if compared:
    return Verdict(
        compared[-1].word, _said(compared[-1], of.metric), known, compared)
  return Verdict(
      TOO_EARLY, 'Too early to tell: the first comparison is at '
      f'{known[0].frames + of.after:,.0f} frames, and the last {of.metric} was '
      f'at {max((x for x, _ in curve), default=0):,.0f}.', known, [])


def compare(
    curve: Iterable[tuple[float, float]], known: Iterable[Point],
    before: float, after: float,
) -> list[Compared]:
  """Puts a run beside the published points that it has passed.

  Args:
    curve: Environment frames and returns.
    known: Points, by frames.
    before: Environment frames of a point's mean before its own.
    after: Environment frames after them.

  Returns:
    List of `Compared`, by frames.
  """
  curve = np.array(list(curve), float).reshape(-1, 2)
  compared = []
  for point in known:
    end = point.frames + after
    within = (curve[:, 0] > point.frames - before) & (curve[:, 0] <= end)
    if within.any() and curve[:, 0].max() >= end:
      value = float(curve[within, 1].mean())
      compared.append(Compared(point, value, _word(point, value)))
  return compared


def _word(point, value):
  return (BELOW if value < point.low else
          ABOVE if value > point.high else INSIDE)


def _said(compared, metric):
  point, value, word = compared
  return (
      f'{word.capitalize()} the published range at {point.frames:,.0f} '
      f'frames: the mean {metric} is {value:,.4g}; {point.seeds} published '
      f'seeds have {point.low:,.4g} to {point.high:,.4g}, {point.mean:,.4g} on '
      'average.')
