"""What is due when: updates, reports, evaluations, saves, in agent steps."""

from typing import NamedTuple

from dreamerv2_tfa import checks


class Due(NamedTuple):
  """What the loop does after some agent steps."""

  log: bool
  evaluate: bool
  save: bool


class Timetable(NamedTuple):
  """Everything in agent steps; the logs alone count environment frames."""

  steps: int  # in all, prefill included
  prefill: int  # uniformly random ones at the start
  pretrain: int  # updates after prefill, beside the first one
  steps_per_update: int
  log_every: int
  eval_every: int
  save_every: int

  @property
  def updates(self) -> int:
    """Updates of the whole run."""
    return self.updates_due(self.steps)

  def updates_due(self, steps: int) -> int:
    """Updates that must have run after so many agent steps.

    The first update comes at the end of prefill, `pretrain` more follow it,
    then one every `steps_per_update` (published package).
    """
    if steps < self.prefill:
      return 0
    return (
        1 + self.pretrain + (steps - self.prefill) // self.steps_per_update
    )

  def next_update(self, steps: int) -> int:
    """The next agent step after `steps` at which an update may be due."""
    return steps + self.steps_per_update - (
        (steps - self.prefill) % self.steps_per_update
    )

  def due(self, before: int, now: int) -> Due:
    """What is due when the agent steps have gone from `before` to `now`.

    The last step of a run ends it, which evaluates and saves in any case.
    """
    unfinished = now < self.steps
    return Due(
        log=_crossed(self.log_every, before, now),
        evaluate=unfinished and _crossed(self.eval_every, before, now),
        save=unfinished and _crossed(self.save_every, before, now),
    )


def make(**numbers: float) -> Timetable:
  """Checks the numbers of a `Timetable` and makes it.

  Args:
    **numbers: The fields, as whole numbers or floats such as 5e7.

  Raises:
    ValueError: If a number is negative, or zero where that means nothing.
  """
  smallest = dict(prefill=0, pretrain=0)
  return Timetable(**{
      name: checks.integer(f'train.{name}', value, smallest.get(name, 1))
      for name, value in numbers.items()
  })


def check_updates(timetable: Timetable) -> None:
  """Refuses a run that would end before its first update.

  Raises:
    UserError: If it has fewer steps than its prefill.
  """
  if timetable.steps < timetable.prefill:
    raise checks.UserError(
        f'train.steps = {timetable.steps:,} is less than train.prefill = '
        f'{timetable.prefill:,}: the run would end before its first update. '
        f'Wanted more than {timetable.prefill:,} steps: raise train.steps, or '
        'lower train.prefill.'
    )


def _crossed(every, before, now):
  """Whether a multiple of `every` lies in (before, now]."""
  return now // every > before // every
