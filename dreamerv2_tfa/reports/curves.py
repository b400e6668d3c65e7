"""Learning curves: returns of runs in bins of frames, and over seeds.

All x are environment frames where `step` is the x axis, which both packages
count with the action repeat, so methods are compared at the same x.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple
import warnings

import numpy as np

# How the seeds of a task become a curve and an interval: `--agg`.
AGGREGATIONS = ('std1', 'per0', 'per5', 'per25', 'none')
PUBLISHED = 'published seeds'  # the method of `published.curves`

_BINS = {'atari': 1e6, 'dmc': 1e4, 'crafter': 1e4}  # frames, by suite
_OTHER = 1e5
_FEWEST = 40  # bins of the longest run, where they are chosen for it


class Run(NamedTuple):
  """One run as it was read."""

  task: str
  method: str
  seed: str
  xs: np.ndarray  # float64 [points], increasing
  ys: np.ndarray  # float64 [points], finite
  place: str      # the file, for messages


class Curve(NamedTuple):
  """A method on a task, at the same x for all its seeds."""

  task: str
  method: str
  seeds: tuple[str, ...]
  xs: np.ndarray      # float64 [X], increasing
  ys: np.ndarray      # float64 [seeds, X], NaN before a run's first value
  middle: np.ndarray  # float64 [X], mean or median over seeds
  low: np.ndarray     # float64 [X], of the interval; NaN without one
  high: np.ndarray    # float64 [X]
  count: np.ndarray   # float64 [X], seeds that have got as far as x


def suite(task: str) -> str:
  """The suite in the name of a task: 'atari' of 'atari_pong'."""
  return task.partition('_')[0]


def bin_sizes(runs: Sequence[Run], bins: float) -> dict[str, float]:
  """How wide bins are, for each suite.

  Args:
    runs: At least one.
    bins: A size for all; 0: none; -1: 1e6 for Atari, 1e4 for DMC and Crafter,
      1e5 for others, or less where the longest run of a suite would have fewer
      than 40 bins.
  """
  longest = {}
  for run in runs:
    name = suite(run.task)
    longest[name] = max(longest.get(name, 0.0), float(run.xs[-1]))
  if bins >= 0:
    return dict.fromkeys(longest, bins)
  return {
      name: min(_BINS.get(name, _OTHER), _round(end / _FEWEST))
      for name, end in longest.items()
  }


def _round(size: float) -> float:
  """The largest of 1, 2, 5, 10, 20, ... that is not larger; at least 1."""
  if size < 1:
    return 1.0
  power = 10.0 ** math.floor(math.log10(size))
  return max(step for step in (1, 2, 5) if step * power <= size) * power


def binned(
    xs: np.ndarray, ys: np.ndarray, size: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Means over bins, each named by its right end: (0, size], (size, ...].

  A value at x = 0 is in the first bin. Bins without a value are left out.

  Args:
    xs: float64 `[points]`, increasing, not negative.
    ys: float64 `[points]`.
    size: Of a bin; 0 leaves all as it is, but for the mean of equal x.

  Returns:
    float64 `[bins]` each: right ends, and means.
  """
  ends = np.maximum(np.ceil(xs / size), 1) * size if size else xs
  found, which = np.unique(ends, return_inverse=True)
  return found, np.bincount(which, ys) / np.bincount(which)


def over_seeds(runs: Sequence[Run], size: float, agg: str) -> Curve:
  """The curve of a method on a task.

  Between its values a run counts by the one before. One that ends before the
  longest counts by its last, as in the published plots; see `short`.

  Args:
    runs: Of one task and method.
    size: Of bins, see `binned`.
    agg: One of `AGGREGATIONS`. 'std1': mean, and one standard deviation to
      both sides. 'per0', 'per5', 'per25': median, and percentiles 0 to 100, 5
      to 95, 25 to 75. 'none': mean.
  """
  points = [binned(run.xs, run.ys, size) for run in runs]
  xs = np.unique(np.concatenate([found for found, _ in points]))
  ys = np.stack([last_value(*each, xs) for each in points])
  reached = [(found[0] <= xs) & (xs <= found[-1]) for found, _ in points]
  return Curve(
      runs[0].task, runs[0].method, tuple(run.seed for run in runs), xs, ys,
      *_aggregated(ys, agg), np.sum(reached, 0).astype(float))


def _aggregated(ys, agg):
  """Middle, low and high over the first axis; see `over_seeds`."""
  with warnings.catch_warnings():  # of x where no run has a value yet
    warnings.simplefilter('ignore', RuntimeWarning)
    if agg in ('std1', 'none'):
      middle = np.nanmean(ys, 0)
      spread = np.nanstd(ys, 0) if agg == 'std1' else np.nan * middle
      return middle, middle - spread, middle + spread
    share = float(agg.removeprefix('per'))
    low, middle, high = np.nanpercentile(ys, (share, 50, 100 - share), 0)
    return middle, low, high


def last_value(xs: np.ndarray, ys: np.ndarray, at: Any) -> Any:
  """The last of ys at or before each x; NaN before the first.

  Args:
    xs: float64 `[points]`, increasing.
    ys: float64 `[points]`.
    at: float64 `[X]`.

  Returns:
    float64 `[X]`.
  """
  index = np.searchsorted(xs, at, 'right') - 1
  return np.where(index >= 0, ys[np.maximum(index, 0)], np.nan)


def short(runs: Sequence[Run], share: float = 0.95) -> list[str]:
  """Sentences that name runs which end long before others of their curve."""
  ends = {}
  for run in runs:
    key = run.task, run.method
    ends[key] = max(ends.get(key, 0.0), float(run.xs[-1]))
  return [
      f'{run.task}, {run.method}, seed {run.seed} ends at {run.xs[-1]:,.0f}, '
      f'another seed at {ends[run.task, run.method]:,.0f}: from there its last '
      'value is drawn.'
      for run in runs if run.xs[-1] < share * ends[run.task, run.method]
  ]


def published(tasks: Iterable[str], known: Any) -> list[Curve]:
  """The published seeds of those tasks that are Atari games.

  Args:
    tasks: Such as 'atari_pong'.
    known: `published.curves()`.
  """
  found = []
  for task in tasks:
    seeds = known.get(task.removeprefix('atari_'))
    if suite(task) == 'atari' and seeds is not None:
      found.append(Curve(
          task, PUBLISHED, ('mean',), seeds.frames, seeds.mean[None],
          seeds.mean, seeds.low, seeds.high, seeds.count))
  return found


def at(curve: Curve, x: float) -> np.ndarray:
  """Values of the seeds at an x: float64 `[seeds]`.

  Between the few points of the published seeds it is a straight line; of
  others, the bin before. NaN outside the curve.
  """
  if curve.method == PUBLISHED:
    return np.interp([x], curve.xs, curve.ys[0], np.nan, np.nan)
  if x > curve.xs[-1]:
    return np.full(len(curve.ys), np.nan)
  return np.array([last_value(curve.xs, ys, x) for ys in curve.ys])
