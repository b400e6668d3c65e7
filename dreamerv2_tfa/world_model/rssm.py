"""The recurrent state-space model: h_t deterministic, z_t stochastic."""

import contextlib

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import distributions
from dreamerv2_tfa import noise
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import gru
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.networks import recurrence

_STD_ACTIVATIONS = {
    'softplus': tf.nn.softplus,
    'sigmoid': tf.nn.sigmoid,
    'sigmoid2': lambda raw: 2.0 * tf.nn.sigmoid(raw / 2.0),
}


class Statistics(tf.Module):
  """Hidden layer, then the numbers of a latent's distribution."""

  def __init__(self, input_size, hidden, outputs, *, activation, norm):
    super().__init__()
    self._hidden = layers.Hidden(
        layers.Dense(hidden), (None, input_size),
        activation=activation, norm=norm,
    )
    self._out = layers.Dense(outputs)
    self._out.build((None, hidden))

  def __call__(self, inputs):
    """`[..., I]` to float32 `[..., outputs]`."""
    flat = self._out(
        self._hidden(tf.reshape(inputs, [-1, inputs.shape[-1]]))
    )
    return layers.restore_prefix(tf.cast(flat, tf.float32), inputs, 1)

  def project(self, inputs, first):
    """The part of the hidden layer's sum that columns from `first` on make."""
    return self._hidden.project(inputs, first)

  def join(self, inputs, projected):
    """`[B, I]` and what `project` made of further columns, to the outputs."""
    return tf.cast(self._out(self._hidden.join(inputs, projected)), tf.float32)


