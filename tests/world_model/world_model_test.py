"""Tests of the world model's loss, term by term against numpy."""

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import types
from dreamerv2_tfa.world_model import world_model

A, B, T = small.A, small.B, small.T
CONSTANT = 0.5 * np.log(2.0 * np.pi)  # of a unit Gaussian, an element
SEED = tf.constant([5, 1])
MIXED = {**small.IMAGE, **small.VECTORS}


def make(*bindings, observation=None, discount=0.9):
  with small.configured(*bindings):
    model = world_model.WorldModel(
        small.VECTORS if observation is None else observation, A,
        discount=discount,
    )
  small.randomise(model, scale=0.3)
  return model


def make_sequence(observation=None, rows=T, seed=0):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: tf.constant(rng.normal(size=shape), tf.float32)
  parts = {'position': draw(B, rows, 3), 'speed': draw(B, rows)}
  if observation is not None:
    image = rng.integers(0, 256, [B, rows, 64, 64, 1])
    parts['image'] = tf.constant(image, tf.uint8)
  is_first = np.zeros([B, rows], bool)
  is_first[:, 0] = True
  return types.Sequence(
      observation=parts, prev_action=draw(B, rows, A),
      reward=draw(B, rows) * 3.0,
      continue_=tf.constant(rng.integers(0, 2, [B, rows]), tf.float32),
      is_first=tf.constant(is_first),
  )


def gaussian_loss(mean, target):
  """-log N(target | mean, 1), elementwise."""
  return 0.5 * (np.asarray(target, np.float64) - mean) ** 2 + CONSTANT


def categorical_kl(left, right):
  """KL of the categoricals with these logits, summed over the variables."""
  log_left = np.log(small.softmax(left.numpy().astype(np.float64)))
  log_right = np.log(small.softmax(right.numpy().astype(np.float64)))
  return (np.exp(log_left) * (log_left - log_right)).sum((-1, -2))


def metric(output, name):
  return output.metrics[name].numpy()


def close(actual, desired):
  np.testing.assert_allclose(actual, desired, rtol=2e-5, atol=2e-5)


def test_embedding_is_the_mlp_of_the_joined_vectors():
  model, sequence = make(), make_sequence()
  parts = sequence.observation
  joined = np.concatenate([parts['position'], parts['speed'][..., None]], -1)
  output = model.loss(sequence, SEED)
  close(output.embed, small.mlp(model._encoder._mlp, joined))


def test_vector_loss_sums_over_the_vector_and_averages_over_rows():
  model, sequence = make(), make_sequence()
  output = model.loss(sequence, SEED)
  hidden = small.mlp(model._decoder._mlp, output.feature)
  for key, axes in (('position', -1), ('speed', ())):
    mean = small.dense(model._decoder._vectors[key]._dense, hidden)
    mean = mean.reshape(sequence.observation[key].shape)
    loss = gaussian_loss(mean, sequence.observation[key]).sum(axes).mean()
    close(metric(output, f'{key}_loss'), loss)


def test_image_loss_is_of_pixels_scaled_to_half_around_zero():
  model, sequence = make(observation=MIXED), make_sequence(MIXED)
  output = model.loss(sequence, SEED)
  mean = model.decode(output.feature)['image'].mean().numpy()
  target = sequence.observation['image'].numpy() / 255.0 - 0.5
  loss = gaussian_loss(mean, target).sum((-1, -2, -3)).mean()
  np.testing.assert_allclose(metric(output, 'image_loss'), loss, rtol=1e-5)


@pytest.mark.parametrize('name, function', [
    ('identity', lambda x: x), ('sign', np.sign), ('tanh', np.tanh),
])
def test_reward_loss_is_of_the_transformed_reward(name, function):
  model = make(f"WorldModel.reward_transform = '{name}'")
  sequence = make_sequence()
  output = model.loss(sequence, SEED)
  mean = small.head(model._reward_head, output.feature)[..., 0]
  close(
      metric(output, 'reward_loss'),
      gaussian_loss(mean, function(sequence.reward.numpy())).mean(),
  )


def test_continue_loss_takes_gamma_times_continue_as_a_soft_label():
  model, sequence = make(discount=0.7), make_sequence()
  output = model.loss(sequence, SEED)
  probs = small.sigmoid(
      small.head(model._continue_head, output.feature)[..., 0]
  )
  label = 0.7 * sequence.continue_.numpy()
  loss = -label * np.log(probs) - (1.0 - label) * np.log(1.0 - probs)
  close(metric(output, 'discount_loss'), loss.mean())


def test_predicted_discount_is_the_mean_of_the_continue_head():
  model = make()
  feature = model.loss(make_sequence(), SEED).feature
  logits = small.head(model._continue_head, feature)[..., 0]
  close(model.discount(feature), small.sigmoid(logits))


