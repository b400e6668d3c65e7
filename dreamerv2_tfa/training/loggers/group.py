"""All loggers of a run as one."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import time
from typing import Any

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training.loggers import logger

_REST = 10.0  # times as long as a failed call took


class Group:
  """Gives each call to each logger; itself a `logger.Logger`.

  An error of a local logger, such as a full disk, ends the run. A remote one
  may fail, which is told once; it is called again when it had a rest, so that
  a server that does not answer takes a tenth of the time at most.
  """

  def __init__(
      self, chosen: Sequence[logger.Chosen], start: logger.Start,
      tell: Callable[[str], None],
  ):
    """Opens the loggers, if `metrics.jsonl` is whole; the remote ones first.

    These refuse more often; then nothing was written. Of the local ones,
    TensorBoard refuses nothing and comes last, by the alphabet.

    Args:
      chosen: Of `loggers.load`.
      start: Of the session.
      tell: Called with a line about a remote logger that fails.

    Raises:
      UserError: If a remote logger cannot be opened.
      ValueError: If a file of a local one is damaged.
    """
    metrics_lib.read(start.folder.metrics)
    members: list[Any] = []
    with contextlib.ExitStack() as stack:
      for each in sorted(
          chosen, key=lambda one: (not one.is_remote, one.name)):
        if each.is_remote:
          member = _Remote(each.name, _opened(each, start), tell)
        else:
          member = each.open(start)
        stack.callback(member.close)
        members.append(member)
      self._stack = stack.pop_all()
    self._members = members[::-1]  # those that end the run come first

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """As `logger.Logger.write`."""
    for each in self._members:
      each.write(step, metrics)

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """As `logger.Logger.film`."""
    for each in self._members:
      each.film(step, films)

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """As `logger.Logger.histograms`."""
    for each in self._members:
      each.histograms(step, arrays)

  def text(self, name: str, markdown: str) -> None:
    """As `logger.Logger.text`."""
    for each in self._members:
      each.text(name, markdown)

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """As `logger.Logger.hparams`."""
    for each in self._members:
      each.hparams(values)

  def sync(self) -> None:
    """As `logger.Logger.sync`."""
    for each in self._members:
      each.sync()

  def close(self) -> None:
    """Closes every logger, also where one raises; a second time, none."""
    self._stack.close()


def _opened(chosen, start):
  """An open remote logger, which has every method."""
  try:
    made = chosen.open(start)
  except Exception as error:
    raise checks.UserError(
        f'The logger {chosen.name!r} cannot be opened '
        f'({type(error).__name__}: {error}). Repair that, or leave it out of '
        'train.loggers.'
    ) from error
  missing = [name for name in logger.METHODS
             if not callable(getattr(made, name, None))]
  if missing:
    raise checks.UserError(
        f'{chosen.name} of train.loggers returned {made!r}, which has no '
        f'method {", ".join(missing)}. A logger has the methods '
        f'{", ".join(logger.METHODS)}; one that it needs not may do nothing.'
    )
  return made


class _Remote:
  """A logger that may fail, which does not end the run."""

  def __init__(
      self, name: str, inside: Any, tell: Callable[[str], None],
      clock: Callable[[], float] = time.monotonic):
    self._name, self._inside, self._tell = name, inside, tell
    self._clock, self._rests_until, self._told = clock, 0.0, False

  def __getattr__(self, method: str) -> Callable[..., None]:
    def call(*arguments):
      begun = self._clock()
      if begun < self._rests_until and method != 'close':
        return
      try:
        getattr(self._inside, method)(*arguments)
      except Exception as error:  # whatever a network, or another's code, has
        now = self._clock()
        self._rests_until = now + _REST * (now - begun)
        self._note(method, error)

    return call

  def _note(self, method, error):
    if self._told:
      return
    self._told = True
    self._tell(
        f'Note: the logger {self._name!r} failed at {method} '
        f'({type(error).__name__}: {error}). The run trains on, and calls it '
        'again later; what it misses is in metrics.jsonl. Further failures are '
        'not told.'
    )
