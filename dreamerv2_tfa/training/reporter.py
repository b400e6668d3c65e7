"""What tells of a run: the terminal, and its loggers."""

from collections.abc import Sequence

from dreamerv2_tfa import devices
from dreamerv2_tfa.training import callbacks as callbacks_lib
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import progress as progress_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import trainer as trainer_lib
from dreamerv2_tfa.training import trial
from dreamerv2_tfa.training.loggers import described
from dreamerv2_tfa.training.loggers import group
from dreamerv2_tfa.training.loggers import logger


class Reporter:
  """Writes what a `Trainer` has done, and shows it.

  Attributes:
    progress: `Progress`, what the terminal shows while the trainer works.
  """

  def __init__(
      self, folder: runs.RunFolder, parts: parts_lib.Parts,
      settings: settings_lib.Settings, trainer: trainer_lib.Trainer,
      loggers: Sequence[logger.Chosen],
      callbacks: Sequence[callbacks_lib.Callback] = (),
  ):
    """Opens the loggers of the run; draws nothing yet.

    Raises:
      ValueError: If `metrics.jsonl` is damaged, or a logger cannot be opened.
    """
    self._parts, self._settings, self._trainer = parts, settings, trainer
    self._folder, self._callbacks, self._events = folder, callbacks, []
    self._tell_lost_rows()
    repeat = parts.task.action_repeat
    self.progress = progress_lib.Progress(
        settings.timetable, trainer.steps, trainer.updates,
        repeat=repeat, evaluates=bool(settings.eval_episodes),
        gpu=devices.has_gpu(),
    )
    self._writer = group.Group(
        loggers, logger.Start(
            folder, trainer.frames, trainer.reported * repeat,
            trainer.evaluated * repeat),
        self.progress.say,
    )

  def _tell_lost_rows(self):
    commit = self._trainer.commit
    for line in [*commit.notes, *commit.store.notes]:
      print(f'Note: {line}')
    if commit.store.missing:
      print(
          f'Note: {commit.store.missing} of the rows that were saved are in '
          'replay/ no more, or damaged. The run resumes without them; to have '
          'them, stop it and put the files back from a copy.'
      )
    if commit.cut_rows:
      print(
          f'Note: {commit.cut_rows} rows in replay/ are beyond the checkpoint '
          'that the run resumes from. They are removed, and collected again.'
      )
    self.tell_skipped_rows()

  def tell_skipped_rows(self) -> None:
    """Says how many rows were not loaded for their numbers, if any."""
    skipped = self._trainer.commit.store.skipped
    if skipped:
      print(
          f'Note: {skipped} stored rows were skipped: a '
          'number is not finite, or too large, in them or before the end of '
          'their episode.'
      )

  def begin(self) -> None:
    """Starts the display, and says what the run is and where it starts from.

    A long run is told first what it will take, by one update that is tried.
    """
    self.progress.start()
    self._describe()
    trainer = self._trainer
    if trainer.commit.resumed:
      self.progress.say(
          f'Resumed at {trainer.frames:,} frames, {trainer.updates:,} updates, '
          f'{trainer.commit.stored_rows:,} stored rows.'
      )
    if trainer.needs_prefill:
      trial.tell(
          self.progress, self._parts,
          self._settings.timetable.updates - trainer.updates,
          self._settings.batch_size, self._settings.sequence_length,
      )

  def _describe(self):
    """Tells the loggers the settings, and what else the run is."""
    for name, text in described.texts(self._folder).items():
      self._writer.text(name, text)
    self._writer.hparams(described.hparams(self._folder))

  def report(self) -> None:
    """Writes the means since the last report, to loggers and terminal.

    Raises:
      FloatingPointError: If a loss was not finite.
    """
    trainer = self._trainer
    metrics = trainer.report()
    metrics['fps'] = self.progress.report(
        trainer.frames, trainer.updates, metrics,
        self._settings.eval_episodes * min(
            metrics.get('train_length', 0.0), self._settings.eval_steps
        ),
    )
    with trainer.stopwatch.part('log'):
      self._writer.write(trainer.frames, metrics)
    for name in trainer.at_floor:
      self.progress.say(
          f'Note: the loss scale of the {name} optimizer is 1, the smallest '
          'there is: its gradients overflow float16. Lower its learning rate, '
          'or train with --precision=bf16 or 32.'
      )

  def saved(self) -> None:
    """Flushes what was written to the disk."""
    self._writer.sync()
    self._events.append(('save', {}))

  def tell_callbacks(self, stop: interrupt.Interrupt) -> None:
    """Tells the callbacks what was done since the last call.

    Args:
      stop: What they may request.

    Raises:
      Exception: What one of them raises.
    """
    events, self._events = self._events, []
    for kind, metrics in events:
      for callback in self._callbacks:
        callback(callbacks_lib.Event(
            kind, self._trainer.frames, self._trainer.updates, dict(metrics),
            self._folder.root, stop.request))

  def evaluated(self, metrics: dict[str, float] | None) -> bool:
    """Writes an evaluation.

    Args:
      metrics: Of `Trainer.evaluate`; None: it was stopped.

    Returns:
      Whether it was played to its end.
    """
    if metrics is None:
      self.progress.say(
          'The evaluation was stopped; the resumed run plays it again.'
      )
      return False
    frames = self._trainer.frames
    with self._trainer.stopwatch.part('look'):
      self._trainer.looks.write(self._writer, self._folder, frames, metrics)
    self.progress.say(
        f'Evaluation at {frames:,} frames: return '
        f'{metrics["eval_return"]:.2f}, length {metrics["eval_length"]:.1f}.'
        + evaluation.cut_episodes(
            metrics, self._settings.eval_episodes, self._settings.eval_steps
        )
    )
    self._events.append(('evaluation', metrics))
    return True

  def stopped(self) -> None:
    """Says that the run was stopped and saved."""
    self.progress.say(
        f'Stopped and saved at {self._trainer.frames:,} frames. The same '
        'command resumes from here.'
    )
    self._events.append(('end', {}))

  def done(self) -> None:
    """Says that the run has taken all its steps."""
    self.progress.say(
        f'Done: {self._trainer.frames:,} frames, {self._trainer.updates:,} '
        'updates.'
    )
    self._events.append(('end', {}))

  def close(self) -> None:
    """Ends display and loggers."""
    self.progress.close()
    self._writer.close()
