"""Scores that curves are compared with: lines in a figure, and 0 and 1.

They are those of `published` for Atari, and of files such as the published
package's `scores/dmc_baselines.json`.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import re
from typing import Any

import numpy as np

from dreamerv2_tfa.reports import published

_DMC = 1000.0  # largest return of an episode


def of_tasks(tasks: Iterable[str], given: Any) -> dict[str, dict[str, float]]:
  """Scores by task and name.

  Args:
    tasks: Such as 'atari_pong'; those without a score have an empty dict.
    given: The same of files. `published` wins.
  """
  known = {
      name: published.scores(name)
      for name in (*published.REFERENCES, *published.METHODS)}
  found = {}
  for task in tasks:
    game = task.removeprefix('atari_')
    own = {
        name: scores[game] for name, scores in known.items()
    } if task.startswith('atari_') and game in published.games() else {}
    found[task] = {**given.get(task, {}), **own}
  return found


def matching(
    patterns: Sequence[str], references: dict[str, dict[str, float]],
) -> list[str]:
  """Names of references that a pattern is found in, in the patterns' order."""
  names = sorted({name for each in references.values() for name in each})
  return list(dict.fromkeys(
      name for pattern in patterns for name in names
      if re.search(pattern, name)))


def key(name: str) -> str:
  """What a reference is called among methods, which may have its name."""
  return f'baseline {name}'


def span(
    task: str, human: str, references: dict[str, dict[str, float]],
) -> tuple[float, float] | None:
  """What is 0 and what is 1 when a task's return is normalised.

  Args:
    task: Such as 'atari_pong'.
    human: 'human_gamer' or 'human_record'.
    references: See `of_tasks`.

  Returns:
    Returns of random play and of the human; 0 and 1000 for DMC; None where
    they are not known.
  """
  own = references.get(task, {})
  if 'random' in own and human in own:
    return own['random'], own[human]
  return (0.0, _DMC) if task.startswith('dmc_') else None


def normalise(ys: Any, span_: tuple[float, float]) -> np.ndarray:
  """Puts returns between random play (0) and a human (1)."""
  low, high = span_
  return (np.asarray(ys) - low) / (high - low)
