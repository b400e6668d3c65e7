"""An update that is timed before the run begins."""

import time

import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import devices
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import progress as progress_lib
from dreamerv2_tfa.training import protocol

_OPERATIONS = 1e11  # a second, more than a few cores do
_WORTH = 600.0  # seconds of a run that is long enough to try an update first


def tell(
    display: progress_lib.Progress, parts: parts_lib.Parts, updates: int,
    batch_size: int, sequence_length: int,
) -> None:
  """Says what a long run will take, before anything else takes time.

  Args:
    display: Where it is said.
    parts: Of the run.
    updates: How many are left.
    batch_size: B, sequences.
    sequence_length: T, steps.
  """
  if is_worth(parts, updates, batch_size, sequence_length):
    display.say('Time an update on this machine (up to a minute).')
    display.tried(update_seconds(parts.agent, batch_size, sequence_length))


def is_worth(
    parts: parts_lib.Parts, updates: int, batch_size: int, sequence_length: int,
) -> bool:
  """Whether a run is long enough for the half minute that a trial takes.

  Counted is what every update does at the very least: each weight multiplies
  and adds once for each row, forward, and twice backward.

  Args:
    parts: Of the run.
    updates: How many are left.
    batch_size: B, sequences.
    sequence_length: T, steps.

  Returns:
    False on a GPU, where compiling takes longer than what is learned.
  """
  if devices.has_gpu() or tf.config.functions_run_eagerly():
    return False
  weights = sum(protocol.parameter_counts(parts.agent).values())
  operations = 6.0 * weights * batch_size * sequence_length * updates
  return operations / _OPERATIONS > _WORTH


def update_seconds(
    agent: agent_lib.DreamerV2Agent, batch_size: int, sequence_length: int,
) -> float:
  """What an update takes, by the losses and gradients of a batch of zeros.

  Nothing is applied and no random number drawn: weights, counters and what the
  run does later are the same with and without.

  Args:
    agent: Which is left as it is.
    batch_size: B, sequences.
    sequence_length: T, steps.

  Returns:
    Seconds; a little less than with the optimizers' steps.
  """
  outer = [batch_size, sequence_length + 1]
  zeros = tf.nest.map_structure(
      lambda spec: tf.zeros(outer + spec.shape.as_list(), spec.dtype),
      agent.collect_data_spec,
  )
  agent.loss(zeros).loss.numpy()  # compiles
  start = time.monotonic()
  agent.loss(zeros).loss.numpy()
  return time.monotonic() - start
