"""What an export needs of a run: its agent, and an environment to play in."""

from collections.abc import Callable
import os
import shlex
from typing import Any
from typing import NamedTuple

from tf_agents.environments import tf_environment

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import reading
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import parts
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums


class Run(NamedTuple):
  """A run that has been restored; whoever loads it closes the environment."""

  agent: agent_lib.DreamerV2Agent
  environment: tf_environment.TFEnvironment  # one, for evaluation
  described: dict[str, Any]  # what `policy.json` says of the run
  seed: int  # of the run
  checkpoint: str  # path, without endings


def load(
    root_dir: str | os.PathLike, task: task_lib.Task | str | None = None,
    precision: str | None = None, checkpoint: str | None = None,
    make: Callable[
        [task_lib.Task, int], tf_environment.TFEnvironment
    ] = parts.evaluation_environment,
) -> Run:
  """Loads the agent of a run and makes its evaluation environment.

  Args:
    root_dir: The run's folder.
    task: A task with the same specs, or its name, where the run's own was made
      of an object and has no name to make it by. None: the run's.
    precision: '32' to compute in float32 in any case. None: as the run does.
    checkpoint: See `checkpoint_files.chosen`; None: the last one.
    make: Makes the environment of a task and the run's seed.

  Raises:
    ValueError: If there is no run, or no checkpoint of it, or a file of it is
      damaged, or its task cannot be made here or has other specs.
  """
  folder = runs.RunFolder(root_dir, '--root_dir')
  reading.check_kinds(folder.root)
  needed = folder.config, folder.protocol
  if missing := [path.name for path in needed if not path.is_file()]:
    raise ValueError(
        f'There is no run in {folder.root}: it has no file '
        f'{" and no ".join(missing)}. Give the folder that bin/train wrote: '
        '--root_dir=RUN; if it is this one, put back what is missing.'
    )
  latest = (
      checkpoint_files.find(folder.checkpoints) if checkpoint is None
      else checkpoint_files.chosen(folder.checkpoints, checkpoint)
  )
  if latest is None:
    raise ValueError(
        f'The run in {folder.root} has no checkpoint yet. It writes one every '
        'train.save_every steps, at its end, and at Ctrl-C.'
    )
  there = protocol.wanted(folder.protocol)
  sums.check(folder, best=checkpoint == checkpoint_files.BEST)
  evaluation = _last_evaluation(folder)
  with config.isolated():
    config.parse_recorded(folder.config)
    environment = make(_task(folder, there, task), there['seed'])
    try:
      comparison.check_weights(folder, environment)
      agent = runs.restore(folder, latest, there, precision)
    except BaseException:
      batch.close(environment)
      raise
  return Run(agent, environment, {
      'task': there['task'],
      'presets': there['presets'],
      'precision': there['precision'],
      'updates': int(agent.train_step_counter),
      'frames': checkpoint_files.step(latest) * there['action_repeat'],
      'evaluation': evaluation,
  }, there['seed'], latest)


def _task(folder, there, task):
  if task is None:
    return own_task(
        folder, there['task'],
        'Give one of the same specs: --task=module:factory.',
        shlex.quote(f'--task={there["task"]}'),
    )
  return tasks.load(task) if isinstance(task, str) else task


def own_task(
    folder: runs.RunFolder, name: str, way_out: str, own_word: str,
) -> task_lib.Task:
  """The task of a run, by its name.

  Args:
    folder: Of the run.
    name: What the run calls it.
    way_out: How an error ends where no name makes it.
    own_word: How the user gives this name.

  Raises:
    UserError: If it cannot be made by its name, as an object cannot, or would
      import a module that only the folder names.
  """
  if tasks.names_module(name):
    raise checks.UserError(
        f'{folder.protocol} has the task {name!r}, whose module would be '
        'imported and run. If it is yours, or you trust it, give it: '
        f'{own_word}.'
    )
  try:
    return tasks.load(name)
  except checks.UserError as error:
    reason = str(error).partition('. ')[0]
    raise checks.UserError(
        f'The environment of the run in {folder.root} cannot be made by its '
        f'name {name!r} ({reason}). {way_out}'
    ) from error


def _last_evaluation(folder):
  """Frames, return and length of the last evaluation, or None."""
  row = metrics.last_evaluation(folder.metrics)
  return row and {'frames': row['step'], 'return': row['eval_return'],
                  'length': row['eval_length']}