def test_without_a_continue_head_the_discount_is_gamma_everywhere():
  model = make('WorldModel.continue_head = False', discount=0.7)
  output = model.loss(make_sequence(), SEED)
  assert 'discount_loss' not in output.metrics
  discount = model.discount(output.feature)
  np.testing.assert_array_equal(discount, np.full([B, T], np.float32(0.7)))


def test_a_rollout_starts_with_the_true_discount():
  model = make()
  feature = model.loss(make_sequence(), SEED).feature
  first = tf.constant([0.0, 0.7, 0.6, 0.5, 0.4, 0.3][:feature.shape[1]])
  discount = model.rollout_discount(feature, first)
  close(discount[0], first)
  close(discount[1:], model.discount(feature)[1:])


def test_without_a_continue_head_a_terminal_start_counts_like_any_other():
  model = make('WorldModel.continue_head = False', discount=0.7)
  feature = model.loss(make_sequence(), SEED).feature
  discount = model.rollout_discount(feature, tf.zeros(feature.shape[1]))
  np.testing.assert_array_equal(discount, np.full([B, T], np.float32(0.7)))


def test_predicted_reward_is_the_mean_of_the_reward_head():
  model = make()
  feature = model.loss(make_sequence(), SEED).feature
  mean = small.head(model._reward_head, feature)[..., 0]
  close(model.reward(feature), mean)


def test_kl_term_is_the_kl_of_posterior_from_prior_in_nats():
  model = make()
  output = model.loss(make_sequence(), SEED)
  kl = categorical_kl(output.posterior.logits, output.prior.logits)
  close(output.losses['kl'], kl)
  close(metric(output, 'model_kl'), kl.mean())
  close(metric(output, 'kl_loss'), kl.mean())  # the shares add up to one


def test_entropies_are_of_the_prior_and_of_the_posterior():
  model = make()
  output = model.loss(make_sequence(), SEED)
  for name, state in (('prior', output.prior), ('post', output.posterior)):
    probs = small.softmax(state.logits.numpy())
    entropy = -(probs * np.log(probs)).sum((-1, -2)).mean()
    close(metric(output, f'{name}_ent'), entropy)


def test_forward_kl_has_prior_and_posterior_swapped():
  model = make('WorldModel.kl_forward = True')
  output = model.loss(make_sequence(), SEED)
  kl = categorical_kl(output.prior.logits, output.posterior.logits)
  close(metric(output, 'kl_loss'), kl.mean())


def test_free_nats_are_the_least_kl_loss():
  model = make('WorldModel.free_nats = 50.0')
  output = model.loss(make_sequence(), SEED)
  close(metric(output, 'kl_loss'), 50.0)


def test_balance_sets_the_shares_of_prior_and_posterior():
  """The prior's head learns from the KL alone: 0.8 against 0.2 of it."""
  def prior_gradient(balance):
    model = make(f'WorldModel.kl_balance = {balance}')
    with tf.GradientTape() as tape:
      loss = model.loss(make_sequence(), SEED).metrics['kl_loss']
    return tape.gradient(loss, model.rssm._priors[0]._out.kernel)

  close(prior_gradient(0.8), 4.0 * prior_gradient(0.2))


def test_loss_is_the_sum_of_scaled_terms():
  model = make(
      'WorldModel.kl_scale = 0.1', 'WorldModel.reward_scale = 3.0',
      'WorldModel.continue_scale = 5.0', observation=MIXED,
  )
  output = model.loss(make_sequence(MIXED), SEED)
  scales = {'kl': 0.1, 'reward': 3.0, 'discount': 5.0, 'image': 1.0,
            'position': 1.0, 'speed': 1.0}
  total = sum(v * metric(output, f'{k}_loss') for k, v in scales.items())
  np.testing.assert_allclose(output.loss, total, rtol=1e-6)
  np.testing.assert_array_equal(output.loss, metric(output, 'model_loss'))


def test_weights_multiply_the_loss_of_their_sequence():
  model, sequence = make(), make_sequence()
  loss = lambda *weights: model.loss(
      sequence, SEED, weights=tf.constant(weights)
  ).loss.numpy()
  first, second = loss(1.0, 0.0), loss(0.0, 1.0)
  assert abs(first - second) > 0.01  # else a swapped axis would pass
  close(first + second, model.loss(sequence, SEED).loss)
  close(loss(2.0, 0.5), 2.0 * first + 0.5 * second)


def feature_gradient(model, sequence, name):
  """Gradients of one term to the encoder and to the head of that name."""
  module = {'decoder': model._decoder, 'reward': model._reward_head,
            'discount': model._continue_head}[name]
  terms = {'decoder': 'position_loss'}
  with tf.GradientTape() as tape:
    output = model.loss(sequence, SEED)
    term = output.metrics[terms.get(name, f'{name}_loss')]
  return tape.gradient(
      term, (model._encoder._mlp._hidden[0]._layer.kernel,
             module._mlp._hidden[0]._layer.kernel),
  )


