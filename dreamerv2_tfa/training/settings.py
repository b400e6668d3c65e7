"""The settings `train.*` of a run, read from gin and checked."""

from collections.abc import Sequence
from typing import NamedTuple

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa import devices
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import windows
from dreamerv2_tfa.training import timetable as timetable_lib


class Settings(NamedTuple):
  """What a run does; `read` documents each field."""

  task: str | task_lib.Task
  seed: int
  precision: str
  eager: bool
  timetable: timetable_lib.Timetable  # steps, prefill, ..., save_every
  explore_until: int
  environments: int
  processes: bool  # 'auto' is resolved
  environment_timeout: float  # seconds
  overlap: bool  # 'auto' is resolved
  batch_size: int
  sequence_length: int
  replay_capacity: float  # as asked for; `capacity.take` says what fits
  replay_storage: str
  sampling: str
  eval_episodes: int
  eval_steps: int
  keep_checkpoints: int
  replay_from: str | None
  model_from: str | None
  callbacks: tuple[str, ...]
  loggers: tuple[str, ...]
  videos: bool
  diagnostics: bool


@gin.configurable('train')  # pyright: ignore[reportCallIssue], not annotated
def read(
    *, task: str | task_lib.Task = 'catch', seed: int = 0,
    precision: str = 'auto', eager: bool = False, steps: float = 1e8,
    prefill: float = 1e4,
    pretrain: int = 1, steps_per_update: int = 5, explore_until: float = 0,
    environments: int = 1, processes: bool | str = 'auto',
    environment_timeout: float = 600.0, overlap: str = 'auto',
    batch_size: int = 16, sequence_length: int = 50,
    replay_capacity: float = 2e6, replay_storage: str = 'auto',
    sampling: str = 'rows',
    log_every: float = 1e4, eval_every: float = 1e5,
    eval_episodes: int = 1, eval_steps: float = 27000,
    save_every: float = 1e4, keep_checkpoints: int = 2,
    replay_from: str | None = None,
    model_from: str | None = None, callbacks: Sequence[str] = (),
    loggers: Sequence[str] = ('tensorboard', 'jsonl'),
    videos: bool = True, diagnostics: bool = True,
) -> Settings:
  """Reads the settings `train.*` from gin.

  Args:
    task: Name of the task, such as 'catch' or 'atari_pong'; a `Task` where an
      object is trained on.
    seed: Of weights, environments and sampling.
    precision: 'auto', '16', 'bf16' or '32'.
    eager: Whether every function runs line by line, for debugging.
    steps: Agent steps in all, prefill included.
    prefill: Agent steps of uniformly random play at the start.
    pretrain: Updates after prefill, beside the first one.
    steps_per_update: Agent steps between updates.
    explore_until: Environment frames after which the task's own actor
      collects, whatever DreamerV2Agent.exploration is; 0: never.
    environments: Environments that collect side by side; a step of each is an
      agent step, so several updates may follow at once.
    processes: Whether each environment has its own process; 'auto': each of
      several has, one has not.
    environment_timeout: Seconds in which an environment must answer; one that
      does not has failed. 0: no limit.
    overlap: Whether steps are collected while an update runs, see `acting`:
      'on', 'off', or 'auto': on with a GPU; a CPU would do both at once.
    batch_size: Sequences an update, B.
    sequence_length: Model rows a sequence, T.
    replay_capacity: Rows of replay memory; see `capacity.take`.
    replay_storage: 'memory', 'disk', or 'auto': on disk where memory does not
      suffice and the disk does.
    sampling: 'rows', 'episodes' or 'episodes_ends', see `replay.Samples`.
    log_every: Agent steps between reports.
    eval_every: Agent steps between evaluations, each with a save and an export.
    eval_episodes: Episodes an evaluation; 0: none.
    eval_steps: Agent steps after which an evaluation episode is cut.
    save_every: Agent steps between checkpoints.
    keep_checkpoints: The last ones that stay on disk, beside the one with the
      highest evaluation.
    replay_from: Folder of a run whose stored rows are learned from, offline.
      Only evaluation takes steps; the step counter still advances by
      `steps_per_update` an update. None: collect.
    model_from: Folder of a run whose world model is loaded from the last
      checkpoint and frozen; only the actor-critic learns. None: learn a model.
    callbacks: Functions that are told what the run has done, `module:function`
      each, see `callbacks`.
    loggers: What shows the metrics: names, or `module:factory` of the user's
      own, see `loggers.load`.
    videos: Whether each evaluation films what the world model foresees, and
      what the policy does.
    diagnostics: Whether each evaluation examines model and critic, see
      docs/diagnostics.md.

  Raises:
    ValueError: If a setting cannot be used.
  """
  checks.choice('train.sampling', sampling, windows.LAWS)
  checks.choice('train.replay_storage', replay_storage, replay.STORAGE)
  checks.choice('train.processes', processes, ('auto', True, False))
  for name, flag in dict(
      eager=eager, videos=videos, diagnostics=diagnostics).items():
    checks.flag(f'train.{name}', flag)
  environments = checks.integer('train.environments', environments)
  return Settings(
      task=task,
      seed=checks.integer('train.seed', seed, 0, 2**31 - 1),
      precision=precision,
      eager=eager,
      timetable=timetable_lib.make(
          steps=steps, prefill=prefill, pretrain=pretrain,
          steps_per_update=steps_per_update, log_every=log_every,
          eval_every=eval_every, save_every=save_every,
      ),
      explore_until=checks.integer('train.explore_until', explore_until, 0),
      environments=environments,
      processes=environments > 1 if processes == 'auto' else bool(processes),
      environment_timeout=checks.number(
          'train.environment_timeout', environment_timeout),
      overlap=devices.resolve('train.overlap', overlap),
      batch_size=checks.integer('train.batch_size', batch_size),
      sequence_length=checks.integer(
          'train.sequence_length', sequence_length),
      replay_capacity=replay_capacity,
      replay_storage=replay_storage,
      sampling=sampling,
      eval_episodes=checks.integer('train.eval_episodes', eval_episodes, 0),
      eval_steps=checks.integer('train.eval_steps', eval_steps),
      keep_checkpoints=checks.integer(
          'train.keep_checkpoints', keep_checkpoints),
      replay_from=replay_from,
      model_from=model_from,
      callbacks=checks.several('train.callbacks', callbacks),
      loggers=checks.several('train.loggers', loggers),
      videos=videos,
      diagnostics=diagnostics,
  )
