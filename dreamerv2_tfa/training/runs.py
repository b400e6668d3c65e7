"""A run's folder: every path in it, and the agent of its last checkpoint."""

import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

from google.protobuf import text_format
import tensorflow as tf
from tensorflow.core.protobuf import struct_pb2
from tf_agents.metrics import tf_metrics
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import quiet
from dreamerv2_tfa import reading
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import precision as precision_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import sums
from dreamerv2_tfa.training import surroundings

_FILES = (  # where training would write them
    'lock', 'replay_server.lock', 'metrics.csv', '*.json', '*.jsonl', '*.gin',
    '*.pbtxt', '*.part',
    'checkpoints/checkpoint', 'checkpoints/ckpt-*.*', 'policies/*.json',
    'train/events.*', 'eval/events.*',
)
_FOLDERS = (
    'checkpoints', 'checkpoints/best', 'policies', 'policies/greedy',
    'policies/collect', 'train', 'eval', 'crash', 'evaluations',
    'replay_server',
)


class RunFolder:
  """The paths of a run's folder, which need not exist.

  Attributes:
    root: The folder.
    config: `operative_config.gin`, every setting that the run has read.
    protocol: `protocol.json`, see `protocol.describe`.
    specs: `specs.pbtxt`, TF-Agents' specs of a `Trajectory` of the run.
    metrics: `metrics.jsonl`, one line a report or evaluation.
    machine: `machine.jsonl`, a line a report: time and memory.
    diagnostics: `diagnostics.jsonl`, a line an evaluation: what it found.
    curves: `diagnostic_curves.json`, curves of the last of these.
    table: `metrics.csv`, the same as one table, if it is asked for.
    train_events: TensorBoard events of training.
    eval_events: TensorBoard events of evaluations.
    checkpoints: Folder of the checkpoints.
    replay: Folder of the stored rows; `replay.json` beside it counts them.
    policies: Folder of the SavedModels `greedy` and `collect`.
    videos: Folder of videos.
    logged: `loggers.json`, which runs of W&B and MLflow are this one.
    mlflow: Folder of MLflow's files, where it has no server.
    wandb: Folder of the files of W&B.
    sums: `sums.json`, checksums of these files, see `sums`.
    crash: Folder of an update that was not finite, see `crash`.
    lock: File that a process locks while it trains here.
    evaluations: Folder of the evaluator's metrics, of a distributed run.
    replay_server: Folder of the replay server's checkpoints, likewise.
    replay_lock: File that the replay server locks.
  """

  def __init__(self, root: str | os.PathLike, name: str = 'root_dir'):
    """Knows the paths; reads and writes nothing.

    Args:
      root: The folder.
      name: What an error calls it.

    Raises:
      UserError: If `root` is no path.
    """
    self.root = checks.folder(name, root)
    self.config = self.root / 'operative_config.gin'
    self.protocol = self.root / 'protocol.json'
    self.specs = self.root / 'specs.pbtxt'
    self.metrics = self.root / 'metrics.jsonl'
    self.machine = self.root / 'machine.jsonl'
    self.diagnostics = self.root / 'diagnostics.jsonl'
    self.curves = self.root / 'diagnostic_curves.json'
    self.table = self.root / 'metrics.csv'
    self.train_events = self.root / 'train'
    self.eval_events = self.root / 'eval'
    self.checkpoints = self.root / 'checkpoints'
    self.replay = self.root / 'replay'
    self.policies = self.root / 'policies'
    self.videos = self.root / 'videos'
    self.logged = self.root / 'loggers.json'
    self.mlflow = self.root / 'mlruns'
    self.wandb = self.root / 'wandb'
    self.sums = self.root / 'sums.json'
    self.crash = self.root / 'crash'
    self.lock = self.root / 'lock'
    self.evaluations = self.root / 'evaluations'
    self.replay_server = self.root / 'replay_server'
    self.replay_lock = self.root / 'replay_server.lock'

  @property
  def evaluated(self) -> 'RunFolder':
    """The folder of what evaluations have found: an evaluator has its own."""
    return RunFolder(self.evaluations) if self.evaluations.is_dir() else self

  def __repr__(self) -> str:
    return f'RunFolder({str(self.root)!r})'

  def check_writable(self) -> None:
    """Refuses a folder that cannot be made or written; leaves nothing.

    Raises:
      ValueError: If nothing can be written there, or it has pipes in it, or
        links that lead out of it.
    """
    reading.check_kinds(
        self.root, writes=True, except_in=self.wandb.name)
    path = self.root.expanduser().absolute()
    nearest = path
    try:
      self._check_kinds()
      while not nearest.exists():
        nearest = nearest.parent
      with tempfile.TemporaryFile(dir=nearest):
        pass
    except OSError as error:
      raise ValueError(
          f'The root directory {path} cannot be written ({error.strerror}: '
          f'{nearest}). Give another with --root_dir=DIR.'
      ) from error

  def _check_kinds(self):
    """Refuses a folder in place of a file, and a file in place of a folder."""
    for patterns, is_right, wanted in (
        (_FILES, pathlib.Path.is_file, 'file'),
        (_FOLDERS, pathlib.Path.is_dir, 'folder')):
      for pattern in patterns:
        wrong = [x for x in self.root.glob(pattern) if not is_right(x)]
        if wrong:
          raise checks.UserError(
              f'{wrong[0]} is no {wanted}, and a run has one there. Move it '
              'away, and put the run\'s own back from a copy if you have one.'
          )

  def recover(self) -> None:
    """Ends what a killed process has begun here, and prints what is lost.

    Only a process that has locked the folder may do so.

    Raises:
      ValueError: If all checkpoints are damaged.
    """
    for path in self.root.glob('*.part'):
      path.unlink()
    for folder in (
        self.crash, self.policies / 'greedy', self.policies / 'collect'):
      durable.recover(folder)
    if checkpoint_files.first_was_cut_off(self.checkpoints):
      print(
          f'Note: the run in {self.root} was killed during its first save; a '
          'new one begins at step 0.'
      )
      shutil.rmtree(self.replay, ignore_errors=True)
      checkpoint_files.remove_first(self.checkpoints)
    for line in checkpoint_files.recover(self.checkpoints):
      print(line)

  def saved_steps(self) -> int:
    """Agent steps at the last checkpoint; 0 without one.

    Raises:
      ValueError: If the checkpoint is damaged.
    """
    latest = checkpoint_files.find(self.checkpoints)
    return checkpoint_files.step(latest) if latest else 0

  def resumed_steps(self) -> int | None:
    """Agent steps at which a run resumes; None where it begins.

    A run that was killed before its first save has neither rows nor
    checkpoints: a new one begins in its place, and that is printed.

    Raises:
      ValueError: If the checkpoint is damaged, or is missing where a run that
        begins would write over rows or parts of a checkpoint.
    """
    latest = checkpoint_files.find(self.checkpoints)
    if latest is not None:
      return checkpoint_files.step(latest)
    left = [
        f'{folder.name}/{pattern}' for folder, pattern in (
            (self.replay, '*.tfrecord'), (self.replay, '*.npz'),
            (self.checkpoints, 'ckpt-*.*'))
        if any(folder.glob(pattern))
    ]
    if left:
      raise ValueError(
          f'The folder {self.root} has no checkpoint, but {" and ".join(left)} '
          'of a run. To resume it, put back what is missing in checkpoints/; '
          'to begin at step 0, move these files away or take another '
          '--root_dir.'
      )
    if self.metrics.exists() and self.metrics.stat().st_size:
      print(
          f'Note: the run in {self.root} saved no checkpoint; a new one begins '
          'at step 0. The lines in metrics.jsonl stay, marked as superseded.'
      )
    return None

  def record(
      self, described: dict[str, Any], data_spec: Any,
  ) -> None:
    """Writes configuration, protocol and specs, each file at once.

    Args:
      described: Of `protocol.describe`.
      data_spec: The agent's `collect_data_spec`.
    """
    self.root.mkdir(parents=True, exist_ok=True)
    files = sums.Sums(self)
    files.begin(*sums.settings(self))
    for path, text in (
        (self.config, config.operative()),
        (self.protocol, json.dumps(described, indent=2) + '\n'),
    ):
      durable.write_text(path, text)
    fresh = self.specs.with_name(f'{self.specs.name}.part')
    tensor_spec.to_pbtxt_file(str(fresh), {'collect_data_spec': data_spec})
    durable.replace(fresh, self.specs)
    files.write()