@pytest.mark.parametrize('name', ['decoder', 'reward', 'discount'])
def test_a_head_outside_grad_heads_trains_itself_and_not_the_features(name):
  others = tuple({'decoder', 'reward', 'discount'} - {name})
  model = make(f'WorldModel.grad_heads = {others}')
  to_encoder, to_head = feature_gradient(model, make_sequence(), name)
  assert to_encoder is None
  assert np.abs(to_head).max() > 0


@pytest.mark.parametrize('name', ['decoder', 'reward', 'discount'])
def test_a_head_in_grad_heads_trains_the_features(name):
  model = make(f"WorldModel.grad_heads = ('{name}',)")
  to_encoder, _ = feature_gradient(model, make_sequence(), name)
  assert np.abs(to_encoder).max() > 0


def test_the_sampled_latent_passes_gradients_straight_to_the_encoder():
  """In a single row h has seen no observation: all must pass through z."""
  model = make()
  to_encoder, _ = feature_gradient(model, make_sequence(rows=1), 'decoder')
  assert np.abs(to_encoder).max() > 0


def test_straight_through_gradient_is_that_of_the_probabilities():
  """With one row, d loss / d posterior's bias = J_softmax^T d loss / d z."""
  model, sequence = make(), make_sequence(rows=1)
  bias = model.rssm._posterior._out.bias
  with tf.GradientTape() as tape:
    output = model.loss(sequence, SEED)
  gradient = tape.gradient(output.metrics['reward_loss'], bias)
  with tf.GradientTape() as tape:
    tape.watch(output.feature)
    mean = model.reward(output.feature)
    target = tf.tanh(sequence.reward)
    loss = tf.reduce_mean(0.5 * (mean - target) ** 2)
  to_stoch = tape.gradient(loss, output.feature).numpy()[:, 0, :12]
  to_stoch = to_stoch.reshape([B, 3, 4])
  probs = small.softmax(output.posterior.logits.numpy()[:, 0])
  inner = (probs * to_stoch).sum(-1, keepdims=True)
  close(gradient, (probs * (to_stoch - inner)).sum(0).reshape(-1))


def test_pixels_are_scaled_to_half_around_zero_and_numbers_kept():
  scaled = world_model.preprocess({
      'image': tf.constant([0, 51, 255], tf.uint8),
      'speed': tf.constant([3.0, -255.0]), 'count': tf.constant([7]),
  })
  close(scaled['image'], [-0.5, -0.3, 0.5])
  np.testing.assert_array_equal(scaled['speed'], [3.0, -255.0])
  np.testing.assert_array_equal(scaled['count'], [7.0])
  assert all(x.dtype == tf.float32 for x in scaled.values())


def test_images_vectors_and_scalars_mix_and_each_has_its_own_term():
  model = make(observation=MIXED)
  output = model.loss(make_sequence(MIXED), SEED)
  assert {k for k in output.metrics if k.endswith('_loss')} == {
      'image_loss', 'position_loss', 'speed_loss', 'reward_loss',
      'discount_loss', 'kl_loss', 'model_loss'}
  # Four strided convolutions leave 2 x 2 pixels of 16 channels.
  assert output.embed.shape == (B, T, 2 * 2 * 16 + 9)


def test_embed_is_what_the_loss_embeds():
  model, sequence = make(observation=MIXED), make_sequence(MIXED)
  embed = model.embed(sequence.observation)
  close(embed, model.loss(sequence, SEED).embed)


def test_the_mode_of_the_posterior_needs_no_luck():
  model, sequence = make(), make_sequence()
  one, two = (
      model.rssm.observe(
          model.embed(sequence.observation), sequence.prev_action,
          sequence.is_first, seed, sample=False)[0]
      for seed in (SEED, SEED + 1))
  np.testing.assert_array_equal(one.stoch, two.stoch)


def test_gaussian_latents_have_a_kl_of_gaussians():
  model = make('RSSM.classes = 0')
  output = model.loss(make_sequence(), SEED)
  post, prior = output.posterior, output.prior
  ratio = (post.std / prior.std).numpy()
  distance = ((post.mean - prior.mean) / prior.std).numpy()
  kl = 0.5 * (ratio**2 + distance**2 - 1.0) - np.log(ratio)
  close(output.losses['kl'], kl.sum(-1))


@pytest.mark.parametrize('binding, got', [
    ('WorldModel.kl_balance = 1.5', '1.5'),
    ("WorldModel.grad_heads = ('decoder', 'rewards')", 'rewards'),
    ("WorldModel.reward_transform = 'log'", 'log'),
])
def test_impossible_settings_are_named_with_what_they_got(binding, got):
  with pytest.raises(ValueError, match=f'WorldModel.*{got}'):
    make(binding)


def test_a_discount_over_one_is_refused():
  with pytest.raises(ValueError, match='discount.*1.01'):
    make(discount=1.01)
