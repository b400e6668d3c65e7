"""The lines of `metrics.jsonl`, and the means in them."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent import futures
import json
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.utils import common

from dreamerv2_tfa import reading
from dreamerv2_tfa.training import runs

_EVALUATION = ('eval_', 'diagnostics/')  # names of its metrics


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of a `metrics.jsonl` that no resumed session has superseded.

  A line `{"step": S, "resumed": S}` supersedes those before it beyond S. With
  `"evaluated": E`, evaluations before it count up to E.

  They are in the order of writing; there are none where there is no file.

  Raises:
    ValueError: If a line is damaged, other than the last one cut short.
  """
  return parse(path)[0]


def of_run(folder: runs.RunFolder) -> list[dict[str, Any]]:
  """The lines of a run: its own, and where it has an evaluator, those.

  Raises:
    ValueError: As `read`.
  """
  played = read(runs.RunFolder(folder.evaluations).metrics)
  rows = read(folder.metrics)
  return sorted(rows + played, key=lambda row: row['step']) if played else rows


def last_evaluation(path: pathlib.Path) -> dict[str, Any] | None:
  """The line of the last evaluation in a `metrics.jsonl`; None without one.

  Raises:
    ValueError: As `read`.
  """
  return next((row for row in read(path)[::-1] if 'eval_return' in row), None)


def parse(path: pathlib.Path) -> tuple[list[dict[str, Any]], int]:
  """The rows of `read`, and how many bytes of the file are whole lines.

  Raises:
    ValueError: As `read`.
  """
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
      live = left(live, row)
    else:
      live.append(row)
  return live, whole


def kind(row: Mapping[str, Any]) -> str:
  """'eval' for metrics of an evaluation or its diagnostics, else 'train'."""
  return 'eval' if any(key.startswith(_EVALUATION) for key in row) else 'train'


def left(
    rows: list[dict[str, Any]], mark: dict[str, Any],
) -> list[dict[str, Any]]:
  """The rows that a mark does not supersede, see `read`."""
  last = {'train': mark['resumed'],
          'eval': mark.get('evaluated', mark['resumed'])}
  return [row for row in rows if row['step'] <= last[kind(row)]]


def _row(path, number, line):
  try:
    row = reading.parsed(line)
    if isinstance(row['step'], int):
      return row
    reason = 'its "step" is no whole number'
  except json.JSONDecodeError as error:
    reason = f'{error.msg}, at character {error.pos + 1}'
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
