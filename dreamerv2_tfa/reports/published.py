"""Published Atari scores of 55 games, after 200 million frames.

`atari_scores.csv` restates them, one game a line, all with sticky actions:

- `random`, `human_gamer`: random play and a tester of games, Mnih et al. 2015.
- `human_record`: the world record, as in Toromanoff et al. 2019.
- `dqn_sticky`, `c51_sticky`, `iqn_sticky`, `rainbow_sticky`: the runs published
  with Dopamine, Castro et al. 2018.
- `dreamerv2`: the authors' published runs, Hafner et al. 2020 (arXiv
  2010.02193); `dreamerv2_schedules`: the same with annealed entropy and
  gradient mixing; `seeds`: how many runs these two are means of.
"""

from collections.abc import Iterable
import csv
import difflib
import functools
import pathlib

METHODS = (
    'dreamerv2', 'dreamerv2_schedules', 'rainbow_sticky', 'iqn_sticky',
    'c51_sticky', 'dqn_sticky',
)
REFERENCES = ('random', 'human_gamer', 'human_record')

_PATH = pathlib.Path(__file__).with_name('atari_scores.csv')


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
