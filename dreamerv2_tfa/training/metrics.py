"""Numbers to TensorBoard and to `metrics.jsonl`."""

from collections.abc import Callable
from collections.abc import Sequence
import itertools
import json
import math
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.util import event_pb2 as event_lib
from tf_agents.agents import tf_agent
from tf_agents.utils import common

from dreamerv2_tfa.training import runs


class Writer:
  """Writes one line and one set of TensorBoard points a call."""

  def __init__(self, folder: runs.RunFolder, step: int):
    """Opens the files of a run for appending.

    Nothing whole is ever deleted. Where a session that was killed has written
    beyond `step`, a line `{"step": step, "resumed": step}` marks what it wrote
    as superseded, see `read`; TensorBoard's mark is a session that starts.

    Args:
      folder: Of the run; it exists.
      step: Environment frames that the run resumes at.

    Raises:
      ValueError: If a line is damaged, other than the last one cut short.
    """
    path = folder.metrics
    live, whole = _parse(path)
    if path.exists() and path.stat().st_size != whole:
      with path.open('r+b') as file:
        file.truncate(whole)
    self._lines = path.open('a', encoding='utf-8')
    if whole and not path.read_bytes().endswith(b'\n'):
      self._lines.write('\n')
    if any(row['step'] > step for row in live):
      self._write_line({'step': step, 'resumed': step})
    self._events = {
        name: _events(directory, step) for name, directory in (
            ('train', folder.train_events), ('eval', folder.eval_events))
    }

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes metrics.

    Args:
      step: Environment frames.
      metrics: Those called `eval_...` go to the events of the
        evaluation. Numbers that are not finite are written as null.
    """
    finite = {
        key: value if math.isfinite(value) else None
        for key, value in metrics.items()
    }
    self._write_line({'step': step, **finite})
    for key, value in metrics.items():
      name = 'eval' if key.startswith('eval_') else 'train'
      with self._events[name].as_default(step=step):
        tf.summary.scalar(key, value)
    for events in self._events.values():
      events.flush()

  def _write_line(self, row):
    self._lines.write(json.dumps(row) + '\n')
    self._lines.flush()

  def close(self) -> None:
    """Closes the files."""
    self._lines.close()
    for events in self._events.values():
      events.close()


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of a `metrics.jsonl` that no resumed session has superseded.

  They are in the order of writing; there are none where there is no file.

  Raises:
    ValueError: If a line is damaged, other than the last one cut short.
  """
  return _parse(path)[0]


def _parse(path):
  """Live rows, and how many bytes of the file are whole lines."""
  live, whole = [], 0
  data = path.read_bytes() if path.exists() else b''
  for number, line in enumerate(data.splitlines(keepends=True), 1):
    try:
      row = _row(path, number, line)
    except ValueError:
      if not line.endswith(b'\n'):
        break  # a process was killed while it wrote
      raise
    whole += len(line)
    if 'resumed' in row:
      live = [before for before in live if before['step'] <= row['resumed']]
    else:
      live.append(row)
  return live, whole


def _row(path, number, line):
  try:
    row = json.loads(line)
    if isinstance(row['step'], int):
      return row
    reason = 'its "step" is no whole number'
  except (ValueError, TypeError, KeyError) as error:
    reason = f'{type(error).__name__}: {error}'
  raise ValueError(
      f'Line {number} of {path} is no JSON object with a "step" ({reason}). '
      'Repair or remove this line; the others are kept.'
  )


def _events(directory, step):
  """A writer of TensorBoard events, beginning after `step`.

  TensorBoard drops what earlier files hold at the step at which a session
  restarts and later. The first start that it sees is none: hence two.
  """
  earlier = any(directory.glob('events.out.tfevents.*'))
  writer = tf.summary.create_file_writer(str(directory))
  event_pb2: Any = event_lib  # its names are made at import
  start = event_pb2.Event(
      wall_time=time.time(), step=step + 1,
      session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START),
  ).SerializeToString()
  for _ in range(2 if earlier else 0):
    # The public ways to write take summaries alone.
    tf.raw_ops.ImportEvent(writer=writer._resource, event=start)
  return writer


class Updates:
  """Runs updates, a compiled call each, and gives the means of their metrics.

  What an update returns stays on the device, in one tensor, until it is looked
  at: nobody waits for it.
  """

  def __init__(self, update: Callable[[], tf_agent.LossInfo]):
    """Runs nothing yet.

    Args:
      update: Runs an update; `extra` of what it returns is a dict of scalars.
    """
    self._names, self._numbers = (), []

    def run():
      info = update()
      numbers = {'loss': info.loss, **info.extra}
      self._names = tuple(numbers)
      return tf.stack([tf.cast(x, tf.float32) for x in numbers.values()])

    self._run = common.function(run)

  def __call__(self) -> None:
    """Runs an update."""
    self._numbers.append(self._run())

  @property
  def pending(self) -> bool:
    """Whether there are updates that no report has shown."""
    return bool(self._numbers)

  def check(self) -> None:
    """Waits for the updates and looks at them.

    Raises:
      FloatingPointError: If the loss of one is not finite.
    """
    for numbers in self._numbers:
      bad = ~np.isfinite(numbers.numpy())
      names = sorted(itertools.compress(self._names, bad))
      if 'loss' in names:
        raise FloatingPointError(
            f'The loss is not finite ({", ".join(names)}).'
        )

  def report(self) -> dict[str, float]:
    """Means over the updates since the last call; empty without."""
    numbers, self._numbers = self._numbers, []
    if not numbers:
      return {}
    means = np.mean([x.numpy() for x in numbers], axis=0, dtype=np.float64)
    return {
        name: float(mean)
        for name, mean in zip(self._names, means, strict=True)
        if name != 'loss'
    }


class Achievements:
  """How many episodes of the whole run unlocked each achievement (Crafter).

  Attributes:
    state: `tf.train.Checkpoint` of the counts, to save and restore.
  """

  def __init__(self, names: Sequence[str]):
    """Starts from no episode.

    Args:
      names: Names of the achievements; none where the task has none.
    """
    self._names = names
    count = lambda shape: tf.Variable(
        tf.zeros(shape, tf.int64), trainable=False
    )
    self.state = tf.train.Checkpoint(
        episodes=count([]), reached=count([len(names)])
    )

  def add(self, episodes: Sequence[dict[str, float]]) -> None:
    """Counts episodes.

    Args:
      episodes: Each a dict from each name to 1.0, unlocked, or 0.0.
    """
    self.state.episodes.assign_add(len(episodes))
    for episode in episodes:
      self.state.reached.assign_add([int(episode[n]) for n in self._names])

  def report(self) -> dict[str, float]:
    """Percentages of the run's episodes, and their score.

      score = exp(mean(ln(1 + s_i))) - 1,  s_i in percent (Crafter, 2021)

    Returns:
      `achievement_<name>` each and `crafter_score`; empty before the first
      episode has ended.
    """
    if not self._names or not int(self.state.episodes):
      return {}
    rates = 100.0 * self.state.reached.numpy() / int(self.state.episodes)
    return {
        **{f'achievement_{n}': float(r)
           for n, r in zip(self._names, rates, strict=True)},
        'crafter_score': float(np.expm1(np.mean(np.log1p(rates)))),
    }
