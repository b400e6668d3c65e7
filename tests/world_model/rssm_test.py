"""Tests of the RSSM against numpy twins of its equations."""

import itertools

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa.world_model import rssm

A, E, N = 6, 10, 11  # action, embedding, batch
D, S, C = 8, 3, 4
SEED = tf.constant([3, 7])
KINDS = ('discrete', 'gaussian')


def make(*bindings, kind='discrete'):
  gaussian = ('RSSM.classes = 0',) if kind == 'gaussian' else ()
  with small.configured(*gaussian, *bindings):
    model = rssm.RSSM(A, E)
  small.randomise(model)
  return model


def random_state(model, rng, batch):
  """A state in which no two numbers are alike."""
  draw = lambda x: tf.constant(rng.normal(size=x.shape), x.dtype)
  return tf.nest.map_structure(draw, model.initial(batch))


def random_inputs(rng, *prefix):
  draw = lambda size: tf.constant(rng.normal(size=[*prefix, size]), tf.float32)
  return draw(E), draw(A)


def flat(stoch):
  return np.reshape(stoch, [len(stoch), -1])


def naive_deter(model, state, action):
  """h' from (h, z) and the action, as the specification writes it."""
  h = state.deter.numpy()
  x = np.concatenate([flat(state.stoch), action], -1)
  x = small.hidden(model._input, x)
  gates = small.dense(model._cell._gates, np.concatenate([x, h], -1))
  gates = small.layer_norm(model._cell._norm, gates)
  reset, candidate, update = np.split(gates, 3, -1)
  candidate = np.tanh(small.sigmoid(reset) * candidate)
  update = small.sigmoid(update - 1.0)
  return update * candidate + (1.0 - update) * h


def naive_statistics(module, x):
  return small.dense(module._out, small.hidden(module._hidden, x))


def naive_mode(raw, kind):
  if kind == 'gaussian':
    return raw[:, :S]
  return np.eye(C)[raw.reshape([-1, S, C]).argmax(-1)]