@quiet.libraries()
@config.isolated()
def load(
    root: str | os.PathLike, *, task: str | None = None,
    precision: str | None = None, best: bool = False,
) -> agent_lib.DreamerV2Agent:
  """Loads the agent of a run's last checkpoint; makes no environment.

  The agent may be trained on: its counters continue from the checkpoint, and a
  world model that the run has frozen stays frozen.

  Args:
    root: The run's folder.
    task: Name of the task that the run must be of; None: any.
    precision: As the setting train.precision; None: as the run computes.
    best: Whether to load the checkpoint with the highest evaluation instead.

  Raises:
    ValueError: If the folder holds no run, or one that has saved nothing yet,
      or one of another task, or a file of it is damaged.
  """
  folder = RunFolder(root)
  reading.check_kinds(folder.root)
  checkpoint = checkpoints.last(folder.checkpoints, best=best)
  there = protocol.wanted(folder.protocol)
  if not (task is None or protocol.is_same_task(task, there['task'])):
    raise ValueError(
        f'The run in {folder.root} is of the task {there["task"]}; wanted '
        f'{task}. Give the folder of a run of {task}.'
    )
  sums.check(folder, best=best)
  config.parse_recorded(folder.config)
  return restore(folder, checkpoint, there, precision)


@surroundings.kept()
def restore(
    folder: RunFolder, checkpoint: str, there: dict[str, Any],
    precision: str | None = None,
) -> agent_lib.DreamerV2Agent:
  """The agent of a checkpoint, with the run's settings, which gin has bound.

  Args:
    folder: Of the run.
    checkpoint: Path, of `checkpoints.last`.
    there: The run's `protocol.json`.
    precision: As in `load`.

  Raises:
    ValueError: If the specs are missing or damaged, or the agent that they and
      the settings make is another one than the checkpoint's.
  """
  data_spec = _read_specs(folder)
  if precision is None:
    tf.keras.mixed_precision.set_global_policy(there['precision'])
  else:
    precision_lib.set_policy(precision)
  steps = tf_metrics.EnvironmentSteps()
  agent = parts_lib.make_agent(
      ts.time_step_spec(data_spec.observation), data_spec.action, steps,
      seed=there['seed'], action_repeat=there['action_repeat'],
      explore_until=int(config.value('train.explore_until') or 0),
      freeze_model=config.value('train.model_from') is not None,
  )
  checkpoints.restore(checkpoint, agent=agent, steps=steps)
  return agent


