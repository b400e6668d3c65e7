"""Functions of the user's own that are told what a run has done.

    def stop_early(event):
      if event.kind == 'evaluation' and event.metrics['eval_return'] > 4.5:
        event.stop('it catches every ball')

    dreamerv2_tfa.train('catch', root_dir='runs/catch', callbacks=[stop_early])

or `train.callbacks = ('my_module:stop_early',)` in a gin file.
"""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import own


class Event(NamedTuple):
  """What a run has done, which it has saved by then.

  An exception of a callback therefore ends the run and loses nothing: Optuna's
  `TrialPruned`, for example.
  """

  kind: str  # 'evaluation'; 'save'; 'end': finished, or stopped
  step: int  # environment frames of the whole run so far
  updates: int  # of the whole run so far
  metrics: dict[str, float]  # of an evaluation, as in metrics.jsonl; else empty
  root_dir: pathlib.Path  # of the run
  stop: Callable[[str], None]  # ends the run, for a reason that is shown


Callback = Callable[[Event], object]


def load(names: Sequence[str]) -> list[Callback]:
  """Imports callbacks by their names.

  Args:
    names: `module:function` each. The module is in the working directory or
      installed; importing it runs it.

  Raises:
    UserError: If there is none of this name, or it cannot be called.
  """
  return [
      check(name, own.load('train.callbacks', 'callback', name))
      for name in names]


def check(name: str, function: Callback) -> Callback:
  """Returns a callback that can be called.

  Raises:
    UserError: If it cannot be.
  """
  if not callable(function):
    raise checks.UserError(
        f'{name} must be a function of one event; got {function!r}.')
  return function
