"""Windows of replay: the laws by which they are drawn, each from a seed."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa.experience import buffer as buffer_lib

LAWS = ('rows', 'episodes', 'episodes_ends')


def batch(
    buffer: buffer_lib.Buffer, draws: tf.Tensor, length: int, law: str
) -> tf.Tensor:
  """Reads a batch of windows of the rows that are present.

  Which windows, depends on `draws` and the rows from the oldest to the newest,
  and not on their places in the ring: a buffer that was loaded from disk gives
  the same batch as the one that was saved.

  Args:
    buffer: Of `Trajectory` rows, unless the law is 'rows'.
    draws: float64 `[B, 2]` in [0, 1).
    length: T; a window has T + 1 stored rows, which are T model rows.
    law: One of `LAWS`.

  Returns:
    Nest like a row, `[B, T + 1, ...]`.
  """
  added = buffer.added
  oldest = tf.maximum(added - buffer.length, 0)
  if law == 'rows':
    environment, first = _uniform(
        added - oldest, draws, length, buffer.environments)
  else:
    chosen = tf.numpy_function(
        lambda types, draws: draw(
            types, draws, length, ends=law == 'episodes_ends'),
        [buffer.step_types(), draws], tf.int64, stateful=False,
    )
    environment, first = tf.unstack(tf.ensure_shape(chosen, [None, 2]), axis=1)
  rows = (oldest + first)[:, None] + tf.range(length + 1, dtype=tf.int64)
  index = buffer.place(rows, environment[:, None])
  return buffer.read(tf.ensure_shape(index, [draws.shape[0], length + 1]))


def _uniform(rows, draws, length, environments):
  """An environment and a first row, each uniform: two of int64 `[B]`."""
  with tf.control_dependencies([tf.debugging.assert_greater(
      rows, tf.constant(length, tf.int64),
      'Replay holds fewer rows than a sequence of train.sequence_length = '
      f'{length} takes, {length + 1}. Raise train.prefill.')]):
    ways = tf.stack([tf.constant(environments, tf.int64), rows - length])
  return tf.unstack(
      tf.cast(draws * tf.cast(ways, tf.float64), tf.int64), axis=1)


def episodes(types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Finds the episodes of one environment.

  A model row needs the stored row before it, so the oldest row is none.

  Args:
    types: int `[rows]`, step types, oldest first.

  Returns:
    int64 `[episodes, 2]`, first and last model row of each, and bool
    `[episodes]`, whether it has ended. If the oldest rows of an episode were
    overwritten, the remaining ones count as an episode.
  """
  firsts = np.flatnonzero(types == ts.StepType.FIRST)
  firsts = np.union1d(firsts, [0])
  lasts = np.append(firsts[1:] - 1, len(types) - 1)
  ended = np.ones(len(firsts), bool)
  ended[-1] = types[-1] == ts.StepType.LAST
  spans = np.stack([np.maximum(firsts, 1), lasts], 1)
  there = spans[:, 0] <= spans[:, 1]
  return spans[there], ended[there]


def draw(
    types: np.ndarray, draws: np.ndarray, length: int, *, ends: bool
) -> np.ndarray:
  """Draws windows: an episode, uniformly, then a window of it.

    model rows   a  a+1   ...   e        total = e - a + 1
    window i        i ... i + T - 1      i in 0 ... total - T
    ends=False   i uniform
    ends=True    i = min(j, total - T), j uniform in 0 ... total: the last
                 window has T + 1 chances of total + 1 (published package)

  Only episodes that have ended are drawn, as in the published package; until
  there is one, unfinished episodes are. That package drops episodes of less
  than T rows. Here a window of such an episode starts at its first row and
  includes rows of the next episodes (or earlier ones, if it is the newest).

  Args:
    types: int `[environments, rows]`, step types, oldest first.
    draws: float64 `[B, 2]` in [0, 1).
    length: T; a window has T + 1 rows.
    ends: See above.

  Returns:
    int64 `[B, 2]`: the environment, and the window's first row.

  Raises:
    ValueError: If there are less than T + 1 rows.
  """
  rows = types.shape[1]
  if rows <= length:
    raise ValueError(
        f'Replay holds {rows} rows; a sequence of train.sequence_length = '
        f'{length} takes {length + 1}. Raise train.prefill.'
    )
  found = [episodes(each) for each in types]
  environment = np.repeat(
      np.arange(len(types)), [len(ended) for _, ended in found])
  spans = np.concatenate([spans for spans, _ in found])
  ended = np.concatenate([ended for _, ended in found])
  if ended.any():
    environment, spans = environment[ended], spans[ended]
  chosen = (draws[:, 0] * len(spans)).astype(np.int64)
  first, last = spans[chosen].T
  room = np.maximum(last - first + 1 - length, 0)
  window = (draws[:, 1] * (room + 1 + ends * length)).astype(np.int64)
  place = first - 1 + np.minimum(window, room)
  place = np.minimum(place, rows - 1 - length)
  return np.stack([environment[chosen], place], 1)


