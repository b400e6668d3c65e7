"""Windows of replay drawn by episode, as the published package does."""

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

LAWS = ('episodes', 'episodes_ends')


def dataset(buffer, batch_size, sequence_length, law):
  """Windows of `sequence_length + 1` rows, a batch an element.

  Args:
    buffer: `TFUniformReplayBuffer` of `Trajectory` rows.
    batch_size: int B.
    sequence_length: int T, model rows of a window.
    law: One of `LAWS`.

  Returns:
    `tf.data.Dataset` without end of pairs like the buffer's own: `Trajectory`
    `[B, T + 1, ...]` and an empty tuple.
  """
  count = len(tf.nest.flatten(buffer.data_spec))
  tables, last_id = buffer.variables()[:count], buffer.variables()[-1]
  # A nest of a trajectory's fields is flattened in their order.
  step_type = tables[0]
  blocks = int(buffer.capacity) // buffer._max_length

  def places(draws, types, rows):
    chosen = draw(
        _in_order(types.reshape(blocks, -1), rows), draws, sequence_length,
        ends=law == 'episodes_ends',
    )
    return _indices(chosen, rows, types.size // blocks, sequence_length)

  def batch(_):
    draws = tf.random.uniform([batch_size, 2], dtype=tf.float64)
    index = tf.numpy_function(
        places, [draws, step_type, last_id + 1], tf.int64, stateful=False
    )
    index = tf.ensure_shape(index, [batch_size, sequence_length + 1])
    window = [tf.gather(table, index) for table in tables]
    return tf.nest.pack_sequence_as(buffer.data_spec, window), ()

  return tf.data.Dataset.counter().map(batch)


def _in_order(types, rows):
  """Step types `[blocks, rows held]`, oldest first."""
  capacity = types.shape[1]
  if rows <= capacity:
    return types[:, :rows]
  return np.roll(types, -(rows % capacity), axis=1)


def _indices(places, rows, capacity, length):
  """Rows of the tables: int64 `[B, T + 1]`, of (block, place) pairs."""
  block, first = places.T[..., None]
  oldest = max(rows - capacity, 0)
  return block * capacity + (oldest + first + np.arange(length + 1)) % capacity


def episodes(types):
  """Where the episodes of one environment lie.

  A stored row's observation arrives with the row before it, so the oldest row
  alone is no model row.

  Args:
    types: int `[rows]`, step types, oldest first.

  Returns:
    int64 `[episodes, 2]`, first and last model row of each, and bool
    `[episodes]`, whether it has ended. An episode of which the oldest rows
    were forgotten counts as what is left of it.
  """
  firsts = np.flatnonzero(types == ts.StepType.FIRST)
  firsts = np.union1d(firsts, [0])
  lasts = np.append(firsts[1:] - 1, len(types) - 1)
  ended = np.ones(len(firsts), bool)
  ended[-1] = types[-1] == ts.StepType.LAST
  spans = np.stack([np.maximum(firsts, 1), lasts], 1)
  there = spans[:, 0] <= spans[:, 1]
  return spans[there], ended[there]


def draw(types, draws, length, *, ends):
  """Draws windows: an episode, uniformly, then a window of it.

    model rows   a  a+1   ...   e        total = e - a + 1
    window i        i ... i + T - 1      i in 0 ... total - T
    ends=False   i uniform
    ends=True    i = min(j, total - T), j uniform in 0 ... total: the last
                 window has T + 1 chances of total + 1 (published package)

  Episodes that have ended are drawn from, as in the published package; as long
  as there are none, those that go on. An episode of less than T rows, which
  that package forgets, is taken from its first row on, and the window goes on
  with the rows after it (or before it, where it is the newest).

  Args:
    types: int `[blocks, rows]`, step types, oldest first.
    draws: float64 `[B, 2]` in [0, 1).
    length: int T; a window takes T + 1 rows.
    ends: bool, see above.

  Returns:
    int64 `[B, 2]`: the block, and the place of the window's first row.

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
  block = np.repeat(np.arange(len(types)), [len(ended) for _, ended in found])
  spans = np.concatenate([spans for spans, _ in found])
  ended = np.concatenate([ended for _, ended in found])
  if ended.any():
    block, spans = block[ended], spans[ended]
  chosen = (draws[:, 0] * len(spans)).astype(np.int64)
  first, last = spans[chosen].T
  room = np.maximum(last - first + 1 - length, 0)
  window = (draws[:, 1] * (room + 1 + ends * length)).astype(np.int64)
  place = first - 1 + np.minimum(window, room)
  return np.stack([block[chosen], np.minimum(place, rows - 1 - length)], 1)
