"""Numbers to TensorBoard and to `metrics.jsonl`."""

import itertools
import json
import math
import pathlib

import numpy as np
import tensorflow as tf
from tf_agents.utils import common


class Writer:
  """Writes one line and one set of TensorBoard points a call."""

  def __init__(self, root_dir, step):
    """Opens the files of a run for appending.

    Args:
      root_dir: Path of the run's folder, which exists.
      step: int, environment frames that the run goes on from; lines of later
        ones, left by a session that was killed, are dropped.
    """
    root_dir = pathlib.Path(root_dir)
    path = root_dir / 'metrics.jsonl'
    before = path.read_text(encoding='utf-8') if path.exists() else ''
    kept = path.with_suffix('.part')
    kept.write_text(_until(before, step), encoding='utf-8')
    kept.replace(path)
    self._lines = path.open('a', encoding='utf-8')
    self._events = {
        name: tf.summary.create_file_writer(str(root_dir / name))
        for name in ('train', 'eval')
    }

  def write(self, step, metrics):
    """Writes metrics.

    Args:
      step: int, environment frames.
      metrics: Dict of floats; those called `eval_...` go to the events of the
        evaluation. Numbers that are not finite are written as null.
    """
    finite = {
        key: value if math.isfinite(value) else None
        for key, value in metrics.items()
    }
    self._lines.write(json.dumps({'step': step, **finite}) + '\n')
    self._lines.flush()
    for key, value in metrics.items():
      name = 'eval' if key.startswith('eval_') else 'train'
      with self._events[name].as_default(step=step):
        tf.summary.scalar(key, value)
    for events in self._events.values():
      events.flush()

  def close(self):
    """Closes the files."""
    self._lines.close()
    for events in self._events.values():
      events.close()


def _until(lines, step):
  """The whole lines whose step is at most `step`."""
  whole = [line for line in lines.splitlines(True) if line.endswith('}\n')]
  return ''.join(line for line in whole if json.loads(line)['step'] <= step)


class Updates:
  """Runs updates, a compiled call each, and gives the means of their metrics.

  What an update returns stays on the device, in one tensor, until it is looked
  at: nobody waits for it.
  """

  def __init__(self, update):
    """Runs nothing yet.

    Args:
      update: Function without arguments that runs an update and returns its
        `LossInfo`; `extra` is a dict of scalars.
    """
    self._names, self._numbers = (), []

    def run():
      info = update()
      numbers = {'loss': info.loss, **info.extra}
      self._names = tuple(numbers)
      return tf.stack([tf.cast(x, tf.float32) for x in numbers.values()])

    self._run = common.function(run)

  def __call__(self):
    """Runs an update."""
    self._numbers.append(self._run())

  @property
  def pending(self):
    """Whether there are updates that no report has shown."""
    return bool(self._numbers)

  def check(self):
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

  def report(self):
    """Dict of floats, means over the updates; empty without. Starts anew."""
    numbers, self._numbers = self._numbers, []
    if not numbers:
      return {}
    means = np.mean([x.numpy() for x in numbers], axis=0, dtype=np.float64)
    return {
        name: float(mean)
        for name, mean in zip(self._names, means, strict=True)
        if name != 'loss'
    }


class Outcomes:
  """What episodes of the whole run achieved, such as Crafter's achievements.

  Attributes:
    state: `tf.train.Checkpoint` of the counts, to save and restore.
  """

  def __init__(self, names):
    """Starts from no episode.

    Args:
      names: Names of the outcomes; none where the task has none.
    """
    self._names = names
    count = lambda shape: tf.Variable(
        tf.zeros(shape, tf.int64), trainable=False
    )
    self.state = tf.train.Checkpoint(
        episodes=count([]), reached=count([len(names)])
    )

  def add(self, outcomes):
    """Counts episodes.

    Args:
      outcomes: List of dicts from each name to 1.0, reached, or 0.0.
    """
    self.state.episodes.assign_add(len(outcomes))
    for outcome in outcomes:
      self.state.reached.assign_add([int(outcome[n]) for n in self._names])

  def report(self):
    """Percentages of the run's episodes, and their score.

      score = exp(mean(ln(1 + s_i))) - 1,  s_i in percent (Crafter, 2021)

    Returns:
      Dict of floats: `achievement_<name>` each and `crafter_score`; empty
      before the first episode has ended.
    """
    if not self._names or not int(self.state.episodes):
      return {}
    rates = 100.0 * self.state.reached.numpy() / int(self.state.episodes)
    return {
        **{f'achievement_{n}': float(r)
           for n, r in zip(self._names, rates, strict=True)},
        'crafter_score': float(np.expm1(np.mean(np.log1p(rates)))),
    }
