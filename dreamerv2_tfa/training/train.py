"""The training loop, one screen: collect, update, log, evaluate, save."""

import contextlib
import pathlib

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.migration import run as run_lib
from dreamerv2_tfa.training import capacity as capacity_lib
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import disk
from dreamerv2_tfa.training import folder
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import presets as presets_lib
from dreamerv2_tfa.training import schedule
from dreamerv2_tfa.training import session as session_lib
from dreamerv2_tfa.training import surroundings

tasks.import_suites()  # gin must know their settings


@gin.configurable
def train(
    root_dir, *, presets=(), task='catch', seed=0, precision='auto',
    eager=False, steps=1e8, prefill=1e4, pretrain=1, steps_per_update=5,
    explore_until=0, environments=1, processes=True, batch_size=16,
    sequence_length=50, replay_capacity=2e6, sampling='rows', log_every=1e4,
    eval_every=1e5, eval_episodes=1, eval_steps=27000, save_every=1e4,
    replay_from=None, model_from=None, dry_run=False, adopt=None,
    adopt_keys=None,
):
  """Trains DreamerV2 on a task, or goes on where the folder's run stopped.

  Args:
    root_dir: Path of the run's folder; made if it does not exist.
    presets: Names of the gin files, for the record.
    task: Name of the task, such as 'catch' or 'atari_pong', or a `Task`.
    seed: int, of weights, environments and sampling.
    precision: 'auto', '16', 'bf16' or '32'.
    eager: bool; run line by line, for debugging.
    steps: Agent steps in all, prefill included.
    prefill: Agent steps of uniformly random play at the start.
    pretrain: Updates after prefill, beside the first one.
    steps_per_update: Agent steps between updates.
    explore_until: Environment frames after which the task's own actor
      collects, whatever DreamerV2Agent.exploration is; 0: never.
    environments: int, environments that collect side by side; a step of each
      is an agent step, so a few updates may follow at once.
    processes: bool; each of several in a process of its own.
    batch_size: int B, sequences an update.
    sequence_length: int T, model rows a sequence.
    replay_capacity: Rows of replay memory, of which a run takes as many as
      fit; see `capacity.take`.
    sampling: 'rows', 'episodes' or 'episodes_ends', see `replay.Samples`.
    log_every: Agent steps between reports.
    eval_every: Agent steps between evaluations, each with an export.
    eval_episodes: int, episodes an evaluation; 0: none.
    eval_steps: Agent steps after which an episode of evaluation is cut.
    save_every: Agent steps between checkpoints.
    replay_from: Folder of a run whose stored rows are learned from, offline:
      no step is taken but by evaluation. Steps are then a clock: they pass as
      updates run. None: collect.
    model_from: Folder of a run whose world model is taken as it was saved
      last, and held; the behaviour learns in it. None: learn a model.
    dry_run: bool; build everything, print what it is, write nothing.
    adopt: Log folder of a run of the published package; take its weights and
      episodes, save, and train no step. None: train.
    adopt_keys: Keys of the observation in the order of that run's environment;
      None: as its episodes say.

  Raises:
    ValueError: If a setting cannot be used; nothing was written then.
    FloatingPointError: If a loss is not finite; the weights are those before.
  """
  root_dir = checks.folder('--root_dir', root_dir)
  plan = schedule.make(
      steps=steps, prefill=prefill, pretrain=pretrain,
      steps_per_update=steps_per_update, log_every=log_every,
      eval_every=eval_every, save_every=save_every,
  )
  checks.choice('train.sampling', sampling, replay.SAMPLING)
  batch_size = checks.integer('train.batch_size', batch_size)
  sequence_length = checks.integer('train.sequence_length', sequence_length)
  eval_episodes = checks.integer('train.eval_episodes', eval_episodes, 0)
  eval_steps = checks.integer('train.eval_steps', eval_steps)
  seed = checks.integer('train.seed', seed, 0, 2**31 - 1)
  until = checks.integer('train.explore_until', explore_until, 0)
  rows = checks.integer('train.environments', environments)
  checks.flag('train.processes', processes)
  checks.flag('train.eager', eager)
  folder.check_writable(root_dir)
  with (
      surroundings.kept(), interrupt.terminable(), disk.named(root_dir),
      faults.surfaced(), contextlib.ExitStack() as stack,
  ):
    if not dry_run:
      stack.enter_context(lock.held(root_dir))
    resumed = folder.resumed_steps(root_dir)
    if adopt is None:
      schedule.check_updates(plan)
    replay_from, model_from = _other_runs(replay_from, model_from)
    comparison.check_model(root_dir, model_from, stored=resumed is not None)
    parts = parts_lib.build(
        task, seed, precision, eager, resumed or 0, until, rows, processes,
        freeze_model=model_from is not None,
    )
    stack.callback(parts_lib.close, parts)
    if model_from is not None and resumed is None:
      comparison.check_world_model(model_from, parts)
      checkpoints.load_model(parts.agent, model_from)
    comparison.check(root_dir, parts, stored=resumed is not None)
    if not dry_run:
      folder.tell(root_dir, parts, presets, seed)
    capacity = capacity_lib.take(
        parts, replay_capacity, replay_from or root_dir, plan, batch_size,
        sequence_length, resumed=resumed is not None,
    )
    print(presets_lib.said(presets, parts.agent.time_step_spec.observation))
    print(folder.describe(parts, plan, batch_size, sequence_length), flush=True)
    if dry_run:
      folder.warn_unused(root_dir, task)
      return
    old = None if adopt is None else run_lib.load(
        parts.agent, adopt, adopt_keys
    )
    session = session_lib.Session(
        root_dir, parts, plan, batch_size=batch_size,
        sequence_length=sequence_length, replay_capacity=capacity,
        eval_episodes=eval_episodes, eval_steps=eval_steps,
        replay_from=replay_from, sampling=sampling,
    )
    folder.warn_unused(root_dir, task)
    with contextlib.closing(session), interrupt.Interrupt() as stop:
      if old is not None:
        session.adopt(old)
      elif folder.tell_finished(root_dir, resumed, plan.steps, eval_episodes):
        return
      folder.record(root_dir, parts, presets, seed, capacity.rows)
      if old is not None:
        return
      session.begin(stop)
      while session.steps < plan.steps and not stop.requested:
        before = session.steps
        due = plan.due(before, session.collect(stop))
        session.update(stop)
        if due.log:
          session.report()
        if due.evaluate:
          session.evaluate(stop)
        if due.evaluate and not stop.requested:
          session.export()
        if due.save:
          session.save()
      session.finish(stop)


def _other_runs(replay_from, model_from):
  """The folders of the runs that this one learns from, checked, or None."""
  if replay_from is not None:
    replay_from = checks.folder('train.replay_from', replay_from)
    store.check(pathlib.Path(replay_from) / 'replay')
  if model_from is not None:
    model_from = checks.folder('train.model_from', model_from)
  return replay_from, model_from
