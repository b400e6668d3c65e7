"""What the terminal says of a run before it begins."""

from collections.abc import Sequence
import os
import pathlib
import shlex
import shutil
import sys
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa import devices
from dreamerv2_tfa import scopes
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import policies
from dreamerv2_tfa.training import presets as presets_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib


def where(
    root: str | os.PathLike, loggers: Sequence[str] = ('tensorboard',),
) -> str:
  """The run's folder and, for TensorBoard, the command that watches it."""
  root_dir = os.path.abspath(root)
  if 'tensorboard' not in loggers:
    return f'Run folder: {root_dir}'
  program = shutil.which('tensorboard')
  if program is None:  # the one beside this Python, which is not on the PATH
    beside = pathlib.Path(sys.executable).with_name('tensorboard')
    program = shlex.quote(str(beside)) if beside.exists() else 'tensorboard'
  else:
    program = 'tensorboard'
  return (
      f'Run folder: {root_dir}\n'
      f'Watch it:   {program} --logdir {shlex.quote(str(root_dir))}'
  )


def print_start(
    folder: runs.RunFolder, described: dict[str, Any], loggers: Sequence[str],
) -> None:
  """Prints where a run is and, where it is resumed, what has changed.

  Args:
    folder: Of the run.
    described: Of `protocol.describe`.
    loggers: Names, as in `train.loggers`.
  """
  lines = [where(folder.root, loggers), *comparison.notes(folder, described)]
  print('\n'.join(lines), flush=True)


def is_finished(
    folder: runs.RunFolder, resumed_steps: int | None, steps: int,
    eval_episodes: int,
) -> bool:
  """Whether a run has nothing left to do.

  A run whose last evaluation or export was stopped is not finished.

  Args:
    folder: Of the run.
    resumed_steps: Agent steps at its last checkpoint; None where it begins.
    steps: Agent steps that are wanted.
    eval_episodes: Of an evaluation; 0: there is none.
  """
  if resumed_steps is None or resumed_steps < steps:
    return False
  repeat = (protocol.read(folder.protocol) or {}).get('action_repeat', 1)
  evaluated = not eval_episodes or any(
      'eval_return' in row and row['step'] >= resumed_steps * repeat
      for row in metrics.read(folder.metrics)
  )
  return evaluated and policies.is_exported(folder.policies, resumed_steps)


def finished(folder: runs.RunFolder, resumed_steps: int, steps: int) -> str:
  """What to say of a finished run.

  Args:
    folder: Of the run.
    resumed_steps: Agent steps at its last checkpoint.
    steps: Agent steps that are wanted.
  """
  return (
      f'The run in {folder.root} is finished: {resumed_steps:,} of {steps:,} '
      f'steps. To train longer: --steps={2 * resumed_steps}'
  )


def describe(
    parts: parts_lib.Parts, settings: settings_lib.Settings,
    presets: Sequence[str],
) -> str:
  """Lines that say what a run is: preset, task, specs, sizes, timetable."""
  agent, timetable = parts.agent, settings.timetable
  repeat, side_by_side = parts.task.action_repeat, parts.environment.batch_size
  observation = specs.flat_observation(agent.time_step_spec.observation)
  counts = protocol.parameter_counts(agent)
  sides = (
      f', {side_by_side} environments side by side' if side_by_side > 1 else ''
  )
  repeated = f' = {timetable.steps * repeat:,} frames' if repeat > 1 else ''
  lines = [
      presets_lib.said(presets, agent.time_step_spec.observation),
      f'Task {parts.task.name}: {_frames(repeat)} an agent step{sides}.',
      *(f'Observation {name}: {spec.dtype.name} {spec.shape.as_list()}.'
        for name, spec in observation.items()),
      *(f'Note: {line}' for line in getattr(
          batch.adapted(parts.evaluation_environment), 'warnings', ())),
      f'Action: {_action(agent.action_spec)}.',
      f'Parameters: world model {counts["world_model"]:,}, actor '
      f'{counts["actor"]:,}, critic {counts["critic"]:,}; {parts.precision}.',
      *(f'Note: {line}' for line in [devices.unused_gpu()] if line),
      f'Schedule: {timetable.steps:,} agent steps{repeated}, the first '
      f'{timetable.prefill:,} at random; {timetable.updates:,} updates '
      f'of {settings.batch_size} x {settings.sequence_length} rows, '
      f'{1 + timetable.pretrain} of them at once, then one every '
      f'{timetable.steps_per_update} steps.',
      f'A line every {timetable.log_every:,} steps, a save every '
      f'{timetable.save_every:,}, an evaluation every '
      f'{timetable.eval_every:,}.',
  ]
  return '\n'.join(lines)


def _frames(count):
  return f'{count} environment frame{"s" * (count > 1)}'


def _action(spec):
  """An action's spec in words."""
  low, high = spec.minimum.min(), spec.maximum.max()
  if spec.dtype.is_integer and not spec.shape.rank:
    return f'one of {high - low + 1}, from {low} to {high}'
  return f'{spec.dtype.name} {spec.shape.as_list()} from {low} to {high}'


def print_unused(
    folder: runs.RunFolder, task: str | task_lib.Task | None,
) -> None:
  """Prints the bindings that nothing has read, which may be a mistake.

  A binding that the run had before is no mistake: another setting may have left
  it unread now.

  Args:
    folder: Of the run.
    task: Name of the task, or a `Task`: that takes the place of its name, and
      of the loader of its suite, whose settings a preset has nevertheless.
  """
  ours = {'train.task', *config.recorded(folder.config)}
  loaders = ('load_',) if isinstance(task, task_lib.Task) else ()
  unused = [
      name for name in config.unused()
      if name not in ours and not name.startswith(loaders)
  ]
  if not unused:
    return
  known = set(config.as_dict(config.operative()))
  known |= {
      f'{part}/{name}' for name in known
      for part in scopes.PARTS.get(name.partition('.')[0], ())}
  meant = ''.join(
      f' For {name}, did you mean {" or ".join(near)}?'
      for name in unused if name not in known
      and (near := checks.near(name, known)))
  print(f'Note: nothing here reads the bindings {", ".join(unused)}.{meant}')
