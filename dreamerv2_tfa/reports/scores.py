"""Atari scores in one number: published methods, and a run of one's own.

`python -m dreamerv2_tfa.reports.scores` prints the published methods;
`--scores=FILE.csv`, with the columns game and score, adds one's own.

A score x of one game is put between random play r and a human h,

  (x - r) / (h - r),

where h is a professional gamer or the human world record. Over the games:
median and mean of the first, mean of the second, and mean of the second with
each game cut at 1 (DreamerV2 paper: the one that no single game decides).
"""

import csv
import math
import os
import pathlib
import sys
from typing import Any
from typing import NamedTuple

from absl import app
from absl import flags
from absl import logging
import numpy as np

from dreamerv2_tfa import columns
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references
from dreamerv2_tfa.reports import reliable

_SCORES = flags.DEFINE_string(
    'scores', None, 'CSV file of your own scores: columns game and score.'
)
_INTERVALS = flags.DEFINE_bool(
    'intervals', True, 'Add the interquartile mean with its interval (rliable).'
)


class Aggregates(NamedTuple):
  """A method over all games, each number a share of the human's points."""

  gamer_median: float
  gamer_mean: float
  record_mean: float
  clipped_record_mean: float  # each game cut at 1 from above


class Interval(NamedTuple):
  """An interquartile mean: of the games between the quarters."""

  mean: float
  low: float   # of the interval over games
  high: float


def normalise(scores: dict[str, float], human: str) -> np.ndarray:
  """Puts scores between random play (0) and a human (1).

  Args:
    scores: Dict from game to float, in the game's own points; any games.
    human: 'human_gamer' or 'human_record'.

  Returns:
    float64 `[games]`, in the order of `scores`.

  Raises:
    ValueError: If a game is not known, or there is none.
  """
  if not scores:
    raise ValueError('There are no scores: got none, wanted one game or more.')
  for game in scores:
    published.check('game', game, published.games())
  low, high = published.scores('random'), published.scores(human)
  return np.array([
      references.normalise(score, (low[game], high[game]))
      for game, score in scores.items()
  ])


def aggregate(scores: dict[str, float]) -> Any:
  """Reduces scores to four numbers: `Aggregates`; arguments as `normalise`."""
  gamer = normalise(scores, 'human_gamer')
  record = normalise(scores, 'human_record')
  return Aggregates(
      float(np.median(gamer)), float(np.mean(gamer)), float(np.mean(record)),
      float(np.mean(np.minimum(record, 1.0))),
  )


def interquartile_mean(
    scores: dict[str, float], *, resamples: int = 2000, seed: int = 0,
) -> Any:
  """Interquartile mean of gamer-normalised scores (Agarwal et al. 2021).

  There is one score a game, so games are what is drawn again: the interval
  says how much the mean hangs on the choice of games, not on the seeds.

  Args:
    scores: Dict from game to float, in the game's own points.
    resamples: Of the bootstrap.
    seed: The same one gives the same interval.

  Returns:
    `Interval`, of 95%.

  Raises:
    ImportError: If rliable is not installed.
  """
  games = normalise(scores, 'human_gamer')[None]  # [runs = 1, games]
  try:
    found = reliable.interquartile_mean(games, resamples=resamples, seed=seed)
  except ValueError as error:
    raise ImportError(f'{error}, or give --nointervals.') from error
  return Interval(*(float(each[0]) for each in found))


def read(path: str | os.PathLike) -> dict[str, float]:
  """Reads one's own scores.

  Args:
    path: CSV file with the columns game (snake case, an `atari_` before it is
      allowed) and score; others are not looked at.

  Returns:
    Dict from game to float.

  Raises:
    ValueError: If it cannot be read; the message names the line.
  """
  scores = {}
  try:
    with pathlib.Path(path).open(encoding='utf-8-sig', newline='') as file:
      rows = csv.DictReader(file)
      if not {'game', 'score'} <= set(rows.fieldnames or ()):
        raise ValueError(
            f'{path} needs a first line with the columns game and score; got '
            f'{rows.fieldnames}.'
        )
      for row in rows:
        game, score = _parse(row, f'{path}, line {rows.line_num}')
        if game in scores:
          raise ValueError(
              f'{path}, line {rows.line_num}: {game} is there twice. Give the '
              'mean over its seeds.'
          )
        scores[game] = score
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
  if not scores:
    raise ValueError(f'{path} has no line with a game and a score.')
  return scores


def _parse(row, place):
  game = (row['game'] or '').strip().removeprefix('atari_')
  try:
    published.check('game', game, published.games())
  except ValueError as error:
    raise ValueError(f'{place}: {error}') from error
  try:
    score = float(row['score'])
  except (TypeError, ValueError):
    score = math.nan
  if not math.isfinite(score):
    raise ValueError(
        f'{place}: the score of {game} is {row["score"]!r}; wanted a finite '
        'number.'
    )
  return game, score


def table(methods: Any, *, intervals: bool = True) -> str:
  """Lays methods out as lines of text.

  Args:
    methods: Dict from name to scores.
    intervals: Add the interquartile mean and its interval.
  """
  names = ['gamer median', 'gamer mean', 'record mean', 'clipped record mean']
  lines = [['', *names] + ['gamer IQM (95%, over games)'] * intervals]
  for name, scores in methods.items():
    line = [name] + [f'{x:.2f}' for x in aggregate(scores)]
    if intervals:
      line.append('{:.2f} ({:.2f} to {:.2f})'.format(
          *interquartile_mean(scores)
      ))
    lines.append(line)
  return columns.layout(lines, numbers=True)


def report(
    path: str | os.PathLike | None = None, *, intervals: bool = True,
) -> str:
  """The table of published methods and, from a file, of one's own scores.

  Methods are compared on the games that the file has.

  Args:
    path: A CSV file, or None.
    intervals: As in `table`.
  """
  methods = {name: published.scores(name) for name in published.METHODS}
  if path is None:
    return table(methods, intervals=intervals)
  own, all_games = read(path), published.games()
  methods = {'yours': own} | {
      name: {game: scores[game] for game in own}
      for name, scores in methods.items()
  }
  lines = table(methods, intervals=intervals)
  missing = [game for game in all_games if game not in own]
  if missing:
    lines += (
        f'\nAll on the {len(own)} games of {os.path.basename(path)}; '
        f'{len(missing)} of {len(all_games)} are missing: {", ".join(missing)}.'
    )
  return lines


def _main(argv):
  if argv[1:]:
    sys.exit(f'Error: unknown argument {argv[1]!r}. Take --scores=FILE.csv.')
  logging.set_verbosity(logging.ERROR)  # rliable tells each of its steps
  try:
    print(report(_SCORES.value, intervals=_INTERVALS.value))
  except (ValueError, ImportError) as error:
    sys.exit(f'Error: {error}')


if __name__ == '__main__':
  app.run(_main)