@gin.configurable
class RSSM(tf.Module):
  """Recurrent state-space model (DreamerV2 paper, equation 1).

    h_t  = GRU(dense([z_{t-1}, a_{t-1}]), h_{t-1})
    z^_t ~ p(z^_t | h_t)        prior, from an ensemble of K heads
    z_t  ~ q(z_t | h_t, x_t)    posterior
  """

  def __init__(
      self, action_size, embed_size, *, deter=1024, hidden=1024, stoch=32,
      classes=32, ensemble=1, activation='elu', norm='none',
      std_activation='sigmoid2', min_std=0.1, name=None,
  ):
    """Builds the layers.

    Args:
      action_size: int A.
      embed_size: int E.
      deter: int D, units of h.
      hidden: int, width of the hidden layers.
      stoch: int S, variables in z.
      classes: int C, classes of each; 0 makes z Gaussian.
      ensemble: int K, prior heads; a random one is used at each step.
      activation: Name of a Keras activation.
      norm: 'none' or 'layer', in the hidden layers.
      std_activation: 'sigmoid2', 'sigmoid' or 'softplus', of a Gaussian z.
      min_std: float, added to the standard deviation of a Gaussian z.
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
        layers.Dense(hidden), (None, flat + action_size), **shared
    )
    self._cell = gru.GRUCell(hidden, deter)
    self._priors = [
        Statistics(deter, hidden, outputs, **shared) for _ in range(ensemble)
    ]
    self._posterior = Statistics(
        deter + embed_size, hidden, outputs, **shared
    )
    self.feature_size = flat + deter

  def initial(self, batch_size):
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

  def feature(self, state):
    """[flat z, h]: compute dtype `[..., F]`."""
    return tf.concat([_flat(state), state.deter], -1)

  def observe(self, embed, prev_action, is_first, seed, *, state=None,
              sample=True):
    """Filters sequences: one posterior a row.

    Args:
      embed: compute dtype `[B, T, E]`.
      prev_action: float32 `[B, T, A]`, that led into the row.
      is_first: bool `[B, T]`; the past is forgotten before the row.
      seed: int32 `[2]`.
      state: `RSSMState` `[B, ...]` before the first row; None is all zeros.
      sample: bool; False takes the mode of each posterior.

    Returns:
      Posterior and prior, `RSSMState` `[B, T, ...]`. The prior has the
      statistics that h_t alone predicts; its `stoch` is the posterior's.
    """
    post_seed, prior_seed = tf.unstack(noise.split(seed, 2))
    inputs = tuple(map(_swap_time, (
        self._posterior.project(embed, self._sizes[0]), prev_action, is_first,
    )))
    if sample:
      inputs += (self._noise(_swap_time(prev_action).shape[:2], post_seed),)
    if state is None:
      state = self.initial(prev_action.shape[0] or tf.shape(prev_action)[0])
    posterior = recurrence.scan(
        self._filter, inputs, state, (self._input, self._cell, self._posterior)
    )
    # Priors depend on h alone, so they need no scan.
    raw = self._ensemble_member(posterior.deter, prior_seed)
    prior = self._state(posterior.deter, posterior.stoch, raw)
    return tf.nest.map_structure(_swap_time, (posterior, prior))

  def obs_step(self, prev_state, prev_action, embed, is_first, seed, *,
               sample=True):
    """One step of filtering.

    Args:
      prev_state: `RSSMState` `[B, ...]`.
      prev_action: float `[B, A]`.
      embed: compute dtype `[B, E]`.
      is_first: bool `[B]`; where true the state and action count as zero.
      seed: int32 `[2]`.
      sample: bool; False takes the mode.

    Returns:
      Posterior `RSSMState` `[B, ...]`.
    """
    deter = self._deter_of_row(prev_state, prev_action, is_first)
    raw = self._posterior(tf.concat([deter, embed], -1))
    drawn = self._noise(tf.shape(deter)[:1], seed) if sample else None
    return self._draw(deter, raw, drawn)

  def _filter(self, prev_state, projected, prev_action, is_first, drawn=None):
    """One step of a scan, from the embedding's share and drawn noise."""
    deter = self._deter_of_row(prev_state, prev_action, is_first)
    return self._draw(deter, self._posterior.join(deter, projected), drawn)

  def _deter_of_row(self, prev_state, prev_action, is_first):
    """h of a row, in which an episode may start."""
    return self._deter(*tf.nest.map_structure(
        lambda x: _zero_where(is_first, x), (prev_state, prev_action)))

  def img_step(self, prev_state, prev_action, seed, *, sample=True):
    """One step of imagination.

    Args:
      prev_state: `RSSMState` `[B, ...]`.
      prev_action: float `[B, A]`.
      seed: int32 `[2]`.
      sample: bool; False takes the mode.

    Returns:
      Prior `RSSMState` `[B, ...]`.
    """
    member_seed, sample_seed = tf.unstack(
        noise.split(seed, 2)
    )
    deter = self._deter(prev_state, prev_action)
    # The ensemble wants a time axis: one member is drawn for each step.
    raw = self._ensemble_member(deter[None], member_seed)[0]
    drawn = self._noise(tf.shape(deter)[:1], sample_seed) if sample else None
    return self._draw(deter, raw, drawn)

  @contextlib.contextmanager
  def weights_read(self):
    """Within it the layers use weights as they are now: for loops."""
    dense = layers.dense_layers([self])
    with layers.holding(dense, layers.read(dense)):
      yield

  def prior_ensemble(self, deter):
    """Raw statistics of every prior head: float32 `[K, ..., outputs]`."""
    return tf.stack([prior(deter) for prior in self._priors])

  def _deter(self, prev_state, prev_action):
    stoch = _flat(prev_state)
    inputs = tf.concat([stoch, tf.cast(prev_action, stoch.dtype)], -1)
    return self._cell(self._input(inputs), prev_state.deter)

  def _ensemble_member(self, deter, seed):
    """Float32 `[T, ..., outputs]`, each step from one random prior head."""
    if len(self._priors) == 1:
      return self._priors[0](deter)
    every = self.prior_ensemble(deter)
    length = deter.shape[0]
    draws = noise.uniform([length], seed) * len(self._priors)
    index = tf.stack([tf.cast(draws, tf.int32), tf.range(length)], -1)
    return tf.gather_nd(every, index)

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
