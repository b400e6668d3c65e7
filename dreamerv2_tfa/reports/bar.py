"""How far an evaluation is: a bar on a terminal, else a line now and then."""

import sys
import time

from rich import console as console_lib
from rich import progress

from dreamerv2_tfa.training import evaluation

_QUIET = 30.0  # seconds between lines, where there is no bar


class Bar:
  """Shows the episodes played and their mean return, on standard error."""

  def __init__(self, episodes: int):
    """Draws nothing yet.

    Args:
      episodes: How many there will be.
    """
    self._episodes, self._spoke = episodes, time.monotonic()
    console = console_lib.Console(stderr=True)
    self._bar = None
    if sys.stderr.isatty() and not console.is_dumb_terminal:
      self._bar = progress.Progress(
          progress.TextColumn('Evaluate'), progress.BarColumn(),
          progress.MofNCompleteColumn(),
          progress.TextColumn('{task.description}'),
          progress.TimeRemainingColumn(), console=console, transient=True,
      )

  def __enter__(self):
    if self._bar:
      self._bar.start()
      self._task = self._bar.add_task('', total=self._episodes)
    return self

  def __exit__(self, *unused):
    if self._bar:
      self._bar.stop()

  def show(self, played: list[evaluation.Episode]) -> None:
    """Shows that these episodes were played."""
    said = ''
    if played:
      said = f'return {evaluation.metrics_of(played)["eval_return"]:,.2f}'
    if self._bar:
      self._bar.update(self._task, completed=len(played), description=said)
    elif time.monotonic() - self._spoke >= _QUIET:
      self.say(
          f'Evaluate: {len(played):,} of {self._episodes:,} episodes'
          f'{said and f", {said}"}.')

  def say(self, text: str) -> None:
    """Prints a line, above the bar where there is one."""
    self._spoke = time.monotonic()
    if self._bar:
      self._bar.console.print(text, highlight=False, markup=False)
    else:
      print(text, file=sys.stderr, flush=True)
