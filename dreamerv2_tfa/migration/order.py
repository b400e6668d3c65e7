"""The order in which the published package joins the parts of an observation.

Its encoder joins vectors, and images on their channels, in the order in which
its environment names them; its decoder splits images likewise. This package
takes keys as TensorFlow sorts them. Shapes do not tell the one from the other.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

_FLAG = 'is_first'  # a column of every episode file that is no observation


def of_run(
    files: Sequence[pathlib.Path], keys: Sequence[str] | None,
    joined: Sequence[Sequence[str]],
) -> Any:
  """The order of an old run's keys.

  Its episode files have their columns in the order of what the environment
  returned. That is the order of its space too, but for a dictionary space of
  Gym's, which sorts its keys: its columns come before the flags, where the
  package's own environments put the flags first.

  Args:
    files: Paths of episode files, oldest first.
    keys: Keys in their order as the user gave them, or None.
    joined: List of lists of keys, each joined on one axis.

  Returns:
    List of str, all that is in `joined`.

  Raises:
    ValueError: If the order cannot be known, or is not of these keys.
  """
  wanted = [key for group in joined for key in group]
  if keys is not None:
    if sorted(keys) != sorted(wanted):
      raise ValueError(
          f'--keys names {", ".join(keys)}; the observation has '
          f'{", ".join(wanted)}. Give each of them once, in the order of the '
          "published package's environment."
      )
    return list(keys)
  if all(len(group) < 2 for group in joined):
    return wanted
  several = ', '.join(key for group in joined if len(group) > 1
                      for key in group)
  advice = (
      f'Give the order of {several} in its environment (obs_space): '
      f'--keys={",".join(wanted)}, changed as it was there.'
  )
  if not files:
    raise ValueError(
        'The published package joins observations in the order of its '
        'environment, which its weights do not say, and there are no episodes '
        f'in train_episodes/ to read it from. {advice}'
    )
  with np.load(files[-1], allow_pickle=False) as arrays:
    columns = list(arrays.files)
  order = [key for key in columns if key in wanted]
  shown = [[key for key in order if key in group] for group in joined]
  sorts = any(columns.index(_FLAG) > columns.index(key) for key in order)
  if sorts and any(group != sorted(group) for group in shown):
    raise ValueError(
        f'{pathlib.Path(files[-1])} has {", ".join(order)} in an order that '
        "is not alphabetical, from an environment of Gym's, whose dictionary "
        f'space may have sorted them. {advice}'
    )
  return order


def places(keys: Sequence[str], sizes: Any, order: Sequence[str]) -> Any:
  """Where this package's rows are among those of the published package.

  Args:
    keys: Keys in this package's order.
    sizes: Dict from key to int, rows of each.
    order: Keys in the published package's order; others are not read.

  Returns:
    int64 `[rows]`: `theirs[places]` is in this package's order.
  """
  theirs = [key for key in order if key in keys]
  ends = np.cumsum([0] + [sizes[key] for key in theirs])
  first = dict(zip(theirs, ends[:-1], strict=True))
  return np.concatenate([
      np.arange(sizes[key]) + first[key] for key in keys
  ]).astype(np.int64)
