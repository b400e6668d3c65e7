"""A run against the published seeds of its game, at the same frames.

The published points are means of evaluations in (f - 2e6, f + 1e6], see
`published`; a run is compared by the mean of its own in the same frames.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa.reports import published

METRIC = 'eval_return'
UNKNOWN, TOO_EARLY = 'no published curve', 'too early'
ABOVE, INSIDE, BELOW = 'above', 'inside', 'below'
_BEFORE, _AFTER = 2e6, 1e6  # frames of a point's mean


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
  points: list[Point]       # of the game; none without a published curve
  compared: list[Compared]  # at each point that the run has passed


def points(task: str) -> list[Point]:
  """The published points of a task that have a range, by frames."""
  game = task.removeprefix('atari_')
  known = published.curves().get(game) if game != task else None
  if known is None:
    return []
  return [
      Point(int(frames), float(mean), float(low), float(high), int(seeds))
      for frames, mean, low, high, seeds in zip(*known, strict=True)
      if np.isfinite(low)]


def judge(task: str, curve: Iterable[tuple[float, float]]) -> Verdict:
  """Compares a run with the published seeds.

  Args:
    task: Such as 'atari_pong'.
    curve: Environment frames and `eval_return` of each evaluation.

  Returns:
    `Verdict` at the last point whose frames the run has passed.
  """
  known = points(task)
  if not known:
    return Verdict(
        UNKNOWN, f'No published curve for {task}: curves of 55 Atari games are '
        'known.', [], [])
  curve = list(curve)
  compared = compare(curve, known, _BEFORE, _AFTER)
  if compared:
    return Verdict(compared[-1].word, _said(compared[-1]), known, compared)
  return Verdict(
      TOO_EARLY, 'Too early to tell: the first comparison is at '
      f'{known[0].frames + _AFTER:,.0f} frames, and the last evaluation was '
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


def _said(compared):
  point, value, word = compared
  return (
      f'{word.capitalize()} the published range at {point.frames:,.0f} '
      f'frames: the mean {METRIC} is {value:,.4g}; {point.seeds} published '
      f'seeds have {point.low:,.4g} to {point.high:,.4g}, {point.mean:,.4g} on '
      'average.')
