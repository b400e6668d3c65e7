"""Random numbers that are a function of a seed, the same on every backend.

TensorFlow's stateless bits agree eagerly, in a graph and under XLA, but two
things do not: its floats, made from other bits of the word, and what it makes
of a negative seed. Hence floats from the bits here, and seeds kept positive.
Normal numbers agree but for the last bits of XLA's inverse error function.
A seed is int32 `[2]`.
"""

from typing import Any

import tensorflow as tf


def split(seed: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
  """Makes `count` independent seeds: int32 `[count, 2]`, not negative."""
  seeds = tf.random.experimental.stateless_split(_positive(seed), count)  # pyright: ignore[reportAttributeAccessIssue]
  return _positive(seeds)


def uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
  """Float32 numbers strictly between 0 and 1: middles of 2**23 intervals."""
  bits = tf.random.stateless_uniform(
      shape, _positive(seed), minval=None, maxval=None, dtype=tf.uint32  # pyright: ignore[reportArgumentType]
  )
  high = tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32))
  # Through int32, from which every backend casts to float.
  return (tf.cast(tf.cast(high, tf.int32), tf.float32) + 0.5) * 2.0**-23


def standard_normal(shape: Any, seed: tf.Tensor) -> tf.Tensor:
  """Float32 standard normal numbers."""
  return tf.math.ndtri(uniform(shape, seed))


def gumbel(shape: Any, seed: tf.Tensor) -> tf.Tensor:
  """Float32 standard Gumbel numbers: `argmax(logits + gumbel)` is a class."""
  return -tf.math.log(-tf.math.log(uniform(shape, seed)))


def _positive(seed):
  seed = tf.cast(seed, tf.int32)
  return tf.bitwise.bitwise_and(seed, tf.constant(2**31 - 1, tf.int32))
