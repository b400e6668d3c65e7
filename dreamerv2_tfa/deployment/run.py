"""From a run's folder to its agent, as the last checkpoint has it."""

import contextlib
from typing import NamedTuple

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import train  # noqa: F401, gin must know it all

_PRECISIONS = {'mixed_float16': '16', 'mixed_bfloat16': 'bf16', 'float32': '32'}


class Run(NamedTuple):
  """A run that has been restored."""

  parts: parts_lib.Parts
  facts: dict  # of the run, for `policy.json`


def load(root_dir, task=None, precision=None):
  """Builds the agent of a run and restores its weights.

  What gin had bound is forgotten.

  Args:
    root_dir: Path of the run's folder.
    task: Name of a task with the same specs, where the run's own was made of
      an object and has no name to make it by. None: the run's.
    precision: '32' to compute in float32 in any case. None: as the run does.

  Returns:
    `Run`.

  Raises:
    ValueError: If there is no run, or no checkpoint of it, or a file of it is
      damaged, or its task cannot be made here or has other specs.
  """
  root_dir = checks.folder('--root_dir', root_dir)
  config = root_dir / 'operative_config.gin'
  protocol_file = root_dir / 'protocol.json'
  if not (config.is_file() and protocol_file.is_file()):
    raise ValueError(
        f'There is no run in {root_dir}: operative_config.gin and '
        'protocol.json are missing. Give the folder that bin/train wrote: '
        '--root_dir=RUN.'
    )
  if checkpoints.find(root_dir) is None:
    raise ValueError(
        f'The run in {root_dir} has no checkpoint yet. It writes one every '
        'train.save_every steps, at its end, and at Ctrl-C.'
    )
  facts = protocol.wanted(root_dir)
  evaluation = _last_evaluation(root_dir)
  gin.clear_config()
  protocol.parse_config(root_dir)
  parts = parts_lib.build(
      task or own_task(
          root_dir, facts['task'],
          'Give one of the same specs: --task=module:factory.',
      ), facts['seed'],
      precision or _PRECISIONS[facts['precision']], eager=False, session=0,
  )
  with contextlib.ExitStack() as stack:  # where something raises
    stack.callback(parts_lib.close, parts)
    comparison.check_weights(root_dir, parts)
    checkpoints.Checkpoints(root_dir, agent=parts.agent, steps=parts.steps)
    run = Run(parts, _facts(parts, facts, evaluation))
    stack.pop_all()
  return run


def own_task(root_dir, name, way_out):
  """The `Task` of a run, by its name.

  Args:
    root_dir: Path of the run's folder.
    name: Python string, what the run calls it.
    way_out: Python string, how an error ends.

  Raises:
    UserError: If it cannot be made by its name, as an object cannot.
  """
  try:
    return tasks.load(name)
  except checks.UserError as error:
    reason = str(error).partition('. ')[0]
    raise checks.UserError(
        f'The environment of the run in {root_dir} cannot be made by its name '
        f'{name!r} ({reason}). {way_out}'
    ) from error


def _facts(parts, facts, evaluation):
  return {
      'task': facts['task'],
      'presets': facts['presets'],
      'precision': facts['precision'],
      'updates': int(parts.agent.train_step_counter),
      'frames': int(parts.steps.result()) * parts.task.action_repeat,
      'evaluation': evaluation,
  }


def _last_evaluation(root_dir):
  """Frames, return and length of the last evaluation, or None."""
  last = None
  for row in metrics.read(root_dir):
    if 'eval_return' in row:
      last = {'frames': row['step'], 'return': row['eval_return'],
              'length': row['eval_length']}
  return last
