"""The tables of the replay server.

  sequences    windows of T + 1 stored rows, uniform, the newest that fit
  steps        tickets of agent steps, first in, first out, each taken once
  variables    what the collectors act with: the newest alone
  description  what the run is, see `description`

A window is that of `experience.windows`, law 'rows': T + 1 consecutive rows of
one environment, which may cross the end of an episode. A collector puts
tickets for its steps into `steps` after their rows are stored, its first one
after its first window; and the learner takes tickets: the steps of the run are
those that it has counted of them. `steps` is full at so many tickets, so
collectors wait for the learner; and the learner's timetable, which runs its
updates by the steps that it has counted, keeps the preset's ratio exactly.

A ticket is of at most `SLICE` steps, and has two columns:

  ends    float32 [SLICE, 2 + M], of each step: return, length and the task's M
          metrics of the episode that ends with it, or zeros; metrics that are
          not known are NaN, and what is no step has a length of -1
  sender  int64 [2], the stream that it came by, and its number there: a stream
          whose server dies sends again what was not confirmed
"""

import math
from typing import Any

import tensorflow as tf

from dreamerv2_tfa.training import settings as settings_lib

SEQUENCES, STEPS = 'sequences', 'steps'
VARIABLES, DESCRIPTION = 'variables', 'description'
SLICE = 16  # agent steps of a ticket, at most


def make(
    reverb: Any, agent: Any, variables: Any, settings: settings_lib.Settings,
    capacity: int, metrics: int = 0,
) -> list[Any]:
  """Makes the tables of a run.

  Args:
    reverb: The module.
    agent: Of the run; its specs are those of the windows.
    variables: Nest of variables, of `weights.variables`.
    settings: Of the run.
    capacity: Rows that replay holds; a window is added with each.
    metrics: M, of the task.

  Returns:
    List of `reverb.Table`.
  """
  length = settings.sequence_length + 1
  window = [
      tf.TensorSpec([length, *spec.shape], spec.dtype)
      for spec in tf.nest.flatten(agent.collect_data_spec)
  ]
  weights = tf.nest.map_structure(
      lambda x: tf.TensorSpec(x.shape, x.dtype), variables)
  last = lambda name, signature: reverb.Table(
      name, reverb.selectors.Fifo(), reverb.selectors.Fifo(), max_size=1,
      rate_limiter=reverb.rate_limiters.MinSize(1), signature=signature)
  return [
      reverb.Table(
          SEQUENCES, reverb.selectors.Uniform(), reverb.selectors.Fifo(),
          max_size=capacity, rate_limiter=reverb.rate_limiters.MinSize(1),
          signature=window),
      reverb.Table.queue(
          STEPS, max_size=ahead(settings),
          signature=[tf.TensorSpec([SLICE, 2 + metrics], tf.float32),
                     tf.TensorSpec([2], tf.int64)]),
      last(VARIABLES, weights),
      last(DESCRIPTION, [tf.TensorSpec([], tf.string)]),
  ]


def row_overhead(agent: Any, settings: settings_lib.Settings) -> int:
  """Bytes of memory that a row takes in Reverb beside its own, at most.

  A row is in memory once, compressed. But its window lists, for each column,
  the chunks that its rows are in, and a chunk has two rows or more.

    columns (600 + 45 (T + 1))    measured: 17 kB of 6 columns at T = 50

  Args:
    agent: Of the run.
    settings: Of the run.
  """
  columns = len(tf.nest.flatten(agent.collect_data_spec))
  return columns * (600 + 45 * (settings.sequence_length + 1))


def at_once(settings: settings_lib.Settings) -> int:
  """Agent steps of a collector between two times that it sends, at least.

  Two of each environment: what is sent ends a chunk, and chunks of one row
  would take twice the memory, see `row_overhead`.
  """
  return max(
      SLICE, settings.timetable.steps_per_update, 2 * settings.environments)


def ahead(settings: settings_lib.Settings) -> int:
  """Tickets that collectors may be ahead: of an update, and one more."""
  return 1 + math.ceil(settings.timetable.steps_per_update / SLICE)
