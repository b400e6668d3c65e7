"""What moves a run forward: collect, update, evaluate, save."""

import time
from typing import Any

from tf_agents.trajectories import trajectory

from dreamerv2_tfa import devices
from dreamerv2_tfa.behaviour import fused_policy
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.training import acting
from dreamerv2_tfa.training import capacity as capacity_lib
from dreamerv2_tfa.training import commit
from dreamerv2_tfa.training import crash
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import looks
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import pace
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import policies
from dreamerv2_tfa.training import progress as progress_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import stopwatch
from dreamerv2_tfa.training import timetable as timetable_lib

_PREFILL_SLICE = 1000  # agent steps between looks at Ctrl-C, at most


class Trainer:
  """The moving parts of a run, and the actions of the training loop.

  `Reporter` tells what they have done. Where an action takes a `Progress`, it
  tells that how far it is, so that the terminal shows it.

  Attributes:
    steps: Agent steps of the whole run so far, an int.
    updates: Updates of the whole run so far, an int.
    acted: Agent steps up to which all that was due is done, an int.
    reported: Agent steps at the last report, see `Position`, an int.
    evaluated: Agent steps at the last evaluation, an int.
    commit: `Commit` of the run: what was restored, and is saved.
    looks: `Looks` at what an evaluation has shown.
    stopwatch: `Stopwatch` of the run's parts.
  """

  def __init__(
      self, folder: runs.RunFolder, parts: parts_lib.Parts,
      settings: settings_lib.Settings, capacity: replay.Fit,
      remote: Any = None,
  ):
    """Restores what is in the folder; collects and writes nothing yet.

    Args:
      folder: Of the run; it exists.
      parts: Of the run.
      settings: Of the run.
      capacity: `rows` of it are in memory, and `asked` stay on disk for a
        process with more memory.
      remote: `distributed.receiving.Remote`, where other processes collect
        and have the replay; None: this one does.

    Raises:
      ValueError: If the checkpoint or the stored rows do not fit.
    """
    self._parts, self._settings, self._remote = parts, settings, remote
    self._timetable = settings.timetable
    self._offline = settings.replay_from is not None
    self._achievements = metrics.Achievements(parts.task.metrics)
    buffer: Any = None if remote else replay.make_buffer(
        parts.agent.collect_data_spec, parts.environment.batch_size,
        capacity.rows, folder.root if capacity.on_disk else None,
    )
    self._beside = settings.overlap and not self._offline
    self._acting: acting.Apart = remote.acting if remote else acting.make(
        parts.agent, parts.steps, beside=self._beside)
    if remote:
      self._collector = remote.steps
    elif self._offline:
      self._collector = collection.Clock(parts.steps)
    else:
      self._collector = collection.Collector(
          parts.environment, self._acting.policy, buffer, self._acting.steps,
          seed=settings.seed,
      )
    self.commit = commit.Commit(
        folder, parts, settings, capacity, buffer, self._collector,
        self._acting, self._achievements, remote.store if remote else None,
    )
    self.count()

    def make_samples(taken):
      if remote:
        return remote.samples(taken)
      rows = min(int(buffer.added), buffer.length) * buffer.environments
      capacity_lib.check_rows(rows, settings, self.steps, folder)
      return replay.Samples(
          buffer, settings.batch_size, settings.sequence_length,
          settings.sampling, seed=settings.seed, taken=taken,
      )

    self._samples = self.commit.load(make_samples)
    # Numbers, and not the variables: each look at one would take memory
    # (benchmarks/NOTES.md, memory).
    position = self.commit.position
    self.acted = int(position.acted)
    self.reported = int(position.reported)
    self.evaluated = int(position.evaluated)
    self._taken = int(position.taken)  # batches, also by an update that runs
    self._make_updates(folder)
    self.looks = looks.Looks(parts.agent, buffer, settings)
    self._evaluation = evaluation.Evaluation(
        parts.evaluation_environment,
        fused_policy.of(parts.agent.policy, parts.agent.jit),
        settings.eval_episodes, settings.eval_steps, self.looks.recorder,
    )
    self._policies = policies.Policies(folder.policies, parts.agent)
    self.stopwatch, self._pace = stopwatch.Stopwatch(), pace.Pace()
    self._collected = self._compiled = False  # by this process
    self._saved = self._exported = None  # counts at the last of each

  def _make_updates(self, folder):
    """Prepares updates; the guard looks at their numbers."""
    agent, steps, remote = (
        self._parts.agent, self._parts.steps, self._remote)
    settings, train = self._settings, remote.train if remote else agent.train
    self._guard = crash.Guard(
        agent, steps, folder, settings.batch_size, settings.sequence_length,
        {'task': self._parts.task.name, 'precision': self._parts.precision,
         'seed': settings.seed, 'replicas': remote.replicas if remote else 1},
    )

    def update():
      batch = self._samples.next()
      self._guard.copy(batch)
      return train(batch)

    def before():
      self._acting.exchange()
      self._taken += 1

    self._updates = metrics.Updates(
        update, self._guard.look, before=before, beside=self._beside
    )
    unreported: Any = self.commit.position.unreported.numpy()
    if unreported:
      self._updates.restore(unreported)

  @property
  def frames(self) -> int:
    """Environment frames of the whole run so far."""
    return self.steps * self._parts.task.action_repeat

  @property
  def has_unreported(self) -> bool:
    """Whether there are updates since the last `report`."""
    return self._updates.pending

  def count(self) -> None:
    """Reads weights and counts from the parts of the run."""
    if not self.commit.has_acting:
      self._acting.take_weights()
    self._acting.read_steps()
    self.steps = int(self._parts.steps.result())
    self.updates = int(self._parts.agent.train_step_counter.numpy())

  @property
  def due(self) -> timetable_lib.Due:
    """What is due since `acted`, and a report since the last one."""
    due = self._timetable.due(self.acted, self.steps)
    log = self._timetable.due(self.reported, self.steps).log
    return due._replace(log=log)

  def mark_acted(self) -> None:
    """Notes that all that was due up to now is done."""
    self.acted = self.steps

  def mark_begun(self) -> None:
    """Notes that training begins: nothing is due of what came before it."""
    self.acted = self.reported = self.steps

  @property
  def at_floor(self) -> list[str]:
    """Names of the optimizers whose loss scale cannot be smaller."""
    return self._guard.at_floor

  def add_rows(self, rows: trajectory.Trajectory) -> None:
    """Adds rows `[L, 1, ...]` to replay, which another run has collected."""
    self.commit.store.add(rows)

  def prefill(
      self, progress: progress_lib.Progress, stop: interrupt.Interrupt,
  ) -> None:
    """Takes random steps until there are enough, or `stop` is requested."""
    if not self.needs_prefill:
      return
    prefill = self._timetable.prefill
    progress.phase('prefill', prefill)
    progress.say(f'Prefill: {prefill:,} random steps.')
    while self.steps < prefill and not stop.requested:
      with self.stopwatch.part('collect'):
        self._pace.take(
            self._collector.prefill, min(prefill - self.steps, _PREFILL_SLICE)
        )
      self.steps = self._collector.steps
      progress.advance(self.steps, self.updates)

  @property
  def needs_prefill(self) -> bool:
    """Whether random steps are still to be taken."""
    return self.steps < self._timetable.prefill and not self._offline

  def collect(
      self, progress: progress_lib.Progress, stop: interrupt.Interrupt,
  ) -> None:
    """Takes the steps between two updates."""
    with self.stopwatch.part('sample'):
      self._samples.settle(self._taken)
    if self.steps < self._timetable.prefill:  # offline, with no such steps
      progress.phase('prefill', self._timetable.prefill)
    else:  # the first call compiles the policy, which is no part of its speed
      progress.phase('train' if self._collected else 'compile')
    wanted = min(
        self._timetable.next_update(self.acted), self._timetable.steps
    )
    before, start = self.steps, time.monotonic()
    with self.stopwatch.part('collect'):
      while self.steps < wanted and not stop.requested:
        self._pace.take(self._collector.collect, wanted - self.steps)
        self.steps = self._collector.steps
        progress.beat()
    if self._collected:
      progress.forecast.acted(time.monotonic() - start, self.steps - before)
    progress.advance(self.steps, self.updates)
    self._collected = before >= self._timetable.prefill

  def update(
      self, progress: progress_lib.Progress, stop: interrupt.Interrupt,
  ) -> None:
    """Trains until the updates that are due have run."""
    due = self._timetable.updates_due(self.steps)
    while self.updates < due and not stop.requested:
      if not self._compiled:
        progress.phase('compile')
        progress.say('Compile the first update (up to a minute).')
      with self.stopwatch.part('update'):
        self._updates()
      # Counted here as well: to read the agent's count would be to wait.
      self.updates += 1
      self._compiled = True
      progress.advance(self.steps, self.updates)
      progress.phase('train' if self._collected else 'pretrain', due)

  def report(self) -> dict[str, float]:
    """Means of the metrics since the last call.

    Raises:
      FloatingPointError: If an update was not finite.
    """
    self._updates.check()
    self._count_achievements()
    self.reported = self.steps
    restarts = batch.restarts(self._parts.environment)
    return {
        **self._collector.episode_metrics(), **self._achievements.report(),
        **self._updates.report(), **self._guard.report(self.updates),
        **({'env_restarts': float(restarts)} if restarts else {}),
        'updates': float(self.updates), **self._samples.ages(),
        **self.stopwatch.report(), **devices.memory(),
    }

  def _count_achievements(self):
    self._achievements.add(
        self._remote.steps.pop_metrics() if self._remote
        else batch.pop_metrics(self._parts.environment))

  def evaluate(
      self, progress: progress_lib.Progress, stop: interrupt.Interrupt,
  ) -> dict[str, float] | None:
    """Plays greedy episodes.

    Returns:
      Mean return and length, see `Evaluation.run`; None where `stop` is
      requested meanwhile.
    """
    self._updates.check()
    progress.phase('evaluate', self._settings.eval_episodes)
    self.looks.begin()
    with self.stopwatch.part('evaluate'):
      found = self._evaluation.run(stop, progress.episodes)
    # The achievements of training alone count.
    batch.pop_metrics(self._parts.evaluation_environment)
    if found is not None:
      self.evaluated = self.steps
      self.commit.position.score.assign(found['eval_return'])
      assert self._evaluation.start is not None  # it could be stopped
      self.commit.evaluation_start.write(self.steps, self._evaluation.start)
    return found

  def save(
      self, progress: progress_lib.Progress, *, whole: bool = True,
  ) -> None:
    """Saves the run, if anything has happened since the last save.

    Args:
      progress: What tells.
      whole: Whether the environments are, see `Commit.save`.

    Raises:
      FloatingPointError: If an update was not finite; nothing is written then.
    """
    self._updates.check()
    moment = (
        self.steps, self.updates, self.acted, self.reported, self.evaluated)
    if moment == self._saved:
      return
    progress.phase('save')
    if whole:
      self._count_achievements()
    self._samples.settle(self._taken)
    self._guard.check_weights()
    self._acting.write_steps()
    position = self.commit.position
    position.acted.assign(self.acted)
    position.reported.assign(self.reported)
    position.evaluated.assign(self.evaluated)
    with self.stopwatch.part('save'):
      if self._remote:  # before an old checkpoint is removed
        self.commit.keep_best(self._remote.best())
      self.commit.save(self._samples, self._updates.unreported(), whole=whole)
    self._saved = moment

  def export(self, progress: progress_lib.Progress) -> None:
    """Writes the SavedModels, if anything has happened since the last time."""
    self._updates.check()
    moment = self.steps, self.updates
    if moment == self._exported:
      return
    progress.phase('export')
    with self.stopwatch.part('save'):
      self._policies.save(self.steps)
    self._exported = moment
