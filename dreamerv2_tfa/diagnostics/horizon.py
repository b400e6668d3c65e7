"""Errors of a world model by horizon, beside those of simple guesses."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# open_loop  follows the actions taken, without looking
# filtered   looks at each row
# copy       repeats the last row that was looked at
# mean       knows the mean of all windows at that horizon
WAYS = ('open_loop', 'filtered', 'copy', 'mean')


def errors(
    truth: Mapping[str, Any], open_loop: Mapping[str, Any],
    filtered: Mapping[str, Any], last: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
  """Mean squared errors over windows; images in units of their range, 1.

  Args:
    truth: By part, `[N, H, ...]`; uint8 is an image.
    open_loop: What the model foresees, of the same parts and shapes.
    filtered: What it makes of each row after looking at it, likewise.
    last: By part, `[N, ...]`, the last row that was looked at; None leaves
      'copy' out.

  Returns:
    By part, a dict from each of `WAYS` to float64 `[H]`.
  """
  found = {}
  for key, target in truth.items():
    unit = 255.0 if target.dtype in (tf.uint8, np.uint8) else 1.0
    float64 = lambda x, unit=unit: np.asarray(x, np.float64) / unit
    target = float64(target)
    axes = (0, *range(2, target.ndim))
    off = lambda guess, target=target, axes=axes: np.mean(
        (guess - target) ** 2, axes)
    found[key] = {
        'open_loop': off(float64(open_loop[key])),
        'filtered': off(float64(filtered[key])),
        'mean': off(target.mean(0, keepdims=True)),
    }
    if last is not None:
      found[key]['copy'] = off(float64(last[key])[:, None])
  return found


def metrics(
    found: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, float]:
  """Scalars of `errors`, by names that begin with the part.

    <part>_error_1, <part>_error_H   open loop, 1 and H steps ahead
    <part>_against_copy              open loop / copy, of means over horizons
    <part>_against_mean              open loop / mean
    <part>_filtered                  filtered / mean

  A ratio is left out where the guess has no error: nothing changed.
  """
  numbers = {}
  for key, each in found.items():
    steps = len(each['open_loop'])
    for k in sorted({1, steps}):
      numbers[f'{key}_error_{k}'] = float(each['open_loop'][k - 1])
    mean = {way: float(np.mean(each[way])) for way in WAYS}
    for name, above, below in (
        ('against_copy', 'open_loop', 'copy'),
        ('against_mean', 'open_loop', 'mean'), ('filtered', 'filtered', 'mean'),
    ):
      if mean[below] > 0:
        numbers[f'{key}_{name}'] = mean[above] / mean[below]
  return numbers
