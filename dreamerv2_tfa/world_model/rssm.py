"""The recurrent state-space model: h_t deterministic, z_t stochastic."""

from typing import NamedTuple

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import distributions
from dreamerv2_tfa import noise
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import gru
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.networks import recurrence
from dreamerv2_tfa.world_model import statistics

_STD_ACTIVATIONS = {
    'softplus': tf.nn.softplus,
    'sigmoid': tf.nn.sigmoid,
    'sigmoid2': lambda raw: 2.0 * tf.nn.sigmoid(raw / 2.0),
}


class Weights(NamedTuple):
  """Of an `RSSM`, an argument of its pure functions."""

  input: layers.Weights
  cell: layers.Weights
  priors: tuple[statistics.Weights, ...]  # K heads
  posterior: statistics.Weights


@gin.configurable
class RSSM(tf.Module):
  """Recurrent state-space model (DreamerV2 paper, equation 1).

    h_t  = GRU(dense([z_{t-1}, a_{t-1}]), h_{t-1})
    z^_t ~ p(z^_t | h_t)        prior, from an ensemble of K heads
    z_t  ~ q(z_t | h_t, x_t)    posterior
  """

  def __init__(
      self, action_size: int, embed_size: int, *, deter: int = 1024,
      hidden: int = 1024, stoch: int = 32, classes: int = 32, ensemble: int = 1,
      activation: str = 'elu', norm: str = 'none',
      std_activation: str = 'sigmoid2', min_std: float = 0.1,
      name: str | None = None,
  ):
    """Builds the layers.

    Args:
      action_size: int A.
      embed_size: int E.
      deter: int D, units of h.
      hidden: Width of the hidden layers.
      stoch: int S, variables in z.
      classes: int C, classes of each; 0 makes z Gaussian.
      ensemble: int K, prior heads; a random one is used at each step.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer', in the hidden layers.
      std_activation: 'sigmoid2', 'sigmoid' or 'softplus', of a Gaussian z.
      min_std: Added to the standard deviation of a Gaussian z.
      name: Name of the module.

    Raises:
      ValueError: If a size or `min_std` is out of its range, or a name unknown.
    """
    super().__init__(name=name)
    deter = checks.integer('RSSM.deter', deter)
    hidden = checks.integer('RSSM.hidden', hidden)
    stoch = checks.integer('RSSM.stoch', stoch)
    # One class would be no choice; none makes z Gaussian.
    classes = checks.integer('RSSM.classes', classes, 2) if classes != 0 else 0
    ensemble = checks.integer('RSSM.ensemble', ensemble)
    layers.check('RSSM', activation, norm)
    checks.choice('RSSM.std_activation', std_activation, _STD_ACTIVATIONS)
    min_std = checks.number('RSSM.min_std', min_std)
    self._dtype = tf.keras.mixed_precision.global_policy().compute_dtype
    self._sizes = (deter, stoch, classes)
    self._std_activation = _STD_ACTIVATIONS[std_activation]
    self._min_std = min_std
    flat = stoch * max(classes, 1)
    outputs = stoch * classes if classes else 2 * stoch
    shared = dict(activation=activation, norm=norm)
    self._input = layers.Hidden(
        tf.keras.layers.Dense(hidden), (None, flat + action_size), **shared
    )
    self._cell = gru.GRUCell(hidden, deter)
    self._priors = [
        statistics.Statistics(deter, hidden, outputs, **shared)
        for _ in range(ensemble)
    ]
    self._posterior = statistics.Statistics(
        deter + embed_size, hidden, outputs, **shared
    )
    self.feature_size = flat + deter

  def initial(self, batch_size: int | tf.Tensor) -> types.RSSMState:
    """All-zero state `[batch_size, ...]`."""
    deter, stoch, classes = self._sizes
    dtype = self._dtype
    zeros = lambda shape, kind: tf.zeros([batch_size] + shape, kind)
    if classes:
      return types.DiscreteState(
          zeros([deter], dtype), zeros([stoch, classes], dtype),
          zeros([stoch, classes], tf.float32),
      )
    return types.GaussianState(
        zeros([deter], dtype), zeros([stoch], dtype),
        zeros([stoch], tf.float32), zeros([stoch], tf.float32),
    )

  def feature(self, state: types.RSSMState) -> tf.Tensor:
    """[flat z, h]: compute dtype `[..., F]`."""
    return tf.concat([_flat(state), state.deter], -1)

  def weights(self) -> Weights:
    """What the pure functions below read, as it is now; cast once."""
    return Weights(
        self._input.weights(), self._cell.weights(),
        tuple(prior.weights() for prior in self._priors),
        self._posterior.weights(),
    )

  # Equation 1, as pure functions of the weights.

  def recur(
      self, weights: Weights, state: types.RSSMState, action: tf.Tensor,
  ) -> tf.Tensor:
    """h_t = GRU(dense([z_{t-1}, a_{t-1}]), h_{t-1}).

    Args:
      weights: Of `weights`.
      state: `[B, ...]`, of step t - 1.
      action: float `[B, A]`, a_{t-1}.

    Returns:
      compute dtype `[B, D]`.
    """
    stoch = _flat(state)
    inputs = tf.concat([stoch, tf.cast(action, stoch.dtype)], -1)
    hidden = self._input.apply(weights.input, inputs)
    return self._cell.apply(weights.cell, hidden, state.deter)

  def prior(
      self, weights: Weights, deter: tf.Tensor, seed: tf.Tensor,
  ) -> tf.Tensor:
    """Statistics of p(z^_t | h_t), each step by one random head of K.

    Args:
      weights: Of `weights`.
      deter: compute dtype `[T, ..., D]`, h of T steps.
      seed: int32 `[2]`.

    Returns:
      float32 `[T, ..., outputs]`.
    """
    heads = [
        prior.of_all(head, deter)
        for prior, head in zip(self._priors, weights.priors, strict=True)
    ]
    if len(heads) == 1:
      return heads[0]
    length = deter.shape[0]
    draws = noise.uniform([length], seed) * len(heads)
    index = tf.stack([tf.cast(draws, tf.int32), tf.range(length)], -1)
    return tf.gather_nd(tf.stack(heads), index)

  def posterior(
      self, weights: Weights, deter: tf.Tensor, embed_share: tf.Tensor,
  ) -> tf.Tensor:
    """Statistics of q(z_t | h_t, x_t).

    Args:
      weights: Of `weights`.
      deter: compute dtype `[B, D]`, h_t.
      embed_share: compute dtype `[B, hidden]`, of `embed_share`.

    Returns:
      float32 `[B, outputs]`.
    """
    return self._posterior.of_share(weights.posterior, deter, embed_share)

  def embed_share(self, weights: Weights, embed: tf.Tensor) -> tf.Tensor:
    """What embeddings `[..., E]` add to the posterior's hidden layer."""
    return self._posterior.share(weights.posterior, embed)

  # Steps and sequences.

  def observe(
      self, embed: tf.Tensor, prev_action: tf.Tensor, is_first: tf.Tensor,
      seed: tf.Tensor, *, state: types.RSSMState | None = None,
      sample: bool = True,
  ) -> tuple[types.RSSMState, types.RSSMState]:
    """Filters sequences: one posterior a row.

    Args:
      embed: compute dtype `[B, T, E]`.
      prev_action: float32 `[B, T, A]`, that led into the row.
      is_first: bool `[B, T]`; the past is forgotten before the row.
      seed: int32 `[2]`.
      state: `[B, ...]`, before the first row; None is all zeros.
      sample: False takes the mode of each posterior.

    Returns:
      Posterior and prior `[B, T, ...]`. The prior has the statistics that h_t
      alone predicts; its `stoch` is the posterior's.
    """
    weights = self.weights()
    post_seed, prior_seed = tf.unstack(noise.split(seed, 2))
    inputs = tuple(map(_swap_time, (
        self.embed_share(weights, embed), prev_action, is_first,
    )))
    if sample:
      inputs += (self._noise(_swap_time(prev_action).shape[:2], post_seed),)
    if state is None:
      state = self.initial(prev_action.shape[0] or tf.shape(prev_action)[0])
    posterior = recurrence.scan(self._filter, weights, inputs, state)
    # Priors depend on h alone, so they need no scan.
    raw = self.prior(weights, posterior.deter, prior_seed)
    prior = self._state(posterior.deter, posterior.stoch, raw)
    return tf.nest.map_structure(_swap_time, (posterior, prior))

  def obs_step(
      self, prev_state: types.RSSMState, prev_action: tf.Tensor,
      embed: tf.Tensor, is_first: tf.Tensor, seed: tf.Tensor, *,
      sample: bool = True,
  ) -> types.RSSMState:
    """One step of filtering.

    Args:
      prev_state: `[B, ...]`.
      prev_action: float `[B, A]`.
      embed: compute dtype `[B, E]`.
      is_first: bool `[B]`; where true the state and action count as zero.
      seed: int32 `[2]`.
      sample: False takes the mode.

    Returns:
      Posterior `[B, ...]`.
    """
    weights = self.weights()
    drawn = self._noise(tf.shape(embed)[:1], seed) if sample else None
    deter = self._recur_in_row(weights, prev_state, prev_action, is_first)
    # No share: in half precision one product is rounded less than two.
    inputs = tf.concat([deter, embed], -1)
    raw = self._posterior.of_all(weights.posterior, inputs)
    return self._draw(deter, raw, drawn)

  def _filter(
      self, weights, prev_state, embed_share, prev_action, is_first, drawn=None,
  ):
    """The posterior of one row, in which an episode may start."""
    deter = self._recur_in_row(weights, prev_state, prev_action, is_first)
    return self._draw(
        deter, self.posterior(weights, deter, embed_share), drawn
    )

  def _recur_in_row(self, weights, prev_state, prev_action, is_first):
    """`recur`, from zeros where an episode starts."""
    prev_state, prev_action = tf.nest.map_structure(
        lambda x: _zero_where(is_first, x), (prev_state, prev_action)
    )
    return self.recur(weights, prev_state, prev_action)

  def img_step(
      self, prev_state: types.RSSMState, prev_action: tf.Tensor,
      seed: tf.Tensor, *, sample: bool = True, weights: Weights | None = None,
  ) -> types.RSSMState:
    """One step of imagination.

    Args:
      prev_state: `[B, ...]`.
      prev_action: float `[B, A]`.
      seed: int32 `[2]`.
      sample: False takes the mode.
      weights: Of `weights`, read before a loop; None reads them now.

    Returns:
      Prior `[B, ...]`.
    """
    weights = self.weights() if weights is None else weights
    member_seed, sample_seed = tf.unstack(noise.split(seed, 2))
    deter = self.recur(weights, prev_state, prev_action)
    # `prior` wants a time axis: one head is drawn for each step.
    raw = self.prior(weights, deter[None], member_seed)[0]
    drawn = self._noise(tf.shape(deter)[:1], sample_seed) if sample else None
    return self._draw(deter, raw, drawn)

  def _noise(self, prefix, seed):
    """What one latent of each row is drawn with: float32 `[prefix..., ...]`."""
    _, variables, classes = self._sizes
    event = [variables, classes] if classes else [variables]
    draw = noise.gumbel if classes else noise.standard_normal
    return draw(tf.concat([prefix, event], 0), seed)

  def _draw(self, deter, raw, drawn):
    """A state with a latent made of drawn noise, or its mode without."""
    state = self._state(deter, None, raw)
    stoch = distributions.draw_latent(state, drawn)
    return state._replace(stoch=tf.cast(stoch, deter.dtype))

  def _state(self, deter, stoch, raw):
    _, variables, classes = self._sizes
    if classes:
      logits = tf.reshape(raw, [-1, variables, classes])
      logits = layers.restore_prefix(logits, raw, 1)
      return types.DiscreteState(deter, stoch, logits)
    mean, raw_std = tf.split(raw, 2, -1)
    std = self._std_activation(raw_std) + self._min_std
    return types.GaussianState(deter, stoch, mean, std)


def _flat(state):
  """z with its variables and classes joined: `[..., S * C]` or `[..., S]`."""
  stoch = state.stoch
  if not isinstance(state, types.DiscreteState):
    return stoch
  flat = tf.reshape(stoch, [-1, stoch.shape[-2] * stoch.shape[-1]])
  return layers.restore_prefix(flat, stoch, 2)


def _swap_time(x):
  return tf.transpose(x, [1, 0] + list(range(2, x.shape.rank)))


def _zero_where(mask, x):
  mask = tf.reshape(mask, [-1] + [1] * (x.shape.rank - 1))
  return tf.where(mask, tf.zeros_like(x), x)
