"""Published scores and learning curves: 55 Atari games, 20 tasks of DM Control.

`atari_scores.csv` restates scores after 200 million frames, one game a line,
all with sticky actions:

- `random`, `human_gamer`: random play and a tester of games, Mnih et al. 2015.
- `human_record`: the world record, as in Toromanoff et al. 2019.
- `dqn_sticky`, `c51_sticky`, `iqn_sticky`, `rainbow_sticky`: the runs published
  with Dopamine, Castro et al. 2018.
- `dreamerv2`: the authors' published runs, Hafner et al. 2020 (arXiv
  2010.02193); `dreamerv2_schedules`: the same with annealed entropy and
  gradient mixing; `seeds`: how many runs these two are means of.

`atari_curves.csv` restates the learning curves behind `dreamerv2`, which the
authors publish as `scores/atari-dreamerv2.json` of their repository: mean,
least and largest return over the seeds at 13 numbers of frames from 1 to 199
million; `seeds`: how many runs got so far. Each is a mean of the evaluations in
(f - 2e6, f + 1e6], ten episodes in 1e6 frames; from f = 2e7 on, of a few
million frames more.

`dmc_vision.csv` restates the same, from their `scores/`, of 20 tasks from
pixels: 5 seeds, rounded to whole points, at 40 numbers of frames from 30,000 to
1.2 million. Each is a mean of the training episodes in (f - 30,000, f], one in
1,000 frames.
"""

from collections.abc import Iterable
import csv
import difflib
import functools
import pathlib
from typing import NamedTuple

import numpy as np

METHODS = (
    'dreamerv2', 'dreamerv2_schedules', 'rainbow_sticky', 'iqn_sticky',
    'c51_sticky', 'dqn_sticky',
)
REFERENCES = ('random', 'human_gamer', 'human_record')
END = 200e6  # frames that `atari_scores.csv` is after

_PATH = pathlib.Path(__file__).with_name('atari_scores.csv')
_POINT = ('mean', 'min', 'max', 'seeds')  # over seeds
_CURVES = _PATH.with_name('atari_curves.csv')
_CONTROL = _PATH.with_name('dmc_vision.csv')


class Seeds(NamedTuple):
  """The published seeds of a game.

  The last point is the score after 200 million frames, which has no range and
  no count: NaN.
  """

  frames: np.ndarray  # [points] of the environment
  mean: np.ndarray    # [points] in the game's own points
  low: np.ndarray     # [points] of the seed that was worst there
  high: np.ndarray    # [points] of the best one
  count: np.ndarray   # [points] of seeds


@functools.cache
def games() -> tuple[str, ...]:
  """Returns the names of the 55 games: tuple of str, in snake case, sorted."""
  return tuple(sorted(_table()))


def scores(column: str) -> dict[str, float]:
  """Returns the published score of every game.

  Args:
    column: One of `METHODS` or `REFERENCES`.

  Returns:
    Dict from game to float, in the game's own points.

  Raises:
    ValueError: If there is no such column.
  """
  check('method', column, METHODS + REFERENCES)
  return {game: float(row[column]) for game, row in _table().items()}


@functools.cache
def curves() -> dict[str, Seeds]:
  """Returns the published learning curve of every game.

  The last point, after 200 million frames, is the score `dreamerv2`: its mean
  counts seeds that ended earlier by their last return.
  """
  end = {
      game: [END, float(row['dreamerv2']), np.nan, np.nan, np.nan]
      for game, row in _table().items()
  }
  return {
      game: Seeds(*np.array([*points, end[game]]).T)
      for game, points in _points(_CURVES, 'game').items()
  }


@functools.cache
def control_curves() -> dict[str, Seeds]:
  """Returns the published learning curve of every task of DM Control.

  The keys are as `walker_walk`. All points have a range and a count.
  """
  return {task: Seeds(*np.array(points).T)
          for task, points in _points(_CONTROL, 'task').items()}


def _points(path, key):
  """Rows of a table of curves by the column `key`: lists of numbers."""
  found = {}
  with path.open(encoding='utf-8', newline='') as file:
    for row in csv.DictReader(file):
      found.setdefault(row[key], []).append([
          float(row[name]) for name in ('frames', *_POINT)])
  return found


def check(what: str, name: str, known: Iterable[str]) -> None:
  """Refuses a name that is not known, and says which ones are near it.

  Args:
    what: What the name is of.
    name: str.
    known: Sequence of str.

  Raises:
    ValueError: If it is not among them.
  """
  if name in known:
    return
  near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4)
  hint = f'Did you mean {" or ".join(near)}?' if near else (
      f'Known are {", ".join(known)}.'
  )
  raise ValueError(f'There is no {what} {name!r}. {hint}')


@functools.cache
def _table():
  with _PATH.open(encoding='utf-8', newline='') as file:
    return {row['game']: row for row in csv.DictReader(file)}
