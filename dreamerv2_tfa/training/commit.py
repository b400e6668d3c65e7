"""All of a run's state as one commit: it is saved and resumed together.

    replay on disk      rows 0 ... n - 1 | n ... m - 1
    checkpoint          counts n rows    | counts m rows

Rows are written first. Those that no checkpoint counts, because the process was
killed in between, are removed when the run is resumed.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tf_agents.environments import tf_environment

from dreamerv2_tfa.environments import state
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store as store_lib
from dreamerv2_tfa.training import acting
from dreamerv2_tfa.training import best
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import evaluation_start
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import sums


class Position(tf.Module):
  """Where a run is beside its weights and counts, as variables.

  Attributes:
    acted: int64, agent steps up to which the evaluations and saves that were
      due are done.
    reported: int64, agent steps at the last report; or at the end of what comes
      before training, prefill or an import.
    evaluated: int64, agent steps at the last evaluation.
    score: float64, mean return of that evaluation.
    rows: int64, number of the next row of replay.
    taken: int64, training batches that were taken.
    seen: int64, number of the next row of replay when the last one was taken.
    environment: string, of `environments.state`; empty where the environment
      cannot be saved, or is written in TensorFlow.
    evaluation: string, likewise of the environment of evaluation.
    unreported: string, metrics of the updates since the last report, see
      `metrics.Updates`.
  """

  def __init__(self):
    super().__init__(name='position')
    with tf.device('/cpu:0'):
      self.acted, self.reported, self.evaluated = _variables(3, 0, tf.int64)
      self.rows, self.taken, self.seen = _variables(3, 0, tf.int64)
      self.score, = _variables(1, 0.0, tf.float64)
      self.environment, self.evaluation, self.unreported = _variables(
          3, '', tf.string)


class Commit:
  """Restores a run from its folder, and saves it there.

  Attributes:
    position: `Position` of the run.
    evaluation_start: `EvaluationStart` of the run.
    store: `Store` of its replay, or of the run that it learns from.
    resumed: Whether a checkpoint was restored.
    stored_rows: Rows that were read from disk, an int.
    notes: Sentences about what could not be restored.
  """

  def __init__(
      self, folder: runs.RunFolder, parts: parts_lib.Parts,
      settings: settings_lib.Settings, capacity: replay.Fit,
      buffer: buffer_lib.Buffer, collector: Any, acts: acting.Apart,
      achievements: metrics.Achievements, store: Any = None,
  ):
    """Restores agent, counts and metrics; `load` does the rest.

    Args:
      folder: Of the run; it exists.
      parts: Of the run.
      settings: Of the run.
      capacity: `rows` of it are in memory, and `asked` stay on disk.
      buffer: An empty one.
      collector: A `Collector`, or the `Clock` of a run that takes no steps.
      acts: Of the run.
      achievements: Of the run.
      store: Takes the place of the folder's `Store`, where another process
        has the replay.

    Raises:
      ValueError: If the checkpoint does not fit.
    """
    self._parts, self._collector, self._acts = parts, collector, acts
    self._offline = settings.replay_from is not None
    self._folder, self._sums = folder, sums.Sums(folder)
    self.position, self.notes = Position(), []
    self.evaluation_start = evaluation_start.EvaluationStart()
    self._checkpoints = checkpoints.Checkpoints(
        folder.checkpoints, later=self._later_parts(),
        keep=settings.keep_checkpoints, **self._first_parts(achievements),
    )
    self.resumed = self._checkpoints.resumed
    self._exact = self.resumed and not self._checkpoints.lacks - {
        'acting', evaluation_start.NAME}
    if 'position' in self._checkpoints.lacks:
      # A new run, or the checkpoint of a version that did not save it.
      steps = int(parts.steps.result())
      for variable in (self.position.acted, self.position.reported):
        variable.assign(steps)
      if last := metrics.last_evaluation(folder.metrics):
        self.position.evaluated.assign(
            min(steps, last['step'] // parts.task.action_repeat))
      self.position.taken.assign(int(parts.agent.train_step_counter.numpy()))
    source = runs.RunFolder(settings.replay_from or folder.root)
    if self._offline:
      comparison.check_rows(source, parts)
    self.store = store or store_lib.Store(
        source.replay, buffer, capacity.asked // parts.environment.batch_size
    )
    self.stored_rows = 0

  def load(
      self, make_samples: Callable[[int], replay.Samples],
  ) -> replay.Samples:
    """Fills replay from the disk, then restores the environments.

    A run draws its next batch when it takes the last one, before it collects
    more. So the rows that were collected since are loaded after that draw.

    Args:
      make_samples: From the number of batches that were taken to the training
        batches; it draws the next one, if any were taken.

    Returns:
      What it has made.

    Raises:
      ValueError: If the stored rows do not fit.
    """
    saved, made = self.position, []
    make = lambda: made.append(make_samples(int(saved.taken)))
    counted = self._exact and not self._offline
    if counted and int(saved.taken):
      self.stored_rows = self.store.load(
          int(saved.rows), last=int(saved.rows - saved.seen), before_last=make
      )
    else:
      self.stored_rows = self.store.load(int(saved.rows) if counted else None)
      make()
    self._begin_environments()
    return made[0]

  @property
  def has_acting(self) -> bool:
    """Whether what acts was restored, with weights of its own."""
    return self.resumed and 'acting' not in self._checkpoints.lacks

  @property
  def cut_rows(self) -> int:
    """Rows on disk that the checkpoint does not count; a save removes them."""
    return 0 if self._offline else self.store.cut

  def _first_parts(self, achievements):
    """What checkpoints of all versions have, by name."""
    parts = self._parts
    found = {'agent': parts.agent, 'steps': parts.steps}
    if parts.task.metrics:
      found['outcomes'] = achievements.state
    return {**found, **_variables_of('environment', parts.environment)}

  def _later_parts(self):
    """What checkpoints have since a resume is exact."""
    return {
        'position': self.position,
        evaluation_start.NAME: self.evaluation_start,
        **({} if self._offline else {'collector': self._collector.state}),
        **({} if self._acts.state is None else {'acting': self._acts.state}),
        **_variables_of(
            'evaluation_environment', self._parts.evaluation_environment
        ),
    }

  def _begin_environments(self):
    """Restores the environments, or begins a new episode.

    The resume is exact where every environment can be saved. Else the next row
    is the first of a new episode, of an environment whose seed is moved by the
    steps of the run: two resumes of one checkpoint are equal.
    """
    parts, saved, exact = self._parts, self.position, self._exact
    if exact and saved.evaluation.numpy():
      self._restore(parts.evaluation_environment, saved.evaluation)
    if exact and saved.environment.numpy():
      exact = self._restore(parts.environment, saved.environment)
    elif not _variables_of('environment', parts.environment):
      exact = False
    if exact:
      self._collector.resume()
    else:
      self._collector.begin()

  def _restore(self, environment, saved):
    """Restores an environment; returns whether that was possible."""
    try:
      state.restore(environment, saved.numpy())
    except ValueError as error:
      self.notes.append(f'{error} A new episode begins.')
      return False
    return True

  def save(
      self, samples: replay.Samples, unreported: str, *, whole: bool = True,
  ) -> None:
    """Writes replay, then the checkpoint that counts its rows.

    Args:
      samples: Of `load`; no thread draws from them.
      unreported: Of `metrics.Updates`.
      whole: Whether the environments are; where one has failed, a resume
        begins a new episode.
    """
    saved, parts = self.position, self._parts
    steps = int(parts.steps.result())
    self._checkpoints.begin()
    self._sums.begin(self._folder.checkpoints / f'ckpt-{steps}.index')
    if not self._offline:
      saved.rows.assign(self.store.save())
      saved.seen.assign(self.store.number_of(int(samples.seen)))
    saved.taken.assign(samples.taken)
    saved.unreported.assign(unreported)
    for variable, environment in (
        (saved.environment, parts.environment),
        (saved.evaluation, parts.evaluation_environment),
    ):
      variable.assign(whole and state.capture(environment) or b'')
    self._checkpoints.save(steps)
    self._sums.write()

  def keep_best(self, evaluated: tuple[int, float] | None = None) -> None:
    """Keeps a checkpoint apart if no evaluation was higher than its.

    A run that was killed after the save does it when it is resumed.

    Args:
      evaluated: Agent steps of the checkpoint, and its score. None: those of
        the last evaluation, if the last checkpoint is of it.
    """
    steps = int(self.position.evaluated)
    if evaluated is None and self._checkpoints.has(steps):
      evaluated = steps, float(self.position.score)
    if evaluated is not None:
      best.keep(self._folder, self._sums, *evaluated)


def _variables(count, value, dtype):
  return [tf.Variable(tf.constant(value, dtype), trainable=False)
          for _ in range(count)]


def _variables_of(
    name: str, environment: tf_environment.TFEnvironment,
) -> dict[str, Any]:
  """The state of an environment written in TensorFlow, by this name; or {}."""
  found = getattr(environment, 'state', None)
  return {} if found is None else {name: found}
