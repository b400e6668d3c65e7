"""What a run changes for the whole process, put back after it."""

import contextlib
import random

import gin
import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def kept():
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


@contextlib.contextmanager
def gin_kept():
  """Begins with no binding of gin, and puts back those that were there.

  Values that gin cannot write down, such as objects that were bound from
  Python, are not among them.
  """
  text, locked = gin.config_str(), gin.config_is_locked()
  gin.clear_config()
  try:
    yield
  finally:
    gin.clear_config()
    gin.parse_config(text)
    if locked:
      gin.finalize()
