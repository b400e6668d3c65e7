"""Distributions of latents, predictions and actions, all in float32.

They are TensorFlow Probability's, with samplers of our own so that a seed gives
the same sample eagerly, in a graph and under XLA (see `noise`).
`sample(seed=...)` wants a stateless seed, int32 `[2]`.
"""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa import noise
from dreamerv2_tfa import types

tfd = tfp.distributions
Distribution = Any  # of TensorFlow Probability, which has no types

_MONTE_CARLO_SAMPLES = 100  # published package, tanh-normal actor
_MONTE_CARLO_SEED = (0, 1)
_TANH_LIMIT = 0.99999997  # published package; in float32 the last below 1


def _normal_cdf(x):
  return 0.5 * tf.math.erfc(-x / 2.0**0.5)


class OneHot(tfd.OneHotCategorical):
  """One-hot categorical with straight-through gradients; see `one_hot`."""

  def _sample_n(self, n, seed=None):
    shape = tf.concat([[n], tf.shape(self.logits)], 0)
    logits = tf.broadcast_to(self.logits, shape)
    return straight_through(logits, noise.gumbel(shape, seed))  # pyright: ignore[reportArgumentType]


@tf.custom_gradient
def straight_through(logits: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
  """One-hot sample whose gradient is that of the probabilities (algorithm 1).

    forward    one_hot(argmax(logits + drawn))
    backward   probs = softmax(logits)

  Args:
    logits: float32 `[..., C]`.
    drawn: float32 `[..., C]`, Gumbel noise, see `noise.gumbel`.

  Returns:
    float32 `[..., C]`.
  """
  def gradient(upstream):
    # The gradient of a loop forgets shapes, which TensorFlow warns of.
    probs = tf.nn.softmax(tf.ensure_shape(logits, logits.shape))
    inner = tf.reduce_sum(upstream * probs, -1, keepdims=True)
    return (upstream - inner) * probs, None

  index = tf.argmax(logits + drawn, -1)
  return tf.one_hot(index, logits.shape[-1]), gradient  # pyright: ignore[reportReturnType]


def one_hot(logits: tf.Tensor) -> Distribution:
  """One-hot categorical with straight-through gradients (paper, algorithm 1).

    sample = one_hot(z) + probs - sg(probs),  z ~ Categorical(probs)

  Args:
    logits: float32 `[..., C]`.

  Returns:
    `OneHot` over float32 `[..., C]`.
  """
  return OneHot(logits=logits, dtype=tf.float32)


class Normal(tfd.Normal):
  """Normal whose samples are `loc + scale * noise`."""

  def _sample_n(self, n, seed=None):
    shape = tf.concat([[n], self._batch_shape_tensor()], 0)
    return self.loc + self.scale * noise.standard_normal(shape, seed)  # pyright: ignore[reportArgumentType]


class TruncatedNormal(tfd.TruncatedNormal):
  """Normal cut to [low, high], with the gradient that TensorFlow samples with.

  With x the sample: d x / d loc = 1 and d x / d scale = (x - loc) / scale; the
  movement of the bounds is left out, as the published package trains with it.
  Samples are clipped 1e-6 inside the bounds and keep their gradient.
  """

  _MARGIN = 1e-6

  def _sample_n(self, n, seed=None):
    shape = tf.concat([[n], self._batch_shape_tensor()], 0)
    below = _normal_cdf((self.low - self.loc) / self.scale)
    above = _normal_cdf((self.high - self.loc) / self.scale)
    quantile = below + noise.uniform(shape, seed) * (above - below)  # pyright: ignore[reportArgumentType]
    # Rounding can reach 1, of which the inverse is infinite.
    quantile = tf.clip_by_value(quantile, 1e-30, 1.0 - 2.0**-24)
    standard = tf.stop_gradient(tf.math.ndtri(quantile))
    sample = self.loc + self.scale * standard
    clipped = tf.clip_by_value(
        sample, self.low + self._MARGIN, self.high - self._MARGIN
    )
    return sample + tf.stop_gradient(clipped - sample)

  def _mode(self):
    # TFP's broadcasts first, by an operation that ONNX does not have.
    return tf.clip_by_value(self.loc, self.low, self.high)


class Uniform(tfd.Uniform):
  """Uniform on [low, high]."""

  def _sample_n(self, n, seed=None):
    shape = tf.concat([[n], self._batch_shape_tensor()], 0)
    return self.low + (self.high - self.low) * noise.uniform(shape, seed)  # pyright: ignore[reportArgumentType]


def uniform_box(like: tf.Tensor) -> Distribution:
  """Uniform on [-1, 1]^A; its event is the last axis of `like` `[..., A]`."""
  return tfd.Independent(Uniform(-tf.ones_like(like), tf.ones_like(like)), 1)


class Tanh(tfp.bijectors.Tanh):
  """tanh whose inverse is finite at -1 and 1, where tanh rounds to them."""

  def _inverse(self, y):
    clipped = tf.clip_by_value(y, -_TANH_LIMIT, _TANH_LIMIT)
    return tf.atanh(tf.where(tf.abs(y) <= 1.0, clipped, y))


class TanhNormal(tfd.TransformedDistribution):
  """tanh of a normal; see `tanh_normal`."""

  def _monte_carlo(self):
    # As they are: the bijector remembers what it made them from, so their
    # log_prob needs no atanh of a rounded 1.
    return self.sample(_MONTE_CARLO_SAMPLES, seed=_MONTE_CARLO_SEED)

  def _mean(self):
    return tf.reduce_mean(self._monte_carlo(), 0)

  def _mode(self):
    samples = self._monte_carlo()
    together = tf.reduce_sum(self.log_prob(samples), -1, keepdims=True)
    best = tf.argmax(together, 0)
    picked = tf.one_hot(best, _MONTE_CARLO_SAMPLES, axis=0)
    return tf.reduce_sum(picked * samples, 0)

  def _entropy(self):
    return -tf.reduce_mean(self.log_prob(self._monte_carlo()), 0)


def tanh_normal(loc: tf.Tensor, scale: tf.Tensor) -> Distribution:
  """tanh of a normal; mode, mean and entropy are estimated from 100 samples.

  The estimates draw the same noise at each call, so the mode is a function of
  the parameters alone. The mode of a row is the sample of which the numbers are
  the most likely together. The published package reads it at the first row's
  index; here each row has its own.

    log p(y) = log N(atanh(clip(y)) | loc, scale) - log(1 - tanh^2)

  with y clipped to 0.99999997 from either side (published package), so that an
  action that was rounded to 1 has a finite log-probability. The gradient with
  respect to such an action is 0.

  Args:
    loc: float32 `[..., A]`, before the tanh.
    scale: float32 `[..., A]`, positive.

  Returns:
    `TanhNormal` over float32 `[..., A]` in [-1, 1], each number its own event.
  """
  return TanhNormal(Normal(loc, scale), Tanh())


def plain(actor: Distribution) -> Distribution:
  """An actor's continuous distribution made of TFP's own classes alone.

  Args:
    actor: Of `TruncatedNormal`, `Normal`, `TanhNormal` or
      `Uniform`.

  Returns:
    `tfd.Independent`, the same distribution with TFP's samplers.
  """
  base = actor.distribution
  if isinstance(base, TruncatedNormal):
    base = tfd.TruncatedNormal(base.loc, base.scale, base.low, base.high)
  elif isinstance(base, Normal):
    base = tfd.Normal(base.loc, base.scale)
  elif isinstance(base, Uniform):
    base = tfd.Uniform(base.low, base.high)
  else:
    normal = base.distribution
    base = tfd.TransformedDistribution(
        tfd.Normal(normal.loc, normal.scale), tfp.bijectors.Tanh()
    )
  return tfd.Independent(base, 1)


def unit_normal(mean: tf.Tensor, event_ndims: int) -> Distribution:
  """Gaussian of standard deviation 1 whose event is the last axes of `mean`."""
  return tfd.Independent(Normal(mean, tf.ones([])), event_ndims)


def bernoulli(logits: tf.Tensor) -> Distribution:
  """Bernoulli whose `log_prob` takes soft labels in [0, 1].

    log p(x) = x * log(sigmoid(l)) + (1 - x) * log(1 - sigmoid(l))
  """
  return tfd.Bernoulli(logits=logits, dtype=tf.float32)


def draw_latent(state: types.RSSMState, drawn: tf.Tensor | None) -> tf.Tensor:
  """A sample of a latent's distribution, made of noise drawn before.

  Args:
    state: `RSSMState` `[..., ...]`; its `stoch` is not read.
    drawn: float32 `[..., S, C]` Gumbel or `[..., S]` normal; None: the mode.

  Returns:
    float32, shaped like `drawn`; the mode has no gradient through a one-hot.
  """
  if drawn is None:
    return latent(state).mode()
  if isinstance(state, types.DiscreteState):
    return straight_through(state.logits, drawn)
  return state.mean + state.std * drawn


def latent(state: types.RSSMState) -> Distribution:
  """The distribution a latent was drawn from; its event is the whole latent."""
  if isinstance(state, types.DiscreteState):
    return tfd.Independent(one_hot(tf.cast(state.logits, tf.float32)), 1)
  return tfd.Independent(
      Normal(tf.cast(state.mean, tf.float32), tf.cast(state.std, tf.float32)),
      1,
  )
