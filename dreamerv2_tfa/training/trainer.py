"""What moves a run forward: collect, update, evaluate, save."""

import time

from tf_agents.trajectories import trajectory

from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import pace
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import progress as progress_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib

_PREFILL_SLICE = 1000  # agent steps between looks at Ctrl-C, at most


class Trainer:
  """The moving parts of a run, and the actions of the training loop.

  `Reporter` tells what they have done. Where an action takes a `Progress`, it
  tells that how far it is, so that the terminal shows it.

  Attributes:
    steps: Agent steps of the whole run so far, an int.
    updates: Updates of the whole run so far, an int.
    resumed: Whether a checkpoint was restored.
    stored_rows: Rows that were read from disk, an int.
  """

  def __init__(
      self, folder: runs.RunFolder, parts: parts_lib.Parts,
      settings: settings_lib.Settings, capacity: replay.Fit,
  ):
    """Restores what is in the folder; collects and writes nothing yet.

    Args:
      folder: Of the run; it exists.
      parts: Of the run.
      settings: Of the run.
      capacity: `rows` of it are in memory, and `asked` stay on disk for a
        process with more memory.

    Raises:
      ValueError: If the checkpoint or the stored rows do not fit.
    """
    self._parts, self._settings = parts, settings
    self._timetable = settings.timetable
    self._achievements = metrics.Achievements(parts.task.metrics)
    self._checkpoints = checkpoints.Checkpoints(
        folder.checkpoints, **self._saved_parts()
    )
    self.resumed = self._checkpoints.resumed
    environments = parts.environment.batch_size
    buffer = replay.make_buffer(
        parts.agent.collect_data_spec, environments, capacity.rows
    )
    self._offline = settings.replay_from is not None
    source = runs.RunFolder(settings.replay_from or folder.root)
    if self._offline:
      comparison.check_rows(source, parts)
    self._store = store.Store(
        source.replay, buffer, capacity.rows // environments,
        capacity.asked // environments,
    )
    self.stored_rows = self._store.load()
    self.count()
    if self._offline:
      _check_rows(source, self.stored_rows, settings.sequence_length)
      self._collector = collection.Clock(parts.steps)
    else:
      self._check_replay(folder)
      self._collector = collection.Collector(
          parts.environment, parts.agent.collect_policy, buffer, parts.steps
      )
    self._samples = replay.Samples(
        buffer, settings.batch_size, settings.sequence_length,
        settings.sampling,
    )
    self._updates = metrics.Updates(
        lambda: parts.agent.train(self._samples.next())
    )
    self._evaluation = evaluation.Evaluation(
        parts.evaluation_environment, parts.agent.policy,
        settings.eval_episodes, settings.eval_steps,
    )
    self._policies = checkpoints.Policies(folder.policies, parts.agent)
    self._pace = pace.Pace()
    self._collected = self._compiled = False  # by this process

  def _saved_parts(self):
    """What a checkpoint has, by name."""
    parts = self._parts
    saved = {'agent': parts.agent, 'steps': parts.steps}
    if parts.task.metrics:
      saved['outcomes'] = self._achievements.state
    # An environment written in TensorFlow has a state to save.
    if (state := getattr(parts.environment, 'state', None)) is not None:
      saved['environment'] = state
    return saved

  @property
  def frames(self) -> int:
    """Environment frames of the whole run so far."""
    return self.steps * self._parts.task.action_repeat

  @property
  def latest(self) -> str | None:
    """Path of the last checkpoint, or None."""
    return self._checkpoints.latest

  @property
  def missing_rows(self) -> int:
    """Rows that were saved and are no longer on disk."""
    return self._store.missing

  @property
  def skipped_rows(self) -> int:
    """Stored rows that were not loaded, for their numbers."""
    return self._store.skipped

  @property
  def has_unreported(self) -> bool:
    """Whether there are updates since the last `report`."""
    return self._updates.pending

  def count(self) -> None:
    """Reads `steps` and `updates` from the variables that count them."""
    self.steps = int(self._parts.steps.result())
    self.updates = int(self._parts.agent.train_step_counter)

  def _check_replay(self, folder):
    """Refuses a run past its prefill whose rows are gone."""
    sequence_length = self._settings.sequence_length
    if self.steps and self.steps >= self._timetable.prefill and (
        self.stored_rows <= sequence_length):
      raise ValueError(
          f'{folder.replay} holds {self.stored_rows} rows of a run that has '
          f'taken {self.steps:,} steps; a training sequence takes '
          f'{sequence_length + 1}. Put its files back from a copy; or take '
          f'another --root_dir, where train.model_from = {str(folder.root)!r} '
          'takes the world model.'
      )

  def add_rows(self, rows: trajectory.Trajectory) -> None:
    """Adds rows `[L, 1, ...]` to replay, which another run has collected."""
    self._store.add(rows)

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
    self._samples.settle()
    if self.steps < self._timetable.prefill:  # offline, with no such steps
      progress.phase('prefill', self._timetable.prefill)
    else:  # the first call compiles the policy, which is no part of its speed
      progress.phase('train' if self._collected else 'compile')
    wanted = min(
        self.steps + self._timetable.steps_per_update, self._timetable.steps
    )
    before, start = self.steps, time.monotonic()
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
      self._updates()
      # Counted here as well: to read the agent's count would be to wait.
      self.updates += 1
      self._compiled = True
      progress.advance(self.steps, self.updates)
      progress.phase('train' if self._collected else 'pretrain', due)

  def report(self) -> dict[str, float]:
    """Means of the metrics since the last call.

    Raises:
      FloatingPointError: If a loss was not finite.
    """
    self.check_losses()
    self._count_achievements()
    return {
        **self._collector.episode_metrics(), **self._achievements.report(),
        **self._updates.report(), 'updates': float(self.updates),
    }

  def _count_achievements(self):
    self._achievements.add(batch.pop_metrics(self._parts.environment))

  def check_losses(self) -> None:
    """Waits for the updates and looks at their losses.

    Raises:
      FloatingPointError: If one is not finite.
    """
    try:
      self._updates.check()
    except FloatingPointError as error:
      raise FloatingPointError(
          f'{error} Such updates are not applied; {self.updates} have run. The '
          f'last checkpoint is {self.latest}.'
      ) from error

  def evaluate(
      self, progress: progress_lib.Progress, stop: interrupt.Interrupt,
  ) -> dict[str, float] | None:
    """Plays greedy episodes.

    Returns:
      Mean return and length, see `Evaluation.run`; None where `stop` is
      requested meanwhile.
    """
    progress.phase('evaluate', self._settings.eval_episodes)
    found = self._evaluation.run(stop, progress.episodes)
    # The achievements of training alone count.
    batch.pop_metrics(self._parts.evaluation_environment)
    return found

  def save(self, progress: progress_lib.Progress) -> None:
    """Writes replay, then the checkpoint that counts its rows.

    Raises:
      FloatingPointError: If a loss was not finite; nothing is written then.
    """
    self.check_losses()
    progress.phase('save')
    self._count_achievements()
    self._samples.settle()
    if not self._offline:
      self._store.save()
    self._checkpoints.save(self.steps)

  def export(self, progress: progress_lib.Progress) -> None:
    """Writes the SavedModels."""
    progress.phase('export')
    self._policies.save()


def _check_rows(folder, rows, sequence_length):
  if rows <= sequence_length:
    raise ValueError(
        f'train.replay_from = {str(folder.root)!r} holds {rows} stored rows; '
        f'wanted more than train.sequence_length = {sequence_length}. Give the '
        '--root_dir of a run that has saved.'
    )
