"""What a run changes for the whole process, put back after it."""

from collections.abc import Iterator
import contextlib
import random

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def kept() -> Iterator[None]:
  """Puts back how Keras and TensorFlow compute, and Python's random numbers.

  That is the mixed-precision policy, whether functions run line by line, and
  the states of `random` and `numpy.random`. TensorFlow's own seed stays that of
  the run: nothing tells what it was before.
  """
  policies = tf.keras.mixed_precision
  policy, eager = policies.global_policy(), tf.config.functions_run_eagerly()
  states = random.getstate(), np.random.get_state()
  try:
    yield
  finally:
    policies.set_global_policy(policy)
    tf.config.run_functions_eagerly(eager)
    random.setstate(states[0])
    np.random.set_state(states[1])
