"""What the terminal shows: a bar, or plain lines where there is none."""

import sys
import time

from rich import console
from rich import progress


class Progress:
  """Environment frames, updates, frames a second, return, time left."""

  def __init__(self, total, done):
    """Starts the display.

    Args:
      total: int, environment frames of the whole run.
      done: int, frames of earlier sessions.
    """
    self._total = total
    self._started = time.monotonic()
    self._initial = done
    self._mark = (self._started, done)
    self._return = None
    self._bar = None
    if sys.stdout.isatty():
      self._bar = progress.Progress(
          '{task.description}', progress.BarColumn(),
          '{task.completed:,.0f}/{task.total:,.0f} frames',
          '{task.fields[facts]}', 'left', progress.TimeRemainingColumn(),
          console=console.Console(),
      )
      self._task = self._bar.add_task(
          'train', total=total, completed=done, facts=''
      )
      self._bar.start()

  def phase(self, name):
    """Names the bar after what is going on now, such as 'Prefill'."""
    if self._bar:
      self._bar.update(self._task, description=name)

  def advance(self, frames, updates):
    """Moves the bar; plain output waits for `report`."""
    if self._bar:
      facts = f'{updates:,} updates, {self._overall(frames):,.0f} fps'
      if self._return is not None:
        facts += f', return {self._return:.2f}'
      self._bar.update(self._task, completed=frames, facts=facts)

  def report(self, frames, updates, metrics):
    """Prints a line of numbers; returns frames a second since the last one.

    Args:
      frames: int, environment frames so far.
      updates: int, updates so far.
      metrics: Dict of floats.

    Returns:
      float, environment frames a second since the last report.
    """
    now = time.monotonic()
    then, before = self._mark
    fps = (frames - before) / max(now - then, 1e-9)
    self._mark = (now, frames)
    self._return = metrics.get('train_return', self._return)
    if not self._bar:
      left = (self._total - frames) / max(self._overall(frames), 1e-9)
      facts = [
          f'{frames:,} frames', f'{updates:,} updates', f'{fps:,.0f} fps',
          *(f'{key} {metrics[key]:.3g}' for key in _SHOWN if key in metrics),
          f'{left / 60:.0f} min left',
      ]
      self.say(' | '.join(facts))
    return fps

  def say(self, text):
    """Prints a line beside the bar."""
    if self._bar:
      self._bar.console.print(text, highlight=False, markup=False)
    else:
      print(text, flush=True)

  def close(self):
    """Ends the display."""
    if self._bar:
      self._bar.stop()

  def _overall(self, frames):
    passed = time.monotonic() - self._started
    return (frames - self._initial) / max(passed, 1e-9)


_SHOWN = (
    'train_return', 'eval_return', 'model_loss', 'actor_ent', 'critic_loss',
)
