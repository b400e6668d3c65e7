"""How many steps to take at once, so that a signal is answered soon."""

from collections.abc import Callable
import time
from typing import Any

_SECONDS = 0.5  # a slice of steps takes about so long
_FEW = 16  # steps that are taken at once while nothing has been measured
_GROWTH = 4  # of a slice, at most, from one to the next


class Pace:
  """Slices of steps that take half a second each, or one step where it is more.

  Ctrl-C waits for the end of a slice: Python answers no signal while TensorFlow
  steps an environment.
  """

  def __init__(self, most: int = 1000):
    """Has measured nothing yet.

    Args:
      most: Steps a slice.
    """
    self._most = most
    self._size, self._each = 0, 0.0  # of the last slice; seconds of a step

  def take(self, function: Callable[[int], Any], left: int) -> Any:
    """Takes a slice of steps.

    Args:
      function: Takes so many steps, an int; what it returns is returned.
      left: Steps that are wanted at most.

    Returns:
      What `function` returned.
    """
    if self._size:
      size = min(int(_SECONDS / self._each), _GROWTH * self._size, self._most)
    else:
      size = left if left <= _FEW else 1
    self._size = max(min(size, left), 1)
    start = time.monotonic()
    result = function(self._size)
    self._each = max((time.monotonic() - start) / self._size, 1e-9)
    return result
