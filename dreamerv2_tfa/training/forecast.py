"""How long a run will take, from what each kind of its work has taken so far.

Phases are 'prefill' (random steps), 'compile' (the first update), 'pretrain'
(updates that no step comes between), 'train' (steps with their updates),
'evaluate', 'save' and 'export'. Random steps say nothing of the others: they
run a hundred times faster.
"""

from collections.abc import Callable
import time

from dreamerv2_tfa.training import timetable as timetable_lib

_STEADY = ('prefill', 'pretrain', 'train')  # counted as they proceed
_END = ('evaluate', 'save', 'export')  # what ends a run, in this order
_HALF_LIFE = 600.0  # seconds of work after which a measurement counts half


class Forecast:
  """Time left of a run, in seconds."""

  def __init__(
      self, timetable: timetable_lib.Timetable, steps: int, updates: int, *,
      evaluates: bool = True, clock: Callable[[], float] | None = None,
  ):
    """Has measured nothing yet.

    Args:
      timetable: Of the run.
      steps: Agent steps of earlier sessions.
      updates: Updates of earlier sessions.
      evaluates: Whether the run plays evaluations.
      clock: Function that returns seconds; None: `time.monotonic`.
    """
    self._timetable = timetable
    self._steps, self._updates = steps, updates
    self._evaluates = evaluates
    self._clock = clock or time.monotonic
    self._phase = None
    self._began = self._mark = self._clock()
    self._pending = [0.0, 0]  # seconds and units of the cycle under way
    self._share = 0.0  # of an evaluation under way
    self._work = {}  # `_Work` by phase
    self._acting = _Work()  # agent steps with the policy
    self._trial = None  # seconds of an update that was tried before the first

  @property
  def phase(self) -> str | None:
    """Name of the phase under way, or None."""
    return self._phase

  @property
  def elapsed(self) -> float:
    """Seconds since the phase began: float."""
    return self._clock() - self._began

  def enter(self, phase: str | None) -> None:
    """Ends the phase under way and begins another one.

    Args:
      phase: Name of the phase; None: none.
    """
    now = self._clock()
    if self._phase in _STEADY:
      self._pending[0] += now - self._mark
      self._commit()
    elif self._phase is not None:
      self._of(self._phase).add(now - self._began, 1, keep=0.5)
    self._phase = phase
    self._began = self._mark = now
    self._pending, self._share = [0.0, 0], 0.0

  def count(self, steps: int, updates: int) -> None:
    """Notes how far the run is.

    Args:
      steps: Agent steps so far.
      updates: Updates so far.
    """
    if self._phase in _STEADY:
      if self._phase == 'pretrain':
        done = updates - self._updates
      else:
        done = steps - self._steps
      now = self._clock()
      if done and self._phase == 'train':
        self._commit()  # these steps begin a cycle, which updates end
      self._pending[0] += now - self._mark
      self._pending[1] += done
      self._mark = now
      if self._phase != 'train':
        self._commit()
    self._steps, self._updates = steps, updates

  def evaluated(self, share: float) -> None:
    """Notes that a share of the evaluation under way is done, in [0, 1]."""
    self._share = share

  def acted(self, seconds: float, steps: int) -> None:
    """Notes what agent steps with the policy have taken."""
    self._acting.add(seconds, steps)

  def tried(self, seconds: float) -> None:
    """Notes what an update took that was tried before the run's first."""
    self._trial = seconds

  def rate(self, phase: str) -> float | None:
    """Seconds a step, an update or an event of a phase; None: unknown."""
    return self._of(phase).each

  def measured(self, phase: str) -> float:
    """Seconds of the phase's work that `rate` stands on: float."""
    return self._of(phase).seconds

  def update_seconds(self) -> float | None:
    """Seconds from one update to the next, steps included; None: unknown."""
    step = self._step_seconds()
    return None if step is None else step * self._timetable.steps_per_update

  def left(self, evaluation_steps: float = 0) -> float | None:
    """Seconds until the run is done; None while that cannot be told.

    Args:
      evaluation_steps: Agent steps of an evaluation, as far as known:
        what it takes until one has been measured.
    """
    timetable = self._timetable
    random = max(timetable.prefill - self._steps, 0)
    train = max(timetable.steps - max(self._steps, timetable.prefill), 0)
    each = self._step_seconds()
    if train and each is None or random and self.rate('prefill') is None:
      return None
    total = random * (self.rate('prefill') or 0.0) + train * (each or 0.0)
    return total + self._backlog() + self._events(evaluation_steps)

  def _step_seconds(self):
    """Seconds of an agent step of 'train', its share of updates included."""
    if self.rate('train') is not None:
      return self.rate('train')
    update = self.rate('pretrain') or self._trial
    if update is None:
      return None
    step = self._acting.each or self.rate('prefill') or 0.0
    return update / self._timetable.steps_per_update + step

  def _backlog(self):
    """Seconds of the updates that are due without another step."""
    if self._phase == 'train':
      return 0.0
    first = max(self._steps, self._timetable.prefill)
    due = max(self._timetable.updates_due(first) - self._updates, 0)
    return due * (self.rate('pretrain') or self.update_seconds() or 0.0)

  def _events(self, evaluation_steps):
    """Seconds of the evaluations, exports and saves that are still due."""
    timetable = self._timetable
    first = max(self._steps, timetable.prefill)
    if self._phase == 'train':  # what the last steps make due comes after them
      first -= self._pending[1]
    cycles = -(-max(timetable.steps - first, 0) // timetable.steps_per_update)
    due = lambda every: min(
        max((timetable.steps - 1) // every - first // every, 0), cycles
    )
    last = _END  # what is still to come of the run's end
    if self._steps >= timetable.steps and self._phase in _END:
      last = _END[_END.index(self._phase) + 1:]
    counts = {
        'evaluate': due(timetable.eval_every),
        'save': due(timetable.save_every),
        'export': due(timetable.eval_every),
    }
    seconds = {name: self.rate(name) or 0.0 for name in _END}
    if self.rate('evaluate') is None:
      seconds['evaluate'] = evaluation_steps * (self._acting.each or 0.0)
    if self._phase in seconds and self.rate(self._phase) is None:
      # The first of its kind, which will take this long at the least.
      seconds[self._phase] = self.elapsed / (self._share or 1.0)
    if not self._evaluates:
      seconds['evaluate'] = 0.0
    total = sum(
        (counts[name] + (name in last)) * seconds[name] for name in _END
    )
    return total + self._under_way(seconds)

  def _under_way(self, seconds):
    """What is left of the event under way."""
    if self._phase == 'evaluate' and self._share > 0:
      return self.elapsed * (1.0 - self._share) / self._share
    return max(seconds.get(self._phase, 0.0) - self.elapsed, 0.0)

  def _of(self, phase):
    return self._work.setdefault(phase, _Work())

  def _commit(self):
    seconds, units = self._pending
    if units:
      self._of(self._phase).add(seconds, units)
      self._pending = [0.0, 0]


class _Work:
  """Seconds and units of one kind of work, the recent ones weighing more.

  Attributes:
    seconds: float, weighted.
  """

  def __init__(self):
    self.seconds, self._units = 0.0, 0.0

  def add(self, seconds, units, keep=None):
    """Adds work; what was before is weighed by `keep`."""
    if keep is None:
      keep = 0.5 ** (seconds / _HALF_LIFE)
    self.seconds = self.seconds * keep + seconds
    self._units = self._units * keep + units

  @property
  def each(self):
    """Seconds a unit: float, or None."""
    return self.seconds / self._units if self._units else None


def duration(seconds: float) -> str:
  """Words for a time: '3 days 4 h', '2 h 5 min', '4 min 10 s', '0.31 s'.

  Args:
    seconds: Not negative.
  """
  if seconds < 9.95:
    return f'{seconds:.2g} s'
  whole = round(seconds)
  minutes, rest = divmod(whole, 60)
  hours, minutes_rest = divmod(round(seconds / 60), 60)
  days, hours_rest = divmod(round(seconds / 3600), 24)
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{minutes} min {rest} s'
  if hours < 24:
    return f'{hours} h {minutes_rest} min'
  if days < 10:
    return f'{days} day{"s" * (days > 1)} {hours_rest} h'
  if days < 2 * 365:
    return f'{days:,} days'
  return f'{days / 365:,.0f} years'
