"""One update on several replicas of `tf.distribute`: means, and assignments.

A replica has a share of the batch. What is a mean over the batch is the mean of
the replicas' means; gradients, and what a loss is not linear in, are made one
that way. Everything here does nothing where there is one replica.

Variables are assigned by each replica for itself, to its own copy, from numbers
that are the same on all. TensorFlow's way, through the strategy, cannot be
within a `tf.cond`, and an update that is not finite must change nothing.
"""

from typing import Any

import tensorflow as tf


def count() -> int:
  """Replicas that take this step together: int; 1 outside of a strategy."""
  context = tf.distribute.get_replica_context()
  return 1 if context is None else context.num_replicas_in_sync


def mean(tensors: Any) -> Any:
  """Mean over replicas of each float tensor of a nest; gradients flow."""
  if count() == 1:
    return tensors
  context = tf.distribute.get_replica_context()
  flat = tf.nest.flatten(tensors)
  flat = context.all_reduce(tf.distribute.ReduceOp.MEAN, flat)
  return tf.nest.pack_sequence_as(tensors, flat)


def share(tensors: Any) -> Any:
  """A replica's part of a sum over replicas: what each reports to `Learner`."""
  replicas = count()
  if replicas == 1:
    return tensors
  return tf.nest.map_structure(lambda x: x / replicas, tensors)


def own(variable: tf.Variable) -> tf.Variable:
  """This replica's copy of a variable.

  Raises:
    ValueError: If there is one for all: each replica would assign to it.
  """
  if count() == 1:
    return variable
  strategy = tf.distribute.get_replica_context().strategy
  copies = strategy.experimental_local_results(variable)
  # In this process: of several, each has copies for its own devices.
  here = len(strategy.extended.worker_devices)
  if len(copies) != here:
    raise ValueError(
        f'{variable.name} was made outside of the strategy that {count()} '
        'replicas run in. Make the agent, and the counters it is given, under '
        'strategy.scope().'
    )
  return copies[device()]


def seed(base: tf.Tensor) -> tf.Tensor:
  """The seed of this replica: int32 `[2]`, so that each has its own noise."""
  if count() == 1:
    return base
  return base + tf.constant([0, 0x1000000 * _index()], tf.int32)


def device() -> int:
  """Number of this replica's device in its process, from 0."""
  context = tf.distribute.get_replica_context()
  return _index() % len(context.strategy.extended.worker_devices)


def _index():
  context = tf.distribute.get_replica_context()
  return int(tf.get_static_value(context.replica_id_in_sync_group))
