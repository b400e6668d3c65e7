"""The GRU cell with layer-normalised gates."""

import tensorflow as tf

from dreamerv2_tfa.networks import layers

_UPDATE_BIAS = -1.0  # published package: starts by keeping the old state


class GRUCell(tf.Module):
  """One dense layer for all gates (published package).

    r, c, u = split(LayerNorm(Dense(3 D)([x, h])))
    h'      = sigmoid(u - 1) * tanh(sigmoid(r) * c) + (1 - sigmoid(u - 1)) * h
  """

  def __init__(self, input_size: int, units: int, name: str | None = None):
    """Builds the gates.

    Args:
      input_size: Size of the input x.
      units: D, size of the state h.
      name: Name of the module.
    """
    super().__init__(name=name)
    self._gates = tf.keras.layers.Dense(3 * units)
    self._gates.build((None, input_size + units))
    self._norm = tf.keras.layers.LayerNormalization(dtype=tf.float32)
    self._norm.build((None, 3 * units))

  def weights(self) -> layers.Weights:
    """What `apply` reads, as it is now."""
    return layers.read(self._gates, self._norm)

  def __call__(self, inputs: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """`apply`, with the weights as they are now."""
    return self.apply(self.weights(), inputs, state)

  def apply(
      self, weights: layers.Weights, inputs: tf.Tensor, state: tf.Tensor,
  ) -> tf.Tensor:
    """Moves the state by one step: a pure function of its arguments.

    Args:
      weights: Of `weights`.
      inputs: `[B, I]`, compute dtype.
      state: `[B, D]`, compute dtype.

    Returns:
      `[B, D]`, compute dtype.
    """
    gates = layers.dense(weights, tf.concat([inputs, state], -1))
    gates = tf.cast(
        layers.layer_norm(tf.cast(gates, tf.float32), *weights.norm),
        gates.dtype,
    )
    reset, candidate, update = tf.split(gates, 3, -1)
    candidate = tf.tanh(tf.sigmoid(reset) * candidate)
    update = tf.sigmoid(update + _UPDATE_BIAS)
    return update * candidate + (1.0 - update) * state