def load_rows(
    root: str | os.PathLike, data_spec: Any, *,
    at_least: int = 20_000,
) -> trajectory.Trajectory:
  """Loads the newest stored rows of a run; see `store.read`.

  Args:
    root: The run's folder.
    data_spec: `collect_data_spec` of an agent that can read them.
    at_least: How many rows to read, where there are as many.

  Raises:
    ValueError: If there are none, or they do not fit.
  """
  folder = RunFolder(root)
  reading.check_kinds(folder.root)
  return store.read(folder.replay, data_spec, at_least=at_least)


def _read_specs(folder):
  """Specs of the run's rows, a `Trajectory`."""
  # Runs of earlier versions have them beside the policy alone.
  paths = folder.specs, folder.policies / 'collect' / 'policy_specs.pbtxt'
  path = next((path for path in paths if path.exists()), None)
  if path is None:
    raise ValueError(
        f'{folder.specs} is missing, which says what the run observes. Put it '
        'back from a copy, or give the same command again: bin/train writes it '
        'when it resumes.'
    )
  try:
    proto = text_format.Parse(reading.text(path), struct_pb2.StructuredValue())
    return tensor_spec.from_proto(proto)['collect_data_spec']
  except Exception as error:  # whatever a text of another form sets off
    reason = str(error).strip().partition('\n')[0]
    raise ValueError(
        f'{path} is damaged ({reason}). Put it back from a copy, or let '
        'bin/train resume the run, which writes it again.'
    ) from error
