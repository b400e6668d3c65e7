"""What tells of a run: the terminal, `metrics.jsonl`, TensorBoard."""

from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import progress as progress_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import trainer as trainer_lib
from dreamerv2_tfa.training import trial


class Reporter:
  """Writes what a `Trainer` has done, and shows it.

  Attributes:
    progress: `Progress`, what the terminal shows while the trainer works.
  """

  def __init__(
      self, folder: runs.RunFolder, parts: parts_lib.Parts,
      settings: settings_lib.Settings, trainer: trainer_lib.Trainer,
  ):
    """Opens the files of the run; draws nothing yet.

    Raises:
      ValueError: If `metrics.jsonl` is damaged.
    """
    self._parts, self._settings, self._trainer = parts, settings, trainer
    self._tell_lost_rows()
    self._writer = metrics_lib.Writer(folder, trainer.frames)
    self.progress = progress_lib.Progress(
        settings.timetable, trainer.steps, trainer.updates,
        repeat=parts.task.action_repeat,
        evaluates=bool(settings.eval_episodes), gpu=trial.has_gpu(),
    )

  def _tell_lost_rows(self):
    if self._trainer.missing_rows:
      print(
          f'Note: {self._trainer.missing_rows} of the rows that were saved are '
          'in replay/ no more. The run resumes without them; to have them, '
          'stop it and put the files back from a copy.'
      )
    self.tell_skipped_rows()

  def tell_skipped_rows(self) -> None:
    """Says how many rows were not loaded for their numbers, if any."""
    if self._trainer.skipped_rows:
      print(
          f'Note: {self._trainer.skipped_rows} stored rows were skipped: a '
          'number is not finite, or too large, in them or before the end of '
          'their episode.'
      )

  def begin(self) -> None:
    """Starts the display, and says where the run starts from.

    A long run is told first what it will take, by one update that is tried.
    """
    self.progress.start()
    trainer = self._trainer
    if trainer.resumed:
      self.progress.say(
          f'Resumed at {trainer.frames:,} frames, {trainer.updates:,} updates, '
          f'{trainer.stored_rows:,} stored rows.'
      )
    if trainer.needs_prefill:
      trial.tell(
          self.progress, self._parts,
          self._settings.timetable.updates - trainer.updates,
          self._settings.batch_size, self._settings.sequence_length,
      )

  def report(self) -> None:
    """Writes the means since the last report, to files and terminal.

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
    self._writer.write(trainer.frames, metrics)

  def evaluated(self, metrics: dict[str, float] | None) -> None:
    """Writes an evaluation, of `Trainer.evaluate`; None: it was stopped."""
    if metrics is None:
      self.progress.say('The evaluation was stopped; it is not counted.')
      return
    frames = self._trainer.frames
    self._writer.write(frames, metrics)
    self.progress.say(
        f'Evaluation at {frames:,} frames: return '
        f'{metrics["eval_return"]:.2f}, length {metrics["eval_length"]:.1f}.'
        + evaluation.cut_episodes(
            metrics, self._settings.eval_episodes, self._settings.eval_steps
        )
    )

  def stopped(self) -> None:
    """Says that the run was stopped and saved."""
    self.progress.say(
        f'Stopped and saved at {self._trainer.frames:,} frames. The same '
        'command resumes from here.'
    )

  def done(self) -> None:
    """Says that the run has taken all its steps."""
    self.progress.say(
        f'Done: {self._trainer.frames:,} frames, {self._trainer.updates:,} '
        'updates.'
    )

  def close(self) -> None:
    """Ends display and files."""
    self.progress.close()
    self._writer.close()
