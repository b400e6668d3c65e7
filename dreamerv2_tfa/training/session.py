"""One process's share of a run: the parts that move, and what they do."""

import pathlib
import time

import tensorflow as tf

from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.migration import episodes
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import pace
from dreamerv2_tfa.training import progress
from dreamerv2_tfa.training import trial

_PREFILL_SLICE = 1000  # agent steps between looks at Ctrl-C, at most


class Session:
  """Collects, updates, reports, evaluates and saves, as `train` says when.

  Attributes:
    steps: int, agent steps of the whole run so far.
    updates: int, updates of the whole run so far.
    progress: What the terminal shows.
  """

  def __init__(
      self, root_dir, parts, plan, *, batch_size, sequence_length,
      replay_capacity, eval_episodes, eval_steps, replay_from=None,
      sampling='rows',
  ):
    """Restores what is in the folder; collects and writes nothing yet.

    Args:
      root_dir: Path of the run's folder, which exists.
      parts: `Parts`.
      plan: `Schedule`.
      batch_size: int B.
      sequence_length: int T.
      replay_capacity: `replay.Fit`; `rows` of it are in memory, and `asked`
        stay on disk for a session with more.
      eval_episodes: int, episodes an evaluation; 0: none.
      eval_steps: int, agent steps after which such an episode is cut.
      replay_from: Folder of the run whose stored rows are learned from, and no
        step taken. None: this run's own.
      sampling: One of `replay.SAMPLING`.

    Raises:
      ValueError: If the checkpoint or the stored rows do not fit.
    """
    self._parts = parts
    self._plan = plan
    environment, agent = parts.environment, parts.agent
    trackable = {'agent': agent, 'steps': parts.steps}
    outcomes = metrics.Outcomes(parts.task.metrics)
    if parts.task.metrics:
      trackable['outcomes'] = outcomes.state
    # An environment written in TensorFlow has a state to save.
    if hasattr(environment, 'state'):
      trackable['environment'] = environment.state
    self._checkpoints = checkpoints.Checkpoints(root_dir, **trackable)
    buffer = replay.make_buffer(
        agent.collect_data_spec, environment.batch_size,
        replay_capacity.rows
    )
    self._offline = replay_from is not None
    if self._offline:
      comparison.check_rows(replay_from, parts)
    self._store = store.Store(
        pathlib.Path(replay_from if self._offline else root_dir) / 'replay',
        buffer,
        replay_capacity.rows // environment.batch_size,
        replay_capacity.asked // environment.batch_size,
    )
    self._stored_rows = self._store.load()
    self._tell_skipped()
    if self._offline:
      _check_rows(replay_from, self._stored_rows, sequence_length)
      self._collector = collection.Clock(parts.steps)
    else:
      self._collector = collection.Collector(
          environment, agent.collect_policy, buffer, parts.steps
      )
    self._samples = replay.Samples(
        buffer, batch_size, sequence_length, sampling
    )
    self._sizes = (batch_size, sequence_length)
    self._eval_episodes, self._eval_steps = eval_episodes, eval_steps
    self._evaluation = eval_episodes and evaluation.Evaluation(
        parts.evaluation_environment, agent.policy, eval_episodes, eval_steps
    )
    self._policies = checkpoints.Policies(root_dir, agent)
    self._updates = metrics.Updates(
        lambda: agent.train(self._samples.next())
    )
    self._outcomes = outcomes
    self._pace = pace.Pace()
    self._collected = self._compiled = False  # in this session
    self._count()
    if not self._offline:
      self._check_replay(root_dir, sequence_length)
    self._writer = metrics.Writer(root_dir, self.frames)
    self.progress = progress.Progress(
        plan, self.steps, self.updates, repeat=parts.task.action_repeat,
        evaluates=bool(eval_episodes), gpu=trial.has_gpu(),
    )

  @property
  def frames(self):
    """Environment frames of the whole run so far: int."""
    return self.steps * self._parts.task.action_repeat

  def _count(self):
    """Reads what the run has counted so far."""
    self.steps = self._collector.steps
    self.updates = int(self._parts.agent.train_step_counter)

  def _tell_skipped(self):
    if self._store.missing:
      print(
          f'Note: {self._store.missing} of the rows that were saved are in '
          'replay/ no more. The run resumes without them; to have them, stop '
          'it and put the files back from a copy.'
      )
    if self._store.skipped:
      print(
          f'Note: {self._store.skipped} stored rows were skipped: a number is '
          'not finite, or too large, in them or before the end of their '
          'episode.'
      )

  def _check_replay(self, root_dir, sequence_length):
    """Refuses a run past its prefill whose rows are gone."""
    if self.steps and self.steps >= self._plan.prefill and (
        self._stored_rows <= sequence_length):
      raise ValueError(
          f'{root_dir}/replay holds {self._stored_rows} rows of a run that has '
          f'taken {self.steps:,} steps; a training sequence takes '
          f'{sequence_length + 1}. Put its files back from a copy; or take '
          f'another --root_dir, where train.model_from = {str(root_dir)!r} '
          'takes the world model.'
      )

  def begin(self, stop):
    """Starts the display, says from where, and comes to the first updates."""
    self.progress.start()
    self.announce()
    self.prefill(stop)
    self.update(stop)

  def prefill(self, stop):
    """Takes random steps until there are enough, or `stop` is requested."""
    if self.steps >= self._plan.prefill or self._offline:
      return
    updates = self._plan.updates_due(self._plan.steps) - self.updates
    trial.tell(self.progress, self._parts, updates, *self._sizes)
    self.progress.phase('prefill', self._plan.prefill)
    self.progress.say(f'Prefill: {self._plan.prefill:,} random steps.')
    while self.steps < self._plan.prefill and not stop.requested:
      missing = self._plan.prefill - self.steps
      self._pace.take(self._collector.prefill, min(missing, _PREFILL_SLICE))
      self.steps = self._collector.steps
      self.progress.advance(self.steps, self.updates)

  def collect(self, stop):
    """Takes the steps between two updates: `steps` afterwards."""
    self._samples.settle()
    if self.steps < self._plan.prefill:  # offline, where these steps are none
      self.progress.phase('prefill', self._plan.prefill)
    else:  # the first call compiles the policy, which is no part of its speed
      self.progress.phase('train' if self._collected else 'compile')
    wanted = min(self.steps + self._plan.steps_per_update, self._plan.steps)
    before, start = self.steps, time.monotonic()
    while self.steps < wanted and not stop.requested:
      self._pace.take(self._collector.collect, wanted - self.steps)
      self.steps = self._collector.steps
      self.progress.beat()
    if self._collected:
      self.progress.forecast.acted(
          time.monotonic() - start, self.steps - before
      )
    self.progress.advance(self.steps, self.updates)
    self._collected = before >= self._plan.prefill
    return self.steps

  def update(self, stop):
    """Trains until the updates that are due have run."""
    due = self._plan.updates_due(self.steps)
    while self.updates < due and not stop.requested:
      if not self._compiled:
        self.progress.phase('compile')
        self.progress.say('Compile the first update (up to a minute).')
      self._updates()
      # Counted here as well: to read the agent's count would be to wait.
      self.updates += 1
      self._compiled = True
      self.progress.advance(self.steps, self.updates)
      self.progress.phase('train' if self._collected else 'pretrain', due)

  def report(self):
    """Writes the means since the last report, to files and terminal.

    Raises:
      FloatingPointError: If a loss was not finite.
    """
    self._check_losses()
    self._gather_outcomes()
    numbers = {
        **self._collector.episode_metrics(), **self._outcomes.report(),
        **self._updates.report(),
    }
    numbers['updates'] = float(self.updates)
    numbers['fps'] = self.progress.report(
        self.frames, self.updates, numbers, self._eval_episodes * min(
            numbers.get('train_length', 0.0), self._eval_steps
        ),
    )
    self._writer.write(self.frames, numbers)

  def _gather_outcomes(self):
    self._outcomes.add(batch.pop_metrics(self._parts.environment))

  def _check_losses(self):
    try:
      self._updates.check()
    except FloatingPointError as error:
      raise FloatingPointError(
          f'{error} Such updates are not applied; {self.updates} have run. The '
          f'last checkpoint is {self._checkpoints.latest}.'
      ) from error

  def evaluate(self, stop):
    """Plays greedy episodes and writes their mean return and length.

    Where `stop` is requested meanwhile, nothing is written.
    """
    if not self._evaluation:
      return
    self.progress.phase('evaluate', self._eval_episodes)
    numbers = self._evaluation.run(stop, self.progress.episodes)
    # The outcomes of training alone count.
    batch.pop_metrics(self._parts.evaluation_environment)
    if numbers is None:
      self.progress.say('The evaluation was stopped; it is not counted.')
      return
    self._writer.write(self.frames, numbers)
    self.progress.say(
        f'Evaluation at {self.frames:,} frames: return '
        f'{numbers["eval_return"]:.2f}, length {numbers["eval_length"]:.1f}.'
        f'{self._evaluation.said(numbers)}'
    )

  def save(self):
    """Writes replay, then the checkpoint that counts its rows.

    Raises:
      FloatingPointError: If a loss was not finite; nothing is written then.
    """
    self._check_losses()
    self.progress.phase('save')
    self._gather_outcomes()
    self._samples.settle()
    if not self._offline:
      self._store.save()
    self._checkpoints.save(self.steps)

  def export(self):
    """Writes the SavedModels."""
    self.progress.phase('export')
    self._policies.save()

  def announce(self):
    """Says where the run starts from."""
    if self._checkpoints.resumed:
      self.progress.say(
          f'Resumed at {self.frames:,} frames, {self.updates:,} updates, '
          f'{self._stored_rows:,} stored rows.'
      )

  def adopt(self, old):
    """Takes over the episodes and counts of an old run, and saves.

    The agent has its weights already. Its count of steps holds where there are
    episodes; without them the run starts at 0, with random play.

    Args:
      old: `migration.run.Run`.

    Raises:
      ValueError: If this folder holds a run, or an episode does not fit.
    """
    if self.steps or self.updates or self._stored_rows:
      raise ValueError(
          'The root directory holds a run already. Take another --root_dir.'
      )
    agent = self._parts.agent
    for file in old.episodes:
      rows = episodes.read(file, agent.collect_data_spec)
      self._store.add(tf.nest.map_structure(lambda x: x[:, None], rows))
    self._tell_skipped()
    if old.episodes:
      self._parts.steps.environment_steps.assign(old.steps)
      agent.train_step_counter.assign(self._plan.updates_due(old.steps))
    self._count()
    self.save()
    self.export()
    self.progress.say(
        f'Imported {old.folder}: the weights after {old.steps:,} agent steps '
        f'and {old.updates:,} updates, {len(old.episodes):,} episodes. '
        'bin/train with the same flags goes on from here.'
    )

  def finish(self, stop):
    """Ends the run, or this session of it where `stop` is requested."""
    if self._updates.pending:
      self.report()
    if not stop.requested:
      self.evaluate(stop)
    if stop.requested:
      self.save()
      self.progress.say(
          f'Stopped and saved at {self.frames:,} frames. The same command goes '
          'on from here.'
      )
      return
    self.save()
    self.export()
    self.progress.say(
        f'Done: {self.frames:,} frames, {self.updates:,} updates.'
    )

  def close(self):
    """Ends display and files."""
    self.progress.close()
    self._writer.close()


def _check_rows(replay_from, rows, sequence_length):
  if rows <= sequence_length:
    raise ValueError(
        f'train.replay_from = {str(replay_from)!r} holds {rows} stored rows; '
        f'wanted more than train.sequence_length = {sequence_length}. Give the '
        '--root_dir of a run that has saved.'
    )
