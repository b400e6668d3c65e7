"""The tables of the replay server.

  sequences    windows of T + 1 stored rows, uniform, the newest that fit
  steps        a ticket an agent step, first in, first out, each taken once
  variables    what the collectors act with: the newest alone
  description  what the run is, see `description`

A window is that of `experience.windows`, law 'rows': T + 1 consecutive rows of
one environment, which may cross the end of an episode. A collector puts a
ticket into `steps` after the row is stored, and the learner takes tickets: the
steps of the run are those that it took. `steps` is full at so many tickets, so
collectors wait for the learner; and the learner's timetable, which runs its
updates by the steps that it took, keeps the preset's ratio exactly.
"""

from typing import Any

import tensorflow as tf

from dreamerv2_tfa.training import settings as settings_lib

SEQUENCES, STEPS = 'sequences', 'steps'
VARIABLES, DESCRIPTION = 'variables', 'description'


def make(
    reverb: Any, agent: Any, variables: Any, settings: settings_lib.Settings,
    capacity: int,
) -> list[Any]:
  """Makes the tables of a run.

  Args:
    reverb: The module.
    agent: Of the run; its specs are those of the windows.
    variables: Nest of variables, of `weights.variables`.
    settings: Of the run.
    capacity: Rows that replay holds; a window is added with each.

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
          signature=[tf.TensorSpec([2], tf.float32)]),
      last(VARIABLES, weights),
      last(DESCRIPTION, [tf.TensorSpec([], tf.string)]),
  ]


def ahead(settings: settings_lib.Settings) -> int:
  """Agent steps that collectors may be ahead of the learner.

  At least a window, so that two collectors that share a short prefill still
  come to have one.
  """
  return max(
      settings.timetable.steps_per_update, settings.sequence_length + 1)
