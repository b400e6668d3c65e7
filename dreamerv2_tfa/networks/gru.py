"""The GRU cell with layer-normalised gates."""

import tensorflow as tf

from dreamerv2_tfa.networks import layers

_UPDATE_BIAS = -1.0  # published package: starts by keeping the old state


class GRUCell(tf.Module):
  """One dense layer for all gates (published package).

    r, c, u = split(LayerNorm(Dense(3 D)([x, h])))
    h'      = sigmoid(u - 1) * tanh(sigmoid(r) * c) + (1 - sigmoid(u - 1)) * h
  """

  def __init__(self, input_size, units, name=None):
    """Builds the gates.

    Args:
      input_size: int, size of the input x.
      units: int D, size of the state h.
      name: Name of the module.
    """
    super().__init__(name=name)
    self._gates = layers.Dense(3 * units)
    self._gates.build((None, input_size + units))
    self._norm = tf.keras.layers.LayerNormalization(dtype=tf.float32)
    self._norm.build((None, 3 * units))

  def __call__(self, inputs, state):
    """Moves the state by one step.

    Args:
      inputs: `[B, I]`, compute dtype.
      state: `[B, D]`, compute dtype.

    Returns:
      `[B, D]`, compute dtype.
    """
    gates = self._gates(tf.concat([inputs, state], -1))
    gates = tf.cast(self._norm(tf.cast(gates, tf.float32)), gates.dtype)
    reset, candidate, update = tf.split(gates, 3, -1)
    candidate = tf.tanh(tf.sigmoid(reset) * candidate)
    update = tf.sigmoid(update + _UPDATE_BIAS)
    return update * candidate + (1.0 - update) * state
