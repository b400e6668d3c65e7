"""Windows of replay drawn by episode, as in the published package."""

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.trajectories import time_step as ts

LAWS = ('episodes', 'episodes_ends')


def dataset(
    buffer: tf_uniform_replay_buffer.TFUniformReplayBuffer, batch_size: int,
    sequence_length: int, law: str) -> tf.data.Dataset:
  """Makes an endless dataset of batches of windows.

  Args:
    buffer: Of `Trajectory` rows.
    batch_size: B.
    sequence_length: T; a window has T + 1 stored rows, which are T model rows.
    law: One of `LAWS`.

  Returns:
    Pairs like those of the buffer's own dataset: `Trajectory` `[B, T + 1, ...]`
    and an empty tuple.
  """
  count = len(tf.nest.flatten(buffer.data_spec))
  tables, last_id = buffer.variables()[:count], buffer.variables()[-1]
  # The first field of a `Trajectory` is the step type.
  step_type = tables[0]
  num_environments = int(buffer.capacity) // buffer._max_length

  def places(draws, types, rows):
    chosen = draw(
        _in_order(types.reshape(num_environments, -1), rows), draws,
        sequence_length, ends=law == 'episodes_ends',
    )
    capacity = types.size // num_environments
    return _indices(chosen, rows, capacity, sequence_length)

  def batch(_):
    draws = tf.random.uniform([batch_size, 2], dtype=tf.float64)
    index = tf.numpy_function(
        places, [draws, step_type, last_id + 1], tf.int64, stateful=False
    )
    index = tf.ensure_shape(index, [batch_size, sequence_length + 1])
    window = [tf.gather(table, index) for table in tables]
    return tf.nest.pack_sequence_as(buffer.data_spec, window), ()

  return tf.data.Dataset.counter().map(batch)


def _in_order(types: np.ndarray, rows: int) -> np.ndarray:
  """Sorts step types `[environments, rows]` from the oldest to the newest."""
  capacity = types.shape[1]
  if rows <= capacity:
    return types[:, :rows]
  return np.roll(types, -(rows % capacity), axis=1)


def _indices(
    places: np.ndarray, rows: int, capacity: int, length: int) -> np.ndarray:
  """Positions in the buffer's tables of drawn windows: int64 `[B, T + 1]`."""
  environment, first = places.T[..., None]
  oldest = max(rows - capacity, 0)
  row = (oldest + first + np.arange(length + 1)) % capacity
  return environment * capacity + row


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
