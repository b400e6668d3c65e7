"""Returns of imagined rollouts and the weights of their states."""

import tensorflow as tf

from dreamerv2_tfa import replicas


def lambda_returns(
    rewards: tf.Tensor, discount: tf.Tensor, values: tf.Tensor,
    bootstrap: tf.Tensor, *, lambda_: float,
) -> tf.Tensor:
  """Mixes n-step returns of imagined rollouts (DreamerV2 paper, lambda-target).

    V_t = r_t + d_t * ((1 - lambda) * v_{t+1} + lambda * V_{t+1}),  V_H = v_H

  Args:
    rewards: float32 `[H, N]`, predicted reward in state t, after transform.
    discount: float32 `[H, N]` in [0, 1], includes gamma; 0 ends the episode.
    values: float32 `[H, N]`, target critic in states 0 to H - 1.
    bootstrap: float32 `[N]`, target critic in state H.
    lambda_: float in [0, 1]; 0 is one-step TD, 1 is Monte Carlo.

  Returns:
    float32 `[H, N]`. Gradients flow to every input; stop them yourself.

  Raises:
    ValueError: If static shapes disagree.
  """
  shape = rewards.shape
  if shape != discount.shape or shape != values.shape:
    raise ValueError(
        'rewards, discount and values must have one shape [H, N]; got '
        f'{shape}, {discount.shape} and {values.shape}.'
    )
  if shape[1:] != bootstrap.shape:
    raise ValueError(
        f'bootstrap must have shape {shape[1:]} (the rewards without their '
        f'first axis); got {bootstrap.shape}.'
    )
  next_values = tf.concat([values[1:], bootstrap[None]], 0)
  one_step = rewards + discount * (1.0 - lambda_) * next_values
  target = bootstrap
  targets = []
  for t in reversed(range(shape[0])):  # pyright: ignore[reportArgumentType]
    target = one_step[t] + discount[t] * lambda_ * target
    targets.append(target)
  return tf.stack(targets[::-1], 0)


def state_weights(discount: tf.Tensor) -> tf.Tensor:
  """How much each imagined state counts: the chance of getting there.

    w_0 = 1,  w_k = d_0 * d_1 * ... * d_{k-1}

    state     s_0   s_1   s_2         A state counts as much as the
    discount  d_0   d_1   d_2         discounts before it, not its own.
    weight    1     d_0   d_0*d_1

  Args:
    discount: float32 `[H + 1, N]` in [0, 1], includes gamma.

  Returns:
    float32 `[H + 1, N]` in [0, 1].
  """
  return tf.math.cumprod(discount, axis=0, exclusive=True)


def normalise(
    rewards: tf.Tensor, magnitude: tf.Tensor, *, momentum: float, scale: float,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Divides rewards by the running mean of their size, which counts these.

    m' = momentum * m + (1 - momentum) * mean |r|,  r' = scale * r / (m' + eps)

  Args:
    rewards: float32, any shape.
    magnitude: float64 scalar m.
    momentum: float in [0, 1]; 1 keeps m as it is.
    scale: float.
    epsilon: float.

  Returns:
    float32 rewards of the same shape, and m', float64, without gradient. What
    is not finite leaves m as it was.
  """
  batch = replicas.mean(tf.reduce_mean(tf.abs(rewards)))
  batch = tf.cast(batch, tf.float64)
  batch = tf.where(tf.math.is_finite(batch), batch, magnitude)
  magnitude = tf.stop_gradient(
      momentum * magnitude + (1.0 - momentum) * batch
  )
  return rewards / (tf.cast(magnitude, tf.float32) + epsilon) * scale, magnitude
