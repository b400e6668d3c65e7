"""Numbers to TensorBoard and to `metrics.jsonl`."""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import io
import json
import math
import os
import pathlib
from typing import Any

import numpy as np
from tensorboard.plugins.image import metadata as image_metadata
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.utils import common

from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import events
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import videos

# Of the machine: these differ where a run is repeated, so that they have a file
# of their own, and those of the run are equal to the last digit (but `fps`).
_MACHINE = ('time/', 'memory/')


class Writer:
  """Writes a line of each file and one set of TensorBoard points a call."""

  def __init__(
      self, folder: runs.RunFolder, step: int, *, reported: int,
      evaluated: int,
  ):
    """Opens the files of a run for appending.

    Where a session that was killed has written what the run that is resumed
    does not know of, a line in `metrics.jsonl` marks it as superseded, see
    `read`. TensorBoard's events of it are removed, see `events`.

    Args:
      folder: Of the run; it exists.
      step: Environment frames that the run resumes at.
      reported: Frames at the last report that it knows of, up to `step`.
      evaluated: Frames at the last evaluation that it knows of, up to `step`.

    Raises:
      ValueError: If a line is damaged, other than the last one cut short.
    """
    self._videos = folder.videos
    path = folder.metrics
    live, whole = _parse(path)
    if path.exists() and path.stat().st_size != whole:
      with path.open('r+b') as file:
        file.truncate(whole)
    self._lines = path.open('a', encoding='utf-8')
    self._machine = _appending(folder.machine)
    if whole and not reading.data(path, reading.LINES).endswith(b'\n'):
      self._lines.write('\n')
    last = {'train': reported, 'eval': evaluated}
    for kind in last:  # `step` itself, where it says the same
      if not any(_kind(row) == kind and last[kind] < row['step'] <= step
                 for row in live):
        last[kind] = step
    mark = {'step': step, 'resumed': last['train']}
    if last['eval'] != last['train']:
      mark['evaluated'] = last['eval']
    if _live(live, mark) != live:
      _write_line(self._lines, mark)
    self._events = {
        name: events.writer(directory, last[name]) for name, directory in (
            ('train', folder.train_events), ('eval', folder.eval_events))
    }

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes metrics.

    Args:
      step: Environment frames.
      metrics: Those called `eval_...` go to the events of the
        evaluation. Numbers that are not finite are written as null.
    """
    for lines, machine in ((self._lines, False), (self._machine, True)):
      finite = {
          key: value if math.isfinite(value) else None
          for key, value in metrics.items()
          if key.startswith(_MACHINE) == machine
      }
      if finite:
        _write_line(lines, {'step': step, **finite})
    for key, value in metrics.items():
      evaluated = key.startswith('eval_') or (
          '/' in key and 'eval_return' in metrics)
      name = 'eval' if evaluated else 'train'
      with self._events[name].as_default(step=step):
        tf.summary.scalar(key, value)
    for each in self._events.values():
      each.flush()

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Writes films: to TensorBoard, and the last one of each to `videos/`.

    Args:
      step: Environment frames.
      films: By name, uint8 `[frames, height, width, 1 or 3]`.
    """
    for name, film in films.items():
      data = videos.gif(film)
      height, width = film.shape[1:3]
      with self._events['eval'].as_default(step=step):
        tf.summary.write(
            name, tf.constant([str(width), str(height), data]),
            metadata=image_metadata.create_summary_metadata(name, ''))
      self._videos.mkdir(exist_ok=True)
      path = self._videos / f'{name.replace("/", "_")}.gif'
      durable.write_bytes(path, data)
    self._events['eval'].flush()

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Writes distributions to the events of the evaluation.

    Args:
      step: Environment frames.
      arrays: By name, float `[N]` each.
    """
    with self._events['eval'].as_default(step=step):
      for name, values in arrays.items():
        tf.summary.histogram(f'histograms/{name}', values)
    self._events['eval'].flush()

  def sync(self) -> None:
    """Flushes `metrics.jsonl` to the disk."""
    os.fsync(self._lines.fileno())

  def close(self) -> None:
    """Closes the files."""
    self._lines.close()
    self._machine.close()
    for each in self._events.values():
      each.close()


def _appending(path):
  """Opens a file of lines; a line that a kill has cut short ends there."""
  file = path.open('ab+')
  if file.tell():
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b'\n':
      file.write(b'\n')
  return io.TextIOWrapper(file, encoding='utf-8')


def _write_line(file, row):
  file.write(json.dumps(row) + '\n')
  file.flush()


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of a `metrics.jsonl` that no resumed session has superseded.

  A line `{"step": S, "resumed": S}` supersedes those before it beyond S. With
  `"evaluated": E`, evaluations before it count up to E.

  They are in the order of writing; there are none where there is no file.

  Raises:
    ValueError: If a line is damaged, other than the last one cut short.
  """
  return _parse(path)[0]


