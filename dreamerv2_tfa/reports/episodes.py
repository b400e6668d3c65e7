"""Episodes as numbers to compare: mean, its error, a table, a CSV file."""

from collections.abc import Sequence
import csv
import io
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa import columns
from dreamerv2_tfa import durable
from dreamerv2_tfa.training import evaluation

FIELDS = (
    'episode', 'return', 'length', 'end', 'environment', 'number', 'seed')


class Played(NamedTuple):
  """Episodes, and what played them."""

  described: dict[str, Any]  # task, checkpoint, policy, seeds, ...
  seeds: Sequence[int | None]  # of each environment, where it has one
  episodes: list[evaluation.Episode]
  wanted: int  # how many were asked for


def interquartile_mean(values: Sequence[float]) -> float:
  """Mean of the middle half (Agarwal et al. 2021).

  Of n values, sorted, floor(n / 4) are left out at each end: SciPy's
  `trim_mean` at 0.25, which rliable takes.

  Args:
    values: At least one.
  """
  cut = len(values) // 4
  return float(np.mean(np.sort(values)[cut:len(values) - cut]))


def standard_error(values: Sequence[float]) -> float | None:
  """Standard deviation (over n - 1) / sqrt(n); None for fewer than two."""
  if len(values) < 2:
    return None
  return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def summary(played: Played) -> dict[str, Any]:
  """What `--json` prints.

  Args:
    played: At least one episode.

  Returns:
    Dict: what was played, how many episodes, and of `return` and `length`
    `mean`, `standard_error`, `interquartile_mean`, `smallest`, `largest`; under
    `ends` how many episodes ended in each way. The mean is in float32, as that
    of a run's evaluations is.
  """
  means = evaluation.metrics_of(played.episodes)
  of = lambda name, values: {
      'mean': means[f'eval_{name}'],
      'standard_error': standard_error(values),
      'interquartile_mean': interquartile_mean(values),
      'smallest': float(min(values)), 'largest': float(max(values)),
  }
  return {
      **played.described, 'episodes': len(played.episodes),
      'return': of('return', [each.returned for each in played.episodes]),
      'length': of('length', [float(each.length) for each in played.episodes]),
      'ends': {
          end: sum(each.end == end for each in played.episodes)
          for end in evaluation.ENDS},
  }


def said(found: dict[str, Any]) -> str:
  """A summary as lines of text: what was played, and a table.

  Args:
    found: Of `summary`.
  """
  number = lambda x: '-' if x is None else f'{x:,.2f}'
  names = (
      'mean', 'standard_error', 'interquartile_mean', 'smallest', 'largest')
  lines = [['', *(name.replace('_', ' ') for name in names)], *(
      [which, *(number(found[which][name]) for name in names)]
      for which in ('return', 'length'))]
  ends = ', '.join(
      f'{count:,} {end}' for end, count in found['ends'].items() if count)
  who = f'Run {found["run"]} at {found["checkpoint"]:,} steps' if (
      'run' in found) else f'Export {found["policy"]}'
  seeds = f'seed {found["seed"]}' if found['seed'] is not None else (
      'the episodes of its last evaluation')
  return (
      f'{who}, {found["task"]}, {found["actions"]} actions, {seeds}, '
      f'{found["environments"]} at once.\n'
      f'{columns.layout(lines, numbers=True)}\n'
      f'{found["episodes"]:,} '
      f'{"episode" if found["episodes"] == 1 else "episodes"}: {ends}.'
  )


def text(played: Played) -> str:
  """The CSV file: a line an episode, in order, with `FIELDS` above."""
  size = len(played.seeds)
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(FIELDS)
  writer.writerows(sorted(
      (each.environment + size * each.number, each.returned, each.length,
       each.end, each.environment, each.number, played.seeds[each.environment])
      for each in played.episodes))
  return file.getvalue()


def write(path: pathlib.Path, played: Played) -> None:
  """Writes `text` to a file, or replaces it."""
  durable.write_text(path, text(played))
