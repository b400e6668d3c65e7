"""A run's folder: what may be written there, and what is there."""

import os
import pathlib
import shlex
import shutil
import sys
import tempfile

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa import scopes
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import protocol


def check_writable(root_dir):
  """Refuses a folder that cannot be made or written; leaves nothing.

  Args:
    root_dir: Path of the run's folder, which need not exist.

  Raises:
    ValueError: If nothing can be written there.
  """
  path = pathlib.Path(root_dir).expanduser().absolute()
  nearest = path
  try:
    while not nearest.exists():
      nearest = nearest.parent
    with tempfile.TemporaryFile(dir=nearest):
      pass
  except OSError as error:
    raise ValueError(
        f'The root directory {path} cannot be written ({error.strerror}: '
        f'{nearest}). Give another with --root_dir=DIR.'
    ) from error


def saved_steps(root_dir):
  """Agent steps at the folder's last checkpoint: int, 0 without one.

  Raises:
    ValueError: If the checkpoint is damaged.
  """
  latest = checkpoints.find(root_dir)
  return checkpoints.step(latest) if latest else 0


def resumed_steps(root_dir):
  """Agent steps at which a run resumes; None where it begins.

  A run that was killed before its first save has neither rows nor checkpoints:
  a new one begins in its place, and that is printed.

  Args:
    root_dir: Path of the run's folder, which need not exist.

  Raises:
    ValueError: If the checkpoint is damaged, or is missing where a run that
      begins would write over rows or parts of a checkpoint.
  """
  root_dir = pathlib.Path(root_dir)
  latest = checkpoints.find(root_dir)
  if latest is not None:
    return checkpoints.step(latest)
  left = [
      pattern for pattern in ('replay/*.npz', 'checkpoints/ckpt-*.*')
      if any(root_dir.glob(pattern))
  ]
  if left:
    raise ValueError(
        f'The folder {root_dir} has no checkpoint, but {" and ".join(left)} of '
        'a run. To resume it, put back what is missing in checkpoints/; to '
        'begin at step 0, move these files away or take another --root_dir.'
    )
  metrics = root_dir / 'metrics.jsonl'
  if metrics.exists() and metrics.stat().st_size:
    print(
        f'Note: the run in {root_dir} saved no checkpoint; a new one begins at '
        'step 0. The lines in metrics.jsonl stay, marked as superseded.'
    )
  return None


def where(root_dir):
  """Two lines for whoever starts a run: its folder, and how to watch it."""
  root_dir = os.path.abspath(root_dir)
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


def tell(root_dir, parts, presets, seed):
  """Prints where a run is and, where it is resumed, what has changed.

  Args:
    root_dir: Path of the run's folder.
    parts: `Parts` of the run.
    presets: Names of the gin files.
    seed: int.
  """
  facts = protocol.describe(parts, presets, seed)
  lines = [where(root_dir), *comparison.notes(root_dir, facts)]
  print('\n'.join(lines), flush=True)


def tell_finished(root_dir, resumed, steps, eval_episodes):
  """Says so where a run has nothing left to do.

  A run whose last evaluation or export was stopped is not finished.

  Args:
    root_dir: Path of the run's folder.
    resumed: int, agent steps at its last checkpoint; None where it begins.
    steps: int, agent steps that are wanted.
    eval_episodes: int, episodes of an evaluation; 0: there is none.

  Returns:
    bool, whether it is finished.
  """
  if resumed is None or resumed < steps:
    return False
  root_dir = pathlib.Path(root_dir)
  facts = protocol.read(root_dir) or {}
  exported = (root_dir / 'policies' / 'greedy').is_dir()
  frames = resumed * facts.get('action_repeat', 1)
  evaluated = not eval_episodes or any(
      'eval_return' in row and row['step'] >= frames
      for row in metrics_lib.read(root_dir)
  )
  if not exported or not evaluated:
    return False
  print(
      f'The run in {root_dir} is finished: {resumed:,} of {steps:,} steps. To '
      f'train longer: --steps={2 * resumed}'
  )
  return True


