"""The evaluator: plays what the learner saves, and writes how it went."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import pathlib
import time

from dreamerv2_tfa.behaviour import fused_policy
from dreamerv2_tfa.distributed import drawn as drawn_lib
from dreamerv2_tfa.distributed import scores
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import best
from dreamerv2_tfa.training import callbacks as callbacks_lib
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import evaluation as evaluation_lib
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import loggers
from dreamerv2_tfa.training import looks as looks_lib
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import sums
from dreamerv2_tfa.training.loggers import group
from dreamerv2_tfa.training.loggers import logger

_LOGGERS = ('tensorboard', 'jsonl')  # others are the learner's
_POLL = 0.2  # seconds between looks at the folder
_LEAVES = 60.0  # seconds from a learner's last save to its end, at most


def follow(
    folder: runs.RunFolder, settings: settings_lib.Settings,
    parts: parts_lib.Parts, stop: interrupt.Interrupt,
    ended: Callable[[], bool], drawn: drawn_lib.Drawn,
    callbacks: Sequence[callbacks_lib.Callback] = (),
) -> None:
  """Evaluates checkpoints as they are due, until the learner's last one.

  Its lines are in a folder of its own: the learner writes the run's.

  Args:
    folder: Of the run.
    settings: Of the run.
    parts: Of this process.
    stop: Ends it.
    ended: Whether the learner has ended.
    drawn: Windows of the run, to look at.
    callbacks: Told of each evaluation, and of the end.
  """
  own, repeat = runs.RunFolder(folder.evaluations), parts.task.action_repeat
  own.root.mkdir(parents=True, exist_ok=True)
  before = metrics_lib.last_evaluation(own.metrics)
  done = before['step'] // repeat if before else 0
  stage = _Stage(own, settings, parts, drawn, done * repeat)
  last, over = settings.timetable.steps, False
  tell = lambda kind, metrics: _tell(callbacks, callbacks_lib.Event(
      kind, done * repeat, int(parts.agent.train_step_counter.numpy()),
      metrics, folder.root, stop.request))
  try:
    while done < last and settings.eval_episodes and not stop.requested:
      found = _due(folder, settings, done, over)
      if found is None and over:
        break
      if found is None or not _restored(found, parts):
        over = over or _asked(ended, stop)
        time.sleep(_POLL)
        continue
      steps, digest = checkpoint_files.step(found), scores.digest(found)
      metrics = stage.play(steps * repeat, stop)
      if metrics is None:
        return
      scores.note(folder, found, metrics['eval_return'], digest)
      done = steps
      tell('evaluation', metrics)
    _keep_best(folder, stop)
    tell('end', {})
  finally:
    stage.close()


class _Stage:
  """Plays evaluations, looks at them, and writes how they went."""

  def __init__(self, own, settings, parts, drawn, frames):
    self._own, self._environment = own, parts.evaluation_environment
    self._drawn = drawn
    self._writer = group.Group(
        loggers.load(_LOGGERS), logger.Start(own, frames, frames, frames),
        print)
    self._looks = looks_lib.Looks(parts.agent, drawn.buffer, settings)
    self._evaluation = evaluation_lib.Evaluation(
        self._environment, fused_policy.of(parts.agent.policy, parts.agent.jit),
        settings.eval_episodes, settings.eval_steps, self._looks.recorder)
    self.close = self._writer.close

  def play(self, frames, stop):
    """Returns the metrics; None where it was stopped, and nothing written."""
    self._looks.begin()
    metrics = self._evaluation.run(stop)
    batch.pop_metrics(self._environment)
    if metrics is not None:
      self._drawn.draw()
      self._looks.write(self._writer, self._own, frames, metrics)
      self._writer.sync()
      print(f'Evaluation at {frames:,} frames: return '
            f'{metrics["eval_return"]:.2f}, length '
            f'{metrics["eval_length"]:.1f}.', flush=True)
    return metrics


def _keep_best(folder, stop):
  """Keeps the best checkpoint, once the learner has left the run."""
  until = time.monotonic() + _LEAVES
  found = scores.best(folder)
  while found and not stop.requested and time.monotonic() < until:
    with contextlib.ExitStack() as stack:
      try:
        stack.enter_context(lock.locked(folder.lock))
      except ValueError:  # the learner has it, which will do it as well
        time.sleep(_POLL)
        continue
      best.keep(folder, sums.Sums(folder), *found)
      return


def _due(folder, settings, done, over):
  """Path of a checkpoint to evaluate; None while there is none."""
  found = _newest(folder.checkpoints)
  steps = checkpoint_files.step(found) if found else 0
  due = over or steps >= settings.timetable.steps or (
      settings.timetable.due(done, steps).evaluate)
  return found if steps > done and due else None


def _asked(ended, stop):
  """Whether the learner has ended; the question may be stopped."""
  try:
    return ended()
  except faults.EnvironmentFailed:
    if not stop.requested:
      raise
    return False


def _tell(callbacks, event):
  for callback in callbacks:
    callback(event)


def _newest(directory: pathlib.Path) -> str | None:
  """Path of the last whole checkpoint; None while there is none.

  The learner may be writing or removing files meanwhile.
  """
  try:
    return checkpoint_files.find(directory)
  except (ValueError, OSError):
    return None


def _restored(path, parts):
  """Whether a checkpoint could be read: it may be removed meanwhile."""
  try:
    checkpoints.restore(path, agent=parts.agent, steps=parts.steps)
  except (ValueError, OSError):
    if _newest(pathlib.Path(path).parent) == path:
      raise
    return False
  return True
