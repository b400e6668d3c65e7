"""What a logger does: the one interface of all of them."""

from collections.abc import Callable
from typing import NamedTuple
from typing import Protocol

import numpy as np

from dreamerv2_tfa.training import runs


class Logger(Protocol):
  """Shows what a run reports.

  A step is in environment frames, and does not fall within a session. Several
  calls may have the same one: a report, an evaluation and its diagnostics. A
  method does nothing where a logger cannot show such a thing; each has to be
  there.
  """

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Takes the metrics of a report, of an evaluation, or its diagnostics.

    Args:
      step: Environment frames.
      metrics: Numbers by name, which may be infinite or NaN; the `eval_return`
        of an evaluation is among its own.
    """
    ...

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Takes the films of the evaluation that was written last.

    Args:
      step: Environment frames.
      films: By name, uint8 `[frames, height, width, 1 or 3]`.
    """
    ...

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Takes numbers to be shown as histograms, of what was written last.

    Args:
      step: Environment frames.
      arrays: By name, floats `[N]`, which may be infinite or NaN.
    """
    ...

  def text(self, name: str, markdown: str) -> None:
    """Takes a text about the run, in Markdown.

    Each session sends them at its start.

    Args:
      name: 'operative_config', 'protocol'.
      markdown: The text, in place of an earlier one of this name.
    """
    ...

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Takes the settings of the run that are plain values; when `text` is.

    Args:
      values: By name, such as 'train.batch_size'.
    """
    ...

  def sync(self) -> None:
    """Makes what was written outlive the process; after each save."""
    ...

  def close(self) -> None:
    """Ends the session; called once."""
    ...


METHODS = tuple(name for name in vars(Logger) if not name.startswith('_'))


class Start(NamedTuple):
  """Where a session of a run begins."""

  folder: runs.RunFolder  # of the run; it exists
  step: int  # environment frames that the run resumes at; 0 for a new one
  reported: int  # frames at the last report that it knows of, up to `step`
  evaluated: int  # frames at the last evaluation that it knows of, likewise


class Chosen(NamedTuple):
  """A logger that a run will open."""

  name: str  # as in train.loggers
  open: Callable[[Start], Logger]
  is_remote: bool  # whether a run trains on where it fails


def finite(array: np.ndarray) -> np.ndarray:
  """The numbers of an array that are neither infinite nor NaN, float `[M]`."""
  flat = np.ravel(array)
  return flat[np.isfinite(flat)]
