"""How far runs are, as their folders say; imports TensorFlow.

`children.ask` calls it in a process of its own. The runs may train meanwhile.
"""

import math
from typing import Any

from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary

# What reading files raises that say something else than runs write.
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    SyntaxError, OSError, RecursionError, MemoryError)


def answer(question: list[list]) -> list[dict[str, Any]]:
  """How far runs are.

  Args:
    question: Folder of each, and the agent steps that it shall take; None: as
      many as it has been told before.

  Returns:
    A dict each: `finished`; `frames` of its last line of metrics;
    `eval_return` of its last evaluation, NaN where it was not finite, or None;
    `fault`, what cannot be read, or None.
  """
  return [_state(runs.RunFolder(root), steps) for root, steps in question]


def _state(folder, steps):
  found = {'finished': False, 'frames': 0, 'eval_return': None, 'fault': None}
  try:
    found['finished'] = _is_finished(folder, steps)
    found.update(_reached(folder))
  except _DAMAGE as error:
    found['fault'] = f'{type(error).__name__}: {" ".join(str(error).split())}'
  return found


def _reached(folder):
  """Frames and the last return, as the metrics say."""
  lines = metrics.read(folder.metrics)
  found = {'frames': max((line['step'] for line in lines), default=0)}
  returns = [line['eval_return'] for line in lines if 'eval_return' in line]
  if returns:  # JSON has null for what is not finite
    last = math.nan if returns[-1] is None else float(returns[-1])
    found['eval_return'] = last if math.isfinite(last) else math.nan
  return found


def _is_finished(folder, steps):
  """As `bin/train` would say it, which reads its checkpoint as well."""
  saved = checkpoint_files.steps_of(folder.checkpoints, ('index',))
  recorded = lambda name: config.recorded_value(folder.config, name)
  wanted = recorded('train.steps') if steps is None else steps
  episodes = recorded('train.eval_episodes')
  if wanted is None or episodes is None or not saved:
    return False
  return summary.is_finished(folder, saved[-1], wanted, episodes)