def last_evaluation(path: pathlib.Path) -> dict[str, Any] | None:
  """The line of the last evaluation in a `metrics.jsonl`; None without one.

  Raises:
    ValueError: As `read`.
  """
  return next((row for row in read(path)[::-1] if _kind(row) == 'eval'), None)


def _parse(path):
  """Live rows, and how many bytes of the file are whole lines."""
  live, whole = [], 0
  try:
    data = reading.data(path, reading.LINES) if path.exists() else b''
  except (ValueError, OSError) as error:
    raise ValueError(
        f'{path} cannot be read: {error}. Put it back from a copy, or move it '
        'away: training writes a new one.'
    ) from error
  for number, line in enumerate(data.splitlines(keepends=True), 1):
    try:
      row = _row(path, number, line)
    except ValueError:
      if not line.endswith(b'\n'):
        break  # a process was killed while it wrote
      raise
    whole += len(line)
    if 'resumed' in row:
      live = _live(live, row)
    else:
      live.append(row)
  return live, whole


def _kind(row):
  return 'eval' if 'eval_return' in row else 'train'


def _live(rows, mark):
  """The rows that a mark leaves."""
  last = {'train': mark['resumed'],
          'eval': mark.get('evaluated', mark['resumed'])}
  return [row for row in rows if row['step'] <= last[_kind(row)]]


def _row(path, number, line):
  try:
    row = reading.parsed(line)
    if isinstance(row['step'], int):
      return row
    reason = 'its "step" is no whole number'
  except (ValueError, TypeError, KeyError) as error:
    reason = f'{type(error).__name__}: {error}'
  raise ValueError(
      f'Line {number} of {path} is no JSON object with a "step" ({reason}). '
      'Repair or remove this line; the others are kept.'
  )


class Updates:
  """Runs updates, a compiled call each, and gives the means of their metrics.

  What an update returns stays on the device, in one tensor, until it is looked
  at: that of the last update before the next one runs. The policy has waited
  for its weights by then, unless it has weights of its own.
  """

  def __init__(
      self, update: Callable[[], tf_agent.LossInfo],
      look: Callable[[dict[str, float]], None], *,
      before: Callable[[], None] = lambda: None, beside: bool = False,
  ):
    """Runs nothing yet.

    Args:
      update: Runs an update; `extra` of what it returns is a dict of scalars.
      look: Called with the numbers of the last update, if one of them is not
        finite; may raise.
      before: Called between two updates, when none runs.
      beside: Whether an update runs in a thread of its own until it is looked
        at. The first one, which is compiled, is waited for.
    """
    self._names, self._numbers = (), []
    self._look, self._before, self._unseen = look, before, False
    self._threads = futures.ThreadPoolExecutor(1) if beside else None
    self._compiled = False

    def run():
      info = update()
      numbers = {'loss': info.loss, **info.extra}
      self._names = tuple(numbers)
      return tf.stack([tf.cast(x, tf.float32) for x in numbers.values()])

    self._run = common.function(run)

  def __call__(self) -> None:
    """Runs an update, or begins to."""
    self.check()
    self._before()
    if self._threads and self._compiled:
      self._numbers.append(self._threads.submit(self._run))
    else:
      self._numbers.append(self._run())
    self._unseen = self._compiled = True

  @property
  def pending(self) -> bool:
    """Whether there are updates that no report has shown."""
    return bool(self._numbers)

  def check(self) -> None:
    """Waits for the last update and looks at its numbers.

    Raises:
      Exception: What the update has raised.
    """
    if not self._unseen:
      return
    self._unseen = False
    numbers = self._numbers.pop()
    if isinstance(numbers, futures.Future):
      numbers = numbers.result()
    numbers = numbers.numpy()
    self._numbers.append(numbers)
    if not np.isfinite(numbers).all():
      self._look(dict(zip(self._names, numbers.tolist(), strict=True)))

  def report(self) -> dict[str, float]:
    """Means over the updates since the last call; empty without."""
    self.check()
    numbers, self._numbers = self._numbers, []
    if not numbers:
      return {}
    means = np.mean(numbers, axis=0, dtype=np.float64)
    return {
        name: float(mean)
        for name, mean in zip(self._names, means, strict=True)
        if name != 'loss'
    }

  def unreported(self) -> str:
    """The numbers of updates since the last report, as JSON."""
    rows = [np.asarray(x).tolist() for x in self._numbers]
    return json.dumps({'names': self._names, 'numbers': rows})

  def restore(self, text: str) -> None:
    """Takes over what another process has not reported.

    Args:
      text: Of its `unreported`; equal to the last bit.
    """
    known = json.loads(text)
    self._names = tuple(known['names'])
    self._numbers = list(np.asarray(known['numbers'], np.float32))


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
