"""Values as a run's files have them; they may be anything."""

import ast
from collections.abc import Sequence
import math
from typing import Any

_LONG = 10_000  # characters of a setting, which is not parsed


def number(value: Any) -> float | None:
  """A finite float; None of all else that JSON can hold."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    return None
  try:
    value = float(value)
  except OverflowError:
    return None
  return value if math.isfinite(value) else None


def points(
    rows: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
  """Frames and values of a metric that are finite, by frames."""
  found = []
  for row in rows:
    x, y = number(row['step']), number(row.get(name))
    if x is not None and y is not None:
      found.append((x, y))
  return sorted(found)


def literal(text: str) -> Any:
  """The value of a setting as gin has written it; the text if it is none."""
  try:
    return ast.literal_eval(text) if len(text) < _LONG else text
  except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
    return text
