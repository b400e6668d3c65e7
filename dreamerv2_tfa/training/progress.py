"""What the terminal shows: a bar, or plain lines where there is none."""

import sys
import time

from rich import console as console_lib
from rich import live
from rich import text as text_lib

from dreamerv2_tfa.training import forecast as forecast_lib
from dreamerv2_tfa.training import timetable as timetable_lib

_QUIET = 30.0  # seconds without a line, at most, where there is no bar
_SURE = 10.0  # seconds of training after which the whole run is estimated
_LONG = 86400.0  # seconds; a longer run is one for a GPU
_BAR = (8, 40)  # characters of the bar, at least and at most
_SHOWN = (
    'train_return', 'eval_return', 'model_loss', 'actor_ent', 'critic_loss',
)
_NAMES = {
    'prefill': 'Prefill', 'compile': 'Compile', 'pretrain': 'Pretrain',
    'train': 'Train', 'evaluate': 'Evaluate', 'save': 'Save',
    'export': 'Export',
}


class Progress:
  """The phase, its count, its rate, the return and the time left.

  Nothing is drawn before `start`. Whoever works calls `advance` or `beat` every
  few seconds: a line is printed there after half a minute without one.
  """

  def __init__(
      self, timetable: timetable_lib.Timetable, steps: int, updates: int, *,
      repeat: int = 1, evaluates: bool = True, gpu: bool = False,
  ):
    """Prepares the display of a session.

    Args:
      timetable: Of the run.
      steps: Agent steps of earlier sessions.
      updates: Updates of earlier sessions.
      repeat: Environment frames an agent step.
      evaluates: Whether the run plays evaluations.
      gpu: Whether updates run on one.
    """
    self._timetable, self._repeat, self._gpu = timetable, repeat, gpu
    self._steps, self._updates = steps, updates
    self._first_updates = updates
    self.forecast = forecast_lib.Forecast(
        timetable, steps, updates, evaluates=evaluates
    )
    self._mark = (time.monotonic(), steps * repeat)
    self._spoke = time.monotonic()
    self._return = None
    self._evaluation_steps = 0.0
    self._done, self._total, self._began = 0, 0, 0  # of the phase
    self._estimated = False
    self._live = None

  def start(self) -> None:
    """Draws the bar, where the output is a terminal that moves its cursor."""
    console = console_lib.Console()
    if not sys.stdout.isatty() or console.is_dumb_terminal:
      return
    self._live = live.Live(
        console=console, get_renderable=lambda: self._line(console),
        transient=True, refresh_per_second=4, vertical_overflow='crop',
    )
    self._live.start()

  def phase(self, name: str, total: int = 0) -> None:
    """Begins a phase of the run.

    Args:
      name: One of `forecast`'s.
      total: What it counts up to; 0: nothing is counted.
    """
    if name == self.forecast.phase:
      return
    self.forecast.enter(name)
    if name == 'train':
      self._done, self._total = self._updates, self._timetable.updates
    elif name == 'pretrain':
      self._done, self._total = self._updates, total
    else:
      self._done = self._steps if name == 'prefill' else 0
      self._total = total
    self._began = self._done

  def advance(self, steps: int, updates: int) -> None:
    """Notes how far the run is.

    Args:
      steps: Agent steps so far.
      updates: Updates so far.
    """
    self._steps, self._updates = steps, updates
    self.forecast.count(steps, updates)
    if self.forecast.phase == 'prefill':
      self._done = steps
    elif self.forecast.phase in ('pretrain', 'train'):
      self._done = updates
    self._estimate()
    self.beat()

  def tried(self, seconds: float) -> None:
    """Says what the run will take by an update that was tried before it.

    Args:
      seconds: Of that update.
    """
    self.forecast.tried(seconds)
    updates = self._timetable.updates - self._updates
    self.say(estimate(
        updates, seconds, updates * seconds, self._gpu, 'at least '
    ))

  def episodes(self, done: int) -> None:
    """Notes the episodes that the evaluation under way has played: int."""
    if self._total:
      self._done = done
      self.forecast.evaluated(done / self._total)
    self.beat()

  def beat(self) -> None:
    """Prints a line where there was none for half a minute and no bar is."""
    if not self._live and time.monotonic() - self._spoke >= _QUIET:
      self.say(', '.join(self._said()) + '.')

  def report(
      self, frames: int, updates: int, metrics: dict[str, float],
      evaluation_steps: float = 0.0,
  ) -> float:
    """Prints a line of numbers; returns frames a second since the last one.

    Args:
      frames: Environment frames so far.
      updates: Updates so far.
      metrics: Dict of floats.
      evaluation_steps: Agent steps of an evaluation, as far as known.

    Returns:
      float, environment frames a second since the last report.
    """
    now = time.monotonic()
    then, before = self._mark
    fps = (frames - before) / max(now - then, 1e-9)
    self._mark = (now, frames)
    self._return = metrics.get('train_return', self._return)
    self._evaluation_steps = evaluation_steps or self._evaluation_steps
    if not self._live:
      width = len(f'{self._timetable.steps * self._repeat:,}')
      due = len(f'{self._timetable.updates:,}')
      self.say(' | '.join([
          f'{frames:>{width},} frames', f'{updates:>{due},} updates',
          f'{fps:,.0f} fps',
          *(f'{_words(key)} {number(metrics[key])}'
            for key in _SHOWN if key in metrics),
          *self._left(),
      ]))
    return fps

  def say(self, text: str) -> None:
    """Prints a line above the bar."""
    self._spoke = time.monotonic()
    if self._live:
      self._live.console.print(text, highlight=False, markup=False)
    else:
      print(text, flush=True)

  def close(self) -> None:
    """Ends the display; a second time does nothing."""
    if self._live:
      self._live.stop()
      self._live = None
    self.forecast.enter(None)

  def _estimate(self):
    """Says once, soon after training has begun, what the whole will take."""
    if self._estimated or self.forecast.phase != 'train' or (
        self.forecast.measured('train') < _SURE):
      return
    self._estimated = True
    left = self.forecast.left(self._evaluation_steps)
    each = self.forecast.update_seconds()
    assert left is not None and each is not None  # updates were measured
    updates = self._timetable.updates - self._updates
    self.say(estimate(updates, each, left, self._gpu))

  def _left(self):
    """The time left in a list of one; of none where it cannot be told."""
    left = self.forecast.left(self._evaluation_steps)
    return [] if left is None else [f'{forecast_lib.duration(left)} left']

  def _said(self):
    """The phase and what there is to say of it, the first things first."""
    phase = self.forecast.phase or ''
    said = [_NAMES.get(phase, 'Start')]
    unit = {'prefill': 'random steps', 'evaluate': 'episodes'}.get(
        phase, 'updates')
    if self._total:
      said[0] += f': {self._done:,} of {self._total:,} {unit}'
    else:
      said[0] += f': {self.forecast.elapsed:.0f} s'
    if phase == 'prefill' and (each := self.forecast.rate('prefill')):
      said.append(f'{1 / each:,.0f} steps/s')
    if phase == 'train' and (each := self.forecast.update_seconds()):
      said.append(f'{forecast_lib.duration(each)} an update')
    if phase == 'train' and self._return is not None:
      said.append(f'return {number(self._return)}')
    return said + self._left()

  def _line(self, console):
    """The line of the bar, as wide as the terminal and no wider."""
    first, *others = self._said()
    width = console.width - 1
    while others and len('  '.join([first, *others])) > width:
      # The rate goes first, then the return; the time left stays longest.
      others.pop(0)
    line = '  '.join([first, *others])[:width]
    room = min(width - len(line) - 1, _BAR[1])
    if self._total and room >= _BAR[0]:
      full = int(room * min(self._done / self._total, 1.0))
      marks = '#-' if console.options.ascii_only else '━╌'
      bar = marks[0] * full + marks[1] * (room - full)
      line = f'{bar} {line}'
    return text_lib.Text(line, no_wrap=True, overflow='crop', end='')


def estimate(
    updates: int, each: float, seconds: float, gpu: bool, at_least: str = '',
) -> str:
  """A sentence of what a run will take.

  Args:
    updates: How many are left.
    each: Seconds from one to the next.
    seconds: Of all that is left.
    gpu: Whether updates run on one.
    at_least: 'at least ' where something is not counted in `seconds`.
  """
  line = (
      f'Estimate: {updates:,} updates of about '
      f'{forecast_lib.duration(each)} on this machine: '
      f'{at_least}{forecast_lib.duration(seconds)} in all.'
  )
  if seconds > _LONG and not gpu:
    line += (
        ' A run this long is meant for a GPU: on a CPU take a smaller model or '
        'fewer steps, see --help.'
    )
  return line


def number(value: float) -> str:
  """A number for people to read: '3,760', '38.5', '0.0912'."""
  return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def _words(key):
  """A name of metrics.jsonl in words: 'return', 'eval return', 'model loss'."""
  return key.removeprefix('train_').replace('_', ' ')
