"""When to update, report, evaluate and save: all in agent steps."""

from typing import NamedTuple

from dreamerv2_tfa import checks


class Due(NamedTuple):
  """What the loop does after some agent steps."""

  log: bool
  evaluate: bool
  save: bool


class Schedule(NamedTuple):
  """Agent steps; the logs alone count environment frames."""

  steps: int  # in all, prefill included
  prefill: int  # uniformly random ones at the start
  pretrain: int  # updates after prefill, beside the first one
  steps_per_update: int
  log_every: int
  eval_every: int
  save_every: int

  def updates_due(self, steps):
    """Updates that must have run after so many agent steps.

    The first update comes at the end of prefill, `pretrain` more follow it,
    then one every `steps_per_update` (published package).

    Args:
      steps: int, agent steps so far.

    Returns:
      int.
    """
    if steps < self.prefill:
      return 0
    return (
        1 + self.pretrain + (steps - self.prefill) // self.steps_per_update
    )

  def due(self, before, now):
    """What is due when the agent steps have gone from `before` to `now`.

    The last step of a run is left to its end, which evaluates and saves.

    Args:
      before: int, agent steps.
      now: int, agent steps.

    Returns:
      `Due`.
    """
    going_on = now < self.steps
    return Due(
        log=_crossed(self.log_every, before, now),
        evaluate=going_on and _crossed(self.eval_every, before, now),
        save=going_on and _crossed(self.save_every, before, now),
    )


def make(**numbers):
  """Checks the numbers of a `Schedule` and makes it.

  Args:
    **numbers: The fields, as ints or floats such as 5e7.

  Returns:
    `Schedule`.

  Raises:
    ValueError: If a number is negative, or zero where that means nothing.
  """
  smallest = dict(prefill=0, pretrain=0)
  return Schedule(**{
      name: checks.integer(f'train.{name}', value, smallest.get(name, 1))
      for name, value in numbers.items()
  })


def check_updates(plan):
  """Refuses a run that would end before its first update.

  Args:
    plan: `Schedule` of a run that trains, from its beginning or on.

  Raises:
    UserError: If it has fewer steps than its prefill.
  """
  if plan.steps < plan.prefill:
    raise checks.UserError(
        f'train.steps = {plan.steps:,} is less than train.prefill = '
        f'{plan.prefill:,}: the run would end before its first update. Wanted '
        f'more than {plan.prefill:,} steps: raise train.steps, or lower '
        'train.prefill.'
    )


def _crossed(every, before, now):
  """Whether a multiple of `every` lies in (before, now]."""
  return now // every > before // every