def describe(parts, plan, batch_size, sequence_length):
  """Lines that say what a run is: task, specs, sizes, schedule.

  Args:
    parts: `Parts`.
    plan: `Schedule`.
    batch_size: int B.
    sequence_length: int T.

  Returns:
    str.
  """
  agent = parts.agent
  repeat, rows = parts.task.action_repeat, parts.environment.batch_size
  observation = specs.flat_observation(agent.time_step_spec.observation)
  counts = protocol.parameter_counts(agent)
  sides = f', {rows} environments side by side' if rows > 1 else ''
  repeated = f' = {plan.steps * repeat:,} frames' if repeat > 1 else ''
  lines = [
      f'Task {parts.task.name}: {_frames(repeat)} an agent step{sides}.',
      *(f'Observation {name}: {spec.dtype.name} {spec.shape.as_list()}.'
        for name, spec in observation.items()),
      *(f'Note: {line}' for line in getattr(
          batch.adapted(parts.evaluation_environment), 'warnings', ())),
      f'Action: {_action(agent.action_spec)}.',
      f'Parameters: world model {counts["world_model"]:,}, actor '
      f'{counts["actor"]:,}, critic {counts["critic"]:,}; {parts.precision}.',
      f'Schedule: {plan.steps:,} agent steps{repeated}, the first '
      f'{plan.prefill:,} at random; {plan.updates_due(plan.steps):,} updates '
      f'of {batch_size} x {sequence_length} rows, {1 + plan.pretrain} of them '
      f'at once, then one every {plan.steps_per_update} steps.',
      f'A line every {plan.log_every:,} steps, a save every '
      f'{plan.save_every:,}, an evaluation every {plan.eval_every:,}.',
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


def unused_bindings():
  """Names of gin bindings that nothing has read so far: sorted list of str."""
  bound = set(comparison.bindings(gin.config_str()))

  def binding(name):
    """The binding that a value was read from: of the innermost scope."""
    *scope, selector = name.split('/')
    tries = ['/'.join([*scope[:i], selector]) for i in range(len(scope) + 1)]
    return next((each for each in reversed(tries) if each in bound), None)

  return sorted(bound - {
      binding(name) for name in comparison.bindings(gin.operative_config_str())
  })


def warn_unused(root_dir, task):
  """Prints the bindings that nothing has read, which may be a mistake.

  What the run had before is none, where another setting leaves it unread now.

  Args:
    root_dir: Path of the run's folder.
    task: Name of the task, or a `Task`: that takes the place of its name, and
      of the loader of its suite, whose settings a preset has nevertheless.
  """
  ours = {'train.task', *comparison.recorded_bindings(root_dir)}
  loaders = ('load_',) if isinstance(task, task_lib.Task) else ()
  unused = [
      name for name in unused_bindings()
      if name not in ours and not name.startswith(loaders)
  ]
  if not unused:
    return
  known = set(comparison.bindings(gin.operative_config_str()))
  known |= {
      f'{part}/{name}' for name in known
      for part in scopes.PARTS.get(name.partition('.')[0], ())}
  meant = ''.join(
      f' For {name}, did you mean {" or ".join(near)}?'
      for name in unused if name not in known
      and (near := checks.near(name, known)))
  print(f'Note: nothing here reads the bindings {", ".join(unused)}.{meant}')


def record(root_dir, parts, presets, seed, replay_capacity):
  """Writes `operative_config.gin` and `protocol.json`.

  Args:
    root_dir: Path of the run's folder; made if it does not exist.
    parts: `Parts` of the run.
    presets: Names of the gin files.
    seed: int.
    replay_capacity: int, rows in memory; gin has what was asked for.
  """
  facts = protocol.describe(parts, presets, seed)
  facts['replay_capacity'] = replay_capacity
  protocol.write(root_dir, facts)
