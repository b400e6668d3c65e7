"""How far runs are, as their folders say; imports TensorFlow.

`children.ask` calls it in a process of its own. The runs may train meanwhile.
"""

from typing import Any

from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary


def answer(question: list[list]) -> list[dict[str, Any]]:
  """How far runs are.

  Args:
    question: Folder of each, and the agent steps that it shall take; None: as
      many as it has been told before.

  Returns:
    A dict each: `finished`; `frames` of its last line of metrics;
    `eval_return` of its last evaluation or None; `fault`, what cannot be read,
    or None.
  """
  return [_state(runs.RunFolder(root), steps) for root, steps in question]


def _state(folder, steps):
  found = {'finished': False, 'frames': 0, 'eval_return': None, 'fault': None}
  try:
    lines = metrics.read(folder.metrics)
    evaluations = [line for line in lines if 'eval_return' in line]
    if lines:
      found['frames'] = max(line['step'] for line in lines)
    if evaluations:
      found['eval_return'] = float(evaluations[-1]['eval_return'])
    found['finished'] = _is_finished(folder, steps)
  except (ValueError, TypeError, SyntaxError, OSError) as error:
    found['fault'] = ' '.join(str(error).split())
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