def check_state(state, deter, raw, kind):
  """Compares a state taken at its mode with what the twin says."""
  np.testing.assert_allclose(state.deter, deter, atol=1e-5)
  np.testing.assert_allclose(state.stoch, naive_mode(raw, kind), atol=1e-5)
  if kind == 'discrete':
    np.testing.assert_allclose(flat(state.logits), raw, atol=1e-5)
  else:
    np.testing.assert_allclose(state.mean, raw[:, :S], atol=1e-5)
    std = 2.0 * small.sigmoid(raw[:, S:] / 2.0) + 0.1
    np.testing.assert_allclose(state.std, std, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_initial_state_is_all_zeros(kind):
  state = make(kind=kind).initial(N)
  shapes = {'deter': (N, D), 'stoch': (N, S, C), 'logits': (N, S, C)}
  if kind == 'gaussian':
    shapes = {'deter': (N, D), 'stoch': (N, S), 'mean': (N, S), 'std': (N, S)}
  assert {k: tuple(v.shape) for k, v in state._asdict().items()} == shapes
  assert all(not leaf.numpy().any() for leaf in state)


@pytest.mark.parametrize('kind', KINDS)
def test_feature_is_the_flat_latent_and_then_h(kind):
  model = make(kind=kind)
  state = random_state(model, np.random.default_rng(0), N)
  expected = np.concatenate([flat(state.stoch), state.deter], -1)
  np.testing.assert_array_equal(model.feature(state), expected)
  assert expected.shape[-1] == model.feature_size


@pytest.mark.parametrize('norm', ['none', 'layer'])
@pytest.mark.parametrize('kind', KINDS)
def test_img_step_is_the_cell_and_the_prior(kind, norm):
  rng = np.random.default_rng(1)
  model = make(f"RSSM.norm = '{norm}'", kind=kind)
  state = random_state(model, rng, N)
  _, action = random_inputs(rng, N)
  deter = naive_deter(model, state, action)
  raw = naive_statistics(model._priors[0], deter)
  moved = model.img_step(state, action, SEED, sample=False)
  check_state(moved, deter, raw, kind)


@pytest.mark.parametrize('kind', KINDS)
def test_obs_step_is_the_cell_and_the_posterior(kind):
  rng = np.random.default_rng(2)
  model = make(kind=kind)
  state = random_state(model, rng, N)
  embed, action = random_inputs(rng, N)
  deter = naive_deter(model, state, action)
  inputs = np.concatenate([deter, embed], -1)
  raw = naive_statistics(model._posterior, inputs)
  first = tf.zeros([N], tf.bool)
  moved = model.obs_step(state, action, embed, first, SEED, sample=False)
  check_state(moved, deter, raw, kind)


def test_obs_step_zeroes_state_and_action_of_first_rows_alone():
  rng = np.random.default_rng(3)
  model = make()
  state = random_state(model, rng, 2)
  embed, action = random_inputs(rng, 2)
  moved = model.obs_step(
      state, action, embed, tf.constant([True, False]), SEED, sample=False
  )
  fresh = naive_deter(model, model.initial(2), np.zeros([2, A]))
  went_on = naive_deter(model, state, action)
  np.testing.assert_allclose(moved.deter[0], fresh[0], atol=1e-5)
  np.testing.assert_allclose(moved.deter[1], went_on[1], atol=1e-5)


def test_a_previous_state_of_nan_is_forgotten_at_a_first_row():
  model = make()
  state = tf.nest.map_structure(lambda x: x / 0.0, model.initial(1))
  embed, action = random_inputs(np.random.default_rng(4), 1)
  moved = model.obs_step(state, action, embed, tf.constant([True]), SEED)
  assert np.isfinite(moved.deter).all()


@pytest.mark.parametrize('kind', KINDS)
def test_observe_forgets_the_past_at_a_first_row(kind):
  """What stood before row 2, and the action into it, leave no trace."""
  rng = np.random.default_rng(5)
  model = make(kind=kind)
  embed, action = random_inputs(rng, small.B, small.T)
  other_embed, other_action = random_inputs(rng, small.B, small.T)
  first = tf.constant([[t == 2 for t in range(small.T)]] * small.B)
  one, _ = model.observe(embed, action, first, SEED)
  two, _ = model.observe(
      tf.concat([other_embed[:, :2], embed[:, 2:]], 1),
      tf.concat([other_action[:, :3], action[:, 3:]], 1),
      first, SEED, state=random_state(model, rng, small.B),
  )
  assert np.abs(one.deter - two.deter)[:, :2].min() > 0
  assert small.same([x[:, 2:] for x in one], [x[:, 2:] for x in two])


@pytest.mark.parametrize('kind', KINDS)
def test_observe_filters_row_after_row(kind):
  rng = np.random.default_rng(6)
  model = make(kind=kind)
  start = random_state(model, rng, small.B)
  embed, action = random_inputs(rng, small.B, small.T)
  first = np.zeros([small.B, small.T], bool)
  first[1, 3] = True
  posterior, _ = model.observe(
      embed, action, tf.constant(first), SEED, state=start, sample=False
  )
  state = start
  for t in range(small.T):
    keep = ~first[:, t]
    state = tf.nest.map_structure(
        lambda x, k=keep: x * k.reshape([-1] + [1] * (x.shape.rank - 1)), state
    )
    deter = naive_deter(model, state, action[:, t] * keep[:, None])
    inputs = np.concatenate([deter, embed[:, t]], -1)
    raw = naive_statistics(model._posterior, inputs)
    row = tf.nest.map_structure(lambda x, t=t: x[:, t], posterior)
    check_state(row, deter, raw, kind)
    state = row


def test_observe_starts_from_zeros():
  model = make()
  embed, action = random_inputs(np.random.default_rng(7), small.B, small.T)
  first = tf.zeros([small.B, small.T], tf.bool)
  one, _ = model.observe(embed, action, first, SEED)
  two, _ = model.observe(
      embed, action, first, SEED, state=model.initial(small.B)
  )
  assert small.same(one, two)


def test_the_prior_of_a_row_is_what_h_alone_predicts():
  model = make()
  embed, action = random_inputs(np.random.default_rng(8), small.B, small.T)
  first = tf.zeros([small.B, small.T], tf.bool)
  posterior, prior = model.observe(embed, action, first, SEED)
  raw = naive_statistics(model._priors[0], posterior.deter.numpy())
  expected = raw.reshape([small.B, small.T, S, C])
  np.testing.assert_allclose(prior.logits, expected, atol=1e-5)
  np.testing.assert_array_equal(prior.deter, posterior.deter)


def test_a_rows_observation_moves_its_posterior_and_not_its_prior():
  model = make()
  embed, action = random_inputs(np.random.default_rng(9), small.B, 1)
  first = tf.ones([small.B, 1], tf.bool)
  post_one, prior_one = model.observe(embed, action, first, SEED)
  post_two, prior_two = model.observe(embed + 1.0, action, first, SEED)
  assert np.abs(post_one.logits - post_two.logits).min() > 0
  np.testing.assert_array_equal(prior_one.logits, prior_two.logits)


@pytest.mark.parametrize('form, formula', [
    ('softplus', lambda x: np.log1p(np.exp(x))),
    ('sigmoid', small.sigmoid),
    ('sigmoid2', lambda x: 2.0 * small.sigmoid(x / 2.0)),
])
def test_gaussian_latents_have_the_written_standard_deviation(form, formula):
  model = make(
      f"RSSM.std_activation = '{form}'", 'RSSM.min_std = 0.3', kind='gaussian'
  )
  rng = np.random.default_rng(10)
  state = random_state(model, rng, N)
  _, action = random_inputs(rng, N)
  moved = model.img_step(state, action, SEED)
  raw = naive_statistics(model._priors[0], moved.deter.numpy())
  np.testing.assert_allclose(moved.std, formula(raw[:, S:]) + 0.3, atol=1e-5)


def test_discrete_latents_are_drawn_with_their_probabilities():
  rng, many = np.random.default_rng(11), 4000
  model = make()
  repeat = lambda x: tf.repeat(x, many, 0)
  state = tf.nest.map_structure(repeat, random_state(model, rng, 1))
  _, action = random_inputs(rng, 1)
  moved = model.img_step(state, repeat(action), SEED)
  probs = small.softmax(moved.logits.numpy()[0])
  error = moved.stoch.numpy().mean(0) - probs
  assert (np.abs(error) < 5 * np.sqrt(probs * (1 - probs) / many)).all()
  assert set(np.unique(moved.stoch)) == {0.0, 1.0}


def test_gaussian_latents_are_drawn_with_their_mean_and_deviation():
  rng, many = np.random.default_rng(12), 4000
  model = make(kind='gaussian')
  repeat = lambda x: tf.repeat(x, many, 0)
  state = tf.nest.map_structure(repeat, random_state(model, rng, 1))
  embed, action = (repeat(x) for x in random_inputs(rng, 1))
  moved = model.obs_step(
      state, action, embed, tf.zeros([many], tf.bool), SEED
  )
  noise = ((moved.stoch - moved.mean) / moved.std).numpy()
  assert (np.abs(noise.mean(0)) < 5 / np.sqrt(many)).all()
  assert (np.abs(noise.std(0) - 1) < 5 / np.sqrt(2 * many)).all()


def test_every_row_of_observe_has_noise_of_its_own():
  model = make(kind='gaussian')
  small.randomise(model, scale=0.0)  # all statistics are constants
  embed, action = random_inputs(np.random.default_rng(13), small.B, small.T)
  first = tf.zeros([small.B, small.T], tf.bool)
  posterior, _ = model.observe(embed, action, first, SEED)
  assert len(np.unique(posterior.stoch)) == small.B * small.T * S


def members_used(statistics, raw):
  """Which ensemble member each row `[N, ...]` of `statistics` came from."""
  distance = np.abs(raw - statistics).max(-1)  # [K, N]
  np.testing.assert_allclose(distance.min(0), 0.0, atol=1e-6)
  return distance.argmin(0)


def test_img_step_uses_one_ensemble_member_for_the_whole_batch():
  rng, used = np.random.default_rng(14), set()
  model = make('RSSM.ensemble = 3')
  state = random_state(model, rng, N)
  _, action = random_inputs(rng, N)
  for seed in range(20):
    moved = model.img_step(state, action, tf.constant([seed, 0]))
    raw = np.stack([
        naive_statistics(prior, moved.deter.numpy())
        for prior in model._priors
    ])
    members = set(members_used(flat(moved.logits), raw))
    assert len(members) == 1
    used |= members
  assert used == {0, 1, 2}


def test_observe_draws_an_ensemble_member_for_each_step():
  model, steps = make('RSSM.ensemble = 3'), 40
  embed, action = random_inputs(np.random.default_rng(15), small.B, steps)
  first = tf.zeros([small.B, steps], tf.bool)
  posterior, prior = model.observe(embed, action, first, SEED)
  members = []
  for t in range(steps):
    deter = posterior.deter[:, t].numpy()
    raw = np.stack([naive_statistics(p, deter) for p in model._priors])
    row = set(members_used(flat(prior.logits[:, t].numpy()), raw))
    assert len(row) == 1
    members += row
  assert set(members) == {0, 1, 2}
  assert len(set(itertools.pairwise(members))) > 3  # no fixed order


@pytest.mark.parametrize('binding', [
    'RSSM.deter = 0', 'RSSM.hidden = 0', 'RSSM.stoch = 0', 'RSSM.classes = 1',
    'RSSM.classes = -2', 'RSSM.ensemble = 0', "RSSM.std_activation = 'relu'",
])
def test_impossible_settings_are_named_with_what_they_got(binding):
  name, got = binding.split(' = ')
  with pytest.raises(ValueError, match=f'{name}.*{got}'):
    make(binding)
