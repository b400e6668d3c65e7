"""From h_t, and what is seen, to the statistics of a latent z_t."""

from typing import NamedTuple

import tensorflow as tf

from dreamerv2_tfa.networks import layers


class Weights(NamedTuple):
  """Of `Statistics`, an argument of its pure functions."""

  hidden: layers.Weights
  out: layers.Weights


class Statistics(tf.Module):
  """Hidden layer, then the statistics of a latent's distribution."""

  def __init__(
      self, input_size: int, hidden: int, outputs: int, *, activation: str,
      norm: str,
  ):
    super().__init__()
    self._hidden = layers.Hidden(
        tf.keras.layers.Dense(hidden), (None, input_size),
        activation=activation, norm=norm,
    )
    self._out = tf.keras.layers.Dense(outputs)
    self._out.build((None, hidden))

  def weights(self) -> Weights:
    """What the functions below read, as it is now."""
    return Weights(self._hidden.weights(), layers.read(self._out))

  def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
    """`of_all`, with the weights as they are now."""
    return self.of_all(self.weights(), inputs)

  def of_share(
      self, weights: Weights, inputs: tf.Tensor, share: tf.Tensor,
  ) -> tf.Tensor:
    """Statistics of `[inputs, others]`, where `share` is what others add.

      W x + b = W1 x1 + (W2 x2 + b)      x1 `inputs`, the bracket `share`

    Args:
      weights: Of `weights`.
      inputs: compute dtype `[B, I]`.
      share: compute dtype `[B, hidden]`, of `share`; or the bias alone.

    Returns:
      float32 `[B, outputs]`.
    """
    kernel = weights.hidden.kernel[:inputs.shape[-1]]
    hidden = self._hidden.finish(
        weights.hidden, tf.matmul(inputs, kernel) + share
    )
    return tf.cast(layers.dense(weights.out, hidden), tf.float32)

  def share(
      self, weights: Weights, others: tf.Tensor,
  ) -> tf.Tensor:
    """`W2 x2 + b`: what the last inputs add to the sum of the hidden layer.

    The steps of a sequence do not change it, so it is computed once for all.

    Args:
      weights: Of `weights`.
      others: `[..., J]`, the last J inputs.

    Returns:
      compute dtype `[..., hidden]`.
    """
    kernel, bias = weights.hidden.kernel, weights.hidden.bias
    others = tf.cast(others, kernel.dtype)
    flat = tf.reshape(others, [-1, others.shape[-1]])
    share = tf.matmul(flat, kernel[-others.shape[-1]:]) + bias  # pyright: ignore[reportOptionalOperand]
    return layers.restore_prefix(share, others, 1)

  def of_all(
      self, weights: Weights, inputs: tf.Tensor,
  ) -> tf.Tensor:
    """Statistics of whole inputs `[..., I]`: float32 `[..., outputs]`."""
    flat = tf.reshape(inputs, [-1, inputs.shape[-1]])
    hidden = self._hidden.apply(weights.hidden, flat)
    flat = tf.cast(layers.dense(weights.out, hidden), tf.float32)
    return layers.restore_prefix(flat, inputs, 1)
