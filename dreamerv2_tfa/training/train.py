"""The training loop, one screen: collect, update, log, evaluate, save."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import reading
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import waiting
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import callbacks as callbacks_lib
from dreamerv2_tfa.training import capacity as capacity_lib
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import disk
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import loggers as loggers_lib
from dreamerv2_tfa.training import output
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import reporter as reporter_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import summary
from dreamerv2_tfa.training import sums
from dreamerv2_tfa.training import surroundings
from dreamerv2_tfa.training import timetable as timetable_lib
from dreamerv2_tfa.training import trainer as trainer_lib
from dreamerv2_tfa.training.loggers import logger


class Built(NamedTuple):
  """A run with all that it consists of, before it begins."""

  folder: runs.RunFolder
  settings: settings_lib.Settings
  parts: parts_lib.Parts
  capacity: replay.Fit  # of replay memory
  described: dict  # of `protocol.describe`
  resumed_steps: int | None  # agent steps; None where the run is new
  loggers: Sequence[logger.Chosen]
  callbacks: Sequence[callbacks_lib.Callback]
  remote: Any = None  # of `Trainer`

  def record(self) -> None:
    """Writes what the run is into its folder."""
    self.folder.record(
        {**self.described, 'replay_capacity': self.capacity.rows},
        self.parts.agent.collect_data_spec,
    )


def train(
    root_dir: str | os.PathLike, *, presets: Sequence[str] = (),
    task: task_lib.Task | None = None,
    callbacks: Sequence[callbacks_lib.Callback] = (),
    join: Callable[[Built], Built] | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> int | None:
  """Trains DreamerV2 on a task, or resumes the run in its folder.

  The settings are those of `settings.read`, bound with gin.

  Args:
    root_dir: The run's folder; made if it does not exist.
    presets: Names of the gin files, for the record.
    task: Takes the place of the setting `train.task`.
    callbacks: Told of what the run does, after those of the settings.
    join: Makes the process one of a distributed run, its learner: adds
      `remote` to what was built.
    strategy: The agent is made under it; None: TensorFlow's own.

  Returns:
    The signal that has stopped the run, which has saved; None at its end, and
    where a callback has stopped it.

  Raises:
    ValueError: If a setting cannot be used; nothing was written then.
    FloatingPointError: If an update is not finite; the weights are those
      before it, and `crash/` has what it takes to run it again.
    EnvironmentFailed: If the environment fails again and again; the run has
      saved.
    Exception: What a callback raises; the run has saved.
  """
  with built(
      root_dir, presets, task, callbacks=callbacks, strategy=strategy,
      stores=join is None) as run:
    run = join(run) if join else run
    trainer, reporter = open_run(run)
    tell = reporter.progress.say
    with contextlib.closing(reporter), interrupt.Interrupt(tell) as stop:
      wanted = run.settings.timetable.steps
      if summary.is_finished(
          run.folder, run.resumed_steps, wanted, run.settings.eval_episodes):
        print(summary.finished(run.folder, trainer.steps, wanted))
        return None
      run.record()
      if run.remote:
        run.remote.heed(lambda: stop.requested)
      try:
        with faults.surfaced():
          finished = _loop(run.settings, trainer, reporter, stop)
      except (faults.EnvironmentFailed, collection.NotStored):
        waiting.proceed()
        with stop.saving():
          trainer.save(reporter.progress, whole=False)
        if not stop.requested:
          raise
        reporter.stopped()
        finished = False
      return None if finished else stop.signal


def _loop(settings, trainer, reporter, stop):
  """Trains until the last step, or until `stop` is requested; then saves.

  Returns:
    Whether the run has taken all its steps.
  """
  timetable, progress = settings.timetable, reporter.progress
  reporter.begin()
  trainer.commit.keep_best()
  trainer.prefill(progress, stop)
  trainer.update(progress, stop)
  if trainer.acted < timetable.prefill and not stop.requested:
    trainer.mark_begun()
  while trainer.acted < timetable.steps and not stop.requested:
    trainer.collect(progress, stop)
    trainer.update(progress, stop)
    if not stop.requested:
      _act(settings, trainer, reporter, stop)
      reporter.tell_callbacks(stop)

  finished = not stop.requested and _finish(settings, trainer, reporter, stop)
  if not finished:
    with stop.saving():
      trainer.save(progress)
      reporter.saved()
    reporter.stopped()
  reporter.tell_callbacks(stop)
  return finished


def _act(settings, trainer, reporter, stop):
  """Reports, evaluates, saves and exports where that is due.

  Where an evaluation is stopped, the run that is resumed plays it again.
  """
  due = trainer.due
  evaluates = due.evaluate and settings.eval_episodes
  if due.log:
    reporter.report()
  if evaluates and not _evaluate(trainer, reporter, stop):
    return
  trainer.mark_acted()
  if due.save or due.evaluate:  # an evaluator plays what is saved
    _save(trainer, reporter)
  if due.evaluate and not stop.requested:
    trainer.export(reporter.progress)


def _finish(settings, trainer, reporter, stop):
  """Ends a run that has taken all its steps; False where it was stopped."""
  evaluates = settings.eval_episodes and trainer.evaluated < trainer.steps
  if trainer.has_unreported:
    reporter.report()
  if evaluates and not _evaluate(trainer, reporter, stop):
    return False
  _save(trainer, reporter)
  trainer.export(reporter.progress)
  reporter.done()
  return True


def _evaluate(trainer, reporter, stop):
  """Evaluates; returns False where `stop` was requested meanwhile."""
  return reporter.evaluated(trainer.evaluate(reporter.progress, stop))


def _save(trainer, reporter):
  """Saves the run, and apart if no evaluation was higher than its last."""
  trainer.save(reporter.progress)
  reporter.saved()
  trainer.commit.keep_best()


def describe(
    root_dir: str | os.PathLike, *, presets: Sequence[str] = (),
    task: task_lib.Task | None = None,
) -> None:
  """Builds what `train` would, prints what it is, and writes nothing.

  Args and errors are those of `train`.
  """
  with built(root_dir, presets, task, writes=False) as run:
    summary.print_unused(run.folder, run.settings.task)


@contextlib.contextmanager
def built(
    root_dir: str | os.PathLike, presets: Sequence[str],
    task: task_lib.Task | None, *, writes: bool = True, trains: bool = True,
    callbacks: Sequence[callbacks_lib.Callback] = (),
    strategy: tf.distribute.Strategy | None = None, stores: bool = True,
) -> Iterator[Built]:
  """Checks the settings, builds a run and prints what it is.

  Args:
    root_dir: The run's folder, which need not exist.
    presets: Names of the gin files.
    task: Takes the place of the setting `train.task`.
    writes: Whether the folder is locked and will be written.
    trains: Whether the run will train, so that it needs steps for it, and
      tells the callbacks of the settings.
    callbacks: Told as well, after them.
    strategy: As in `train`.
    stores: Whether the replay is in this process.

  Yields:
    The run; its environments are closed afterwards, and how Keras and
    TensorFlow compute is restored.

  Raises:
    ValueError: If a setting cannot be used; nothing was written then.
  """
  folder = runs.RunFolder(root_dir, '--root_dir')
  settings = (
      settings_lib.read() if task is None else settings_lib.read(task=task)
  )
  folder.check_writable()
  with (
      output.unbroken(), surroundings.kept(), interrupt.terminable(),
      disk.named(folder.root), faults.surfaced(),
      contextlib.ExitStack() as stack,
  ):
    if writes:
      stack.enter_context(lock.locked(folder.lock))
      folder.recover()
    sums.check(folder, rows=True)
    resumed_steps = folder.resumed_steps()
    stored = resumed_steps is not None
    if trains:
      timetable_lib.check_updates(settings.timetable)
      callbacks = (*callbacks_lib.load(settings.callbacks), *callbacks)
    loggers = loggers_lib.load(settings.loggers)
    settings = _with_other_runs(settings, stored)
    comparison.check_model(folder, settings.model_from, stored=stored)
    parts = parts_lib.build(settings, resumed_steps or 0, strategy)
    stack.callback(parts_lib.close, parts)
    if settings.model_from is not None and not stored:
      model = runs.RunFolder(settings.model_from)
      comparison.check_world_model(model, parts)
      checkpoints.load_model(parts.agent, model.checkpoints)
    comparison.check(folder, parts, stored=stored)
    described = protocol.describe(parts, presets, settings.seed)
    if writes:
      summary.print_start(folder, described, settings.loggers)
    capacity = (
        capacity_lib.take(parts, settings, folder, resumed=stored) if stores
        else capacity_lib.elsewhere(settings))
    print(summary.describe(parts, settings, presets), flush=True)
    yield Built(
        folder, settings, parts, capacity, described, resumed_steps, loggers,
        callbacks)


def open_run(
    run: Built,
) -> tuple[trainer_lib.Trainer, reporter_lib.Reporter]:
  """Restores a run from its folder, and opens its files.

  Raises:
    ValueError: If a checkpoint, the stored rows or metrics do not fit, or a
      logger cannot be opened.
  """
  trainer = trainer_lib.Trainer(
      run.folder, run.parts, run.settings, run.capacity, run.remote
  )
  reporter = reporter_lib.Reporter(
      run.folder, run.parts, run.settings, trainer, run.loggers, run.callbacks
  )
  summary.print_unused(run.folder, run.settings.task)
  return trainer, reporter


def _with_other_runs(settings, stored):
  """The settings with the folders of other runs checked.

  A run that is stored has the world model that it holds.
  """
  replay_from, model_from = settings.replay_from, settings.model_from
  if replay_from is not None:
    replay_from = checks.folder('train.replay_from', replay_from)
    reading.check_kinds(replay_from)
    store.check(runs.RunFolder(replay_from).replay)
  if model_from is not None:
    model_from = checks.folder('train.model_from', model_from)
    reading.check_kinds(model_from)
  for folder in {replay_from, None if stored else model_from}:
    if folder is not None:
      sums.check(runs.RunFolder(folder), rows=folder == replay_from)
  return settings._replace(replay_from=replay_from, model_from=model_from)