def newest(types: np.ndarray, length: int, count: int) -> np.ndarray:
  """Finds the newest windows that are each inside one episode.

  Args:
    types: int `[environments, rows]`, step types, oldest first.
    length: Rows of each.
    count: Windows, at most; they have no row in common.

  Returns:
    int64 `[at most count, 2]`: the environment, and the window's first row;
    the newest one first.
  """
  found = []
  for environment, each in enumerate(types):
    firsts = np.flatnonzero(each == ts.StepType.FIRST)
    if not len(firsts):  # one episode, whose beginning was overwritten
      firsts = np.zeros(1, int)
    ends = np.append(firsts[1:], len(each))
    starts = []
    for first, end in list(zip(firsts, ends, strict=True))[::-1]:
      starts += range(end - length, first - 1, -length)
      if len(starts) >= count:
        break
    found += [(environment, start) for start in starts[:count]]
  found.sort(key=lambda place: -place[1])
  return np.array(found[:count], np.int64).reshape(-1, 2)


def read_newest(
    buffer: buffer_lib.Buffer, lengths: Sequence[int], count: int, *,
    repeat: bool = False,
) -> trajectories.Trajectory | None:
  """Reads the newest windows of replay that are each inside one episode.

  Args:
    buffer: Of `Trajectory` rows.
    lengths: Rows of each; the first that episodes allow is taken.
    count: Windows, at most.
    repeat: Whether windows are repeated up to `count` where there are fewer.

  Returns:
    `[at most count, length, ...]`, the newest first; None without any.
  """
  types = buffer.step_types().numpy()
  for length in lengths:
    starts = newest(types, length, count)
    if len(starts):
      break
  else:
    return None
  if repeat:
    starts = starts[np.arange(count) % len(starts)]
  environment, first = starts.T[..., None]
  oldest = max(int(buffer.added) - buffer.length, 0)
  rows = oldest + first + np.arange(length)
  return buffer.read(buffer.place(rows, environment))


def of_rows(
    rows: trajectories.Trajectory, count: int, length: int, *, seed: int,
    whole: bool = False) -> trajectories.Trajectory:
  """Draws windows of consecutive rows, uniformly.

  Args:
    rows: Arrays as `store.read` returns them.
    count: Windows.
    length: Rows of each.
    seed: The same seed draws the same windows.
    whole: Only windows inside one episode.

  Returns:
    Tensors `[count, length, ...]`.

  Raises:
    ValueError: If no window is so long.
  """
  step_type = np.asarray(rows.step_type)
  starts = np.ones(
      [max(len(step_type) - length + 1, 0), step_type.shape[1]], bool)
  if whole:
    # A window crosses an end if any row but its first is FIRST.
    episode = np.cumsum(step_type == 0, axis=0)
    last = episode[length - 1:length - 1 + len(starts)]
    starts &= episode[:len(starts)] == last
  places = np.argwhere(starts)
  if not len(places):
    raise ValueError(
        f'No {length} stored rows follow one another'
        f'{" inside one episode" * whole}; {len(step_type)} are stored.'
    )
  rng = np.random.default_rng(seed)
  chosen = places[rng.integers(len(places), size=count)]
  first, environment = chosen.T[..., None]
  index = first + np.arange(length)
  return tf.nest.map_structure(
      lambda x: tf.constant(x[index, environment]), rows)
