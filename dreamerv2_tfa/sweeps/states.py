"""How far runs are, as their folders say; imports TensorFlow.

`children.ask` calls it in a process of its own. The runs may train meanwhile.
"""

import functools
import math
from typing import Any

from dreamerv2_tfa.sweeps import wanted
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary

# What reading files raises that say something else than runs write.
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    SyntaxError, OSError, RecursionError, MemoryError)


def answer(question: list[list]) -> list[dict[str, Any]]:
  """How far runs are.

  A run that has saved under other settings than its line's is not counted: all
  but `other` is as if it had not begun.

  Args:
    question: Of each its folder, seed, task, gin files and bindings.

  Returns:
    A dict each: `finished`; `frames` of its last line of metrics;
    `eval_return` of its last evaluation, NaN where it was not finite, or None;
    `other`, the settings that are not those of its line; `fault`, what cannot
    be read, or None.
  """
  read = functools.cache(wanted.read)  # the seeds of a variation share it
  return [_state(runs.RunFolder(root), line, read) for root, *line in question]


def _state(folder, line, read):
  found = {'finished': False, 'frames': 0, 'eval_return': None, 'other': [],
           'fault': None}
  try:
    saved = checkpoint_files.steps_of(folder.checkpoints, ('index',))
    if saved:
      seed, task, files, bindings = line
      here = read(
          task, tuple(files), tuple(bindings), wanted.chosen(folder, task))
      found['other'] = wanted.differences(
          folder, {**here.bound, 'train.seed': str(seed)})
      if found['other']:
        return found
      found['finished'] = summary.is_finished(
          folder, saved[-1], here.steps, here.eval_episodes)
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
