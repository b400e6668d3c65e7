"""Tests of the networks: numpy twins, sizes, names, and what is refused."""

import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import agent
from dreamerv2_tfa.networks import decoder
from dreamerv2_tfa.networks import encoder
from dreamerv2_tfa.networks import gru
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.networks import layers

F = 5   # features
PREFIX = (2, 3)


@pytest.fixture(autouse=True)
def clean():
  """Small MLPs for the time of a test; all global state as it was."""
  tf.keras.mixed_precision.set_global_policy('float32')
  gin.clear_config()
  gin.parse_config(['MLP.units = 7', 'MLP.layers = 2'])
  yield
  gin.clear_config()
  tf.keras.mixed_precision.set_global_policy('float32')


def image_spec(*channels):
  """Specs of images called a, b, ..., each with its own channels."""
  return {
      'abc'[i]: tf.TensorSpec((64, 64, c), tf.float32)
      for i, c in enumerate(channels)}


VECTORS = {
    'height': tf.TensorSpec((), tf.float32),
    'joints': tf.TensorSpec((4,), tf.float32),
    'speeds': tf.TensorSpec((2,), tf.float32),
}


def draw(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return tf.constant(values, tf.float32)


def observe(spec, seed=0):
  return {
      key: draw(*PREFIX, *s.shape, seed=seed + i)
      for i, (key, s) in enumerate(spec.items())}


def randomise(module, seed=0):
  """Gives every variable, biases and norms too, a small random value."""
  random = np.random.default_rng(seed)
  for variable in module.trainable_variables:
    scale = 1.0 if len(variable.shape) == 1 else 0.3
    variable.assign(scale * random.normal(size=variable.shape))


def copy_weights(source, target):
  pairs = zip(source.trainable_variables, target.trainable_variables,
              strict=True)
  for one, two in pairs:
    two.assign(one)


def with_rank(module, rank):
  """Trainable variables of a rank as float64 arrays, in order."""
  return [
      v.numpy().astype(np.float64) for v in module.trainable_variables
      if len(v.shape) == rank]


# Numpy twins of the layers.


def elu(x):
  return np.where(x > 0, x, np.exp(np.minimum(x, 0.0)) - 1.0)


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def layer_norm(x, gain, offset):
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  return gain * (x - mean) / np.sqrt(variance + 1e-3) + offset


def naive_mlp(module, x):
  for kernel, bias in zip(
      with_rank(module, 2), with_rank(module, 1), strict=True):
    x = elu(x @ kernel + bias)
  return x


def naive_convolution(x, kernel, bias):
  """VALID, stride 2; `x` `[N, H, W, C]`, `kernel` `[k, k, C, out]`."""
  size = kernel.shape[0]
  patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
  return np.einsum('nhwcij,ijco->nhwo', patches[:, ::2, ::2], kernel) + bias


def naive_transposed(x, kernel, bias):
  """VALID, stride 2; `kernel` `[k, k, out, C]`: each pixel paints a patch."""
  size, outputs = kernel.shape[0], kernel.shape[2]
  side = 2 * (x.shape[1] - 1) + size
  result = np.zeros((len(x), side, side, outputs))
  for i, j in np.ndindex(*x.shape[1:3]):
    patch = np.einsum('nc,abdc->nabd', x[:, i, j], kernel)
    result[:, 2 * i:2 * i + size, 2 * j:2 * j + size] += patch
  return result + bias


# GRU.


def make_gru():
  cell = gru.GRUCell(3, 4)
  randomise(cell)
  return cell


def naive_gru(cell, x, h):
  """The cell as the specification writes it; x `[B, 3]`, h `[B, 4]`."""
  kernel = cell._gates.kernel.numpy().astype(np.float64)
  gates = np.concatenate([x, h], 1) @ kernel + cell._gates.bias.numpy()
  gates = layer_norm(gates, cell._norm.gamma.numpy(), cell._norm.beta.numpy())
  reset, candidate, update = gates[:, :4], gates[:, 4:8], gates[:, 8:]
  update = sigmoid(update - 1)
  candidate = np.tanh(sigmoid(reset) * candidate)
  return update * candidate + (1 - update) * h


def test_the_gru_equals_its_equations():
  cell, x, h = make_gru(), draw(2, 3), draw(2, 4, seed=1)
  np.testing.assert_allclose(
      cell(x, h), naive_gru(cell, x.numpy(), h.numpy()), rtol=1e-5, atol=1e-6)


def test_the_gru_norm_has_an_epsilon_of_a_thousandth():
  cell = make_gru()
  cell._gates.kernel.assign(0.01 * cell._gates.kernel)   # a variance of 1e-3
  cell._gates.bias.assign(0.01 * cell._gates.bias)
  x, h = draw(2, 3), draw(2, 4, seed=1)
  np.testing.assert_allclose(
      cell(x, h), naive_gru(cell, x.numpy(), h.numpy()), rtol=1e-5, atol=1e-6)


def test_a_new_gru_moves_little_from_its_old_state():
  cell, h = gru.GRUCell(3, 4), draw(2, 4)
  cell._gates.kernel.assign(tf.zeros([7, 12]))
  # All gates 0: the candidate is 0, and 1 - sigmoid(-1) of the state stays.
  np.testing.assert_allclose(
      cell(draw(2, 3), h), h.numpy() / (1 + np.exp(-1)), rtol=1e-5)


@pytest.mark.parametrize('policy, dtype', [
    ('float32', tf.float32), ('mixed_bfloat16', tf.bfloat16)])
def test_the_gru_stays_in_the_compute_dtype_and_normalises_in_float32(
    policy, dtype):
  tf.keras.mixed_precision.set_global_policy(policy)
  cell = gru.GRUCell(3, 4)
  state = cell(tf.cast(draw(2, 3), dtype), tf.cast(draw(2, 4), dtype))
  assert state.dtype == dtype
  assert cell._norm.compute_dtype == 'float32'


# MLP.


def test_an_mlp_equals_its_equations_and_keeps_the_prefix():
  mlp = layers.MLP(F)
  randomise(mlp)
  inputs = draw(*PREFIX, F)
  assert mlp(inputs).shape == (*PREFIX, mlp.output_size) == (2, 3, 7)
  np.testing.assert_allclose(
      mlp(inputs), naive_mlp(mlp, inputs.numpy()), rtol=1e-5, atol=1e-5)


def test_an_mlp_of_one_layer_has_one():
  mlp = layers.MLP(F, layers=1, units=4)
  assert [v.shape.as_list() for v in mlp.trainable_variables] == [[F, 4], [4]]


def test_the_norm_of_an_mlp_stands_before_its_activation():
  mlp = layers.MLP(F, layers=1, units=6, norm='layer')
  randomise(mlp)
  hidden = mlp._hidden[0]
  inputs = draw(*PREFIX, F)
  kernel, bias = hidden._layer.kernel.numpy(), hidden._layer.bias.numpy()
  normed = layer_norm(
      inputs.numpy() @ kernel + bias, hidden._norm.gamma.numpy(),
      hidden._norm.beta.numpy())
  np.testing.assert_allclose(mlp(inputs), elu(normed), rtol=1e-4, atol=1e-5)


def test_the_activation_of_an_mlp_can_be_chosen():
  mlp = layers.MLP(F, layers=1, units=6, activation='tanh')
  inputs = draw(*PREFIX, F)
  kernel = with_rank(mlp, 2)[0]
  np.testing.assert_allclose(
      mlp(inputs), np.tanh(inputs.numpy() @ kernel), rtol=1e-5, atol=1e-6)


def test_an_mlp_without_a_known_prefix_works_in_a_graph():
  mlp = layers.MLP(F)

  @tf.function(input_signature=[tf.TensorSpec([None, 3, F], tf.float32)])
  def call(x):
    result = mlp(x)
    assert result.shape.as_list() == [None, 3, 7]
    return result

  np.testing.assert_allclose(
      call(draw(2, 3, F)), mlp(draw(2, 3, F)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('wrong', [
    dict(layers=0), dict(units=0), dict(units=-3), dict(norm='batch')])
def test_an_mlp_refuses_what_makes_no_layer_by_name(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    layers.MLP(F, **wrong)


# Initialisation.


@pytest.mark.parametrize('make', [
    lambda: layers.MLP(50, layers=1, units=40),
    lambda: gru.GRUCell(20, 25),
    lambda: heads.Output(50, [40]),
    lambda: encoder.Encoder(image_spec(3), depth=4),
    lambda: decoder.Decoder(F, image_spec(3), depth=4),
], ids=['mlp', 'gru', 'output', 'encoder', 'decoder'])
def test_kernels_start_glorot_uniform_and_biases_zero(make):
  module = make()
  for variable in module.trainable_variables:
    value, shape = variable.numpy(), variable.shape.as_list()
    if len(shape) == 1:
      np.testing.assert_array_equal(value, float('gamma' in variable.name))
      continue
    field = int(np.prod(shape[:-2]))   # 1 of a dense layer
    limit = np.sqrt(6 / (field * (shape[-1] + shape[-2])))
    assert 0.9 * limit < np.abs(value).max() <= limit
    np.testing.assert_allclose(value.std(), limit / np.sqrt(3), rtol=0.3)


# Encoder.


def test_the_embedding_of_images_has_2_by_2_by_8_depths():
  embedder = encoder.Encoder(image_spec(1), depth=3)
  assert embedder.output_size == 2 * 2 * 8 * 3
  embed = embedder(observe(image_spec(1)))
  assert embed.shape == (*PREFIX, 96)


def test_the_default_depth_gives_the_papers_1536_features():
  assert encoder.Encoder(image_spec(1)).output_size == 1536


def test_channels_double_at_each_convolution():
  embedder = encoder.Encoder(image_spec(1), depth=3)
  shapes = {
      tuple(v.shape) for v in embedder.trainable_variables if v.shape.rank == 4}
  assert shapes == {
      (4, 4, 1, 3), (4, 4, 3, 6), (4, 4, 6, 12), (4, 4, 12, 24)}


def test_the_encoder_equals_four_strided_convolutions():
  embedder = encoder.Encoder(image_spec(2), depth=1)
  randomise(embedder)
  images = observe(image_spec(2))
  x = images['a'].numpy().reshape(6, 64, 64, 2)
  for kernel, bias in zip(
      with_rank(embedder, 4), with_rank(embedder, 1), strict=True):
    x = elu(naive_convolution(x, kernel, bias))
  np.testing.assert_allclose(
      embedder(images), x.reshape(*PREFIX, -1), rtol=1e-3, atol=1e-3)


def test_several_images_join_on_their_channels_in_order():
  several = encoder.Encoder(image_spec(1, 3), depth=2)
  one = encoder.Encoder(image_spec(4), depth=2)
  randomise(several)
  copy_weights(several, one)
  images = observe(image_spec(1, 3))
  joined = {'a': tf.concat([images['a'], images['b']], -1)}
  np.testing.assert_allclose(several(images), one(joined), rtol=1e-5, atol=1e-6)


def test_vectors_and_scalars_join_on_their_features_in_order():
  embedder = encoder.Encoder(VECTORS)
  randomise(embedder)
  numbers = observe(VECTORS)
  joined = np.concatenate([
      numbers['height'].numpy()[..., None], numbers['joints'],
      numbers['speeds']], -1)
  assert embedder.output_size == 7
  np.testing.assert_allclose(
      embedder(numbers), naive_mlp(embedder, joined), rtol=1e-5, atol=1e-5)


def test_images_come_before_vectors_in_the_embedding():
  spec = {**VECTORS, **image_spec(1)}
  both = encoder.Encoder(spec, depth=1)
  observation = observe(spec)
  embed = both(observation)
  assert embed.shape == (*PREFIX, both.output_size) == (2, 3, 32 + 7)
  changed = both({**observation, 'height': observation['height'] + 1.0})
  np.testing.assert_array_equal(embed[..., :32], changed[..., :32])
  assert (embed[..., 32:] != changed[..., 32:]).numpy().any()


@pytest.mark.parametrize('settings, channels, inputs', [
    (dict(image_keys='a'), 1, 7), (dict(image_keys='a|b'), 4, 7),
    (dict(image_keys='$^'), None, 7), (dict(vector_keys='$^'), 4, None),
    (dict(vector_keys='joints'), 4, 4), (dict(vector_keys='(h|s).*'), 4, 3),
])
def test_keys_are_picked_by_a_pattern_for_each_kind(
    settings, channels, inputs):
  embedder = encoder.Encoder(
      {**VECTORS, **image_spec(1, 3)}, depth=1, **settings)
  sizes = lambda rank: [
      v.shape[-2] for v in embedder.trainable_variables if v.shape.rank == rank]
  assert sizes(4)[:1] == ([] if channels is None else [channels])
  assert sizes(2)[:1] == ([] if inputs is None else [inputs])
  parts = 32 * (channels is not None) + 7 * (inputs is not None)
  assert embedder.output_size == parts


def test_a_pattern_is_matched_at_the_start_of_the_key():
  spec = {name: tf.TensorSpec((2,), tf.float32)
          for name in ('arm', 'arms', 'farm', 'leg')}
  assert encoder.select(spec, 'arm', {1}) == ['arm', 'arms']
  assert encoder.select(spec, 'arm$', {1}) == ['arm']
  assert encoder.select(spec, '.*arm', {1}) == ['arm', 'arms', 'farm']


def test_what_is_neither_image_nor_vector_is_not_read():
  spec = {**VECTORS, 'table': tf.TensorSpec((4, 3), tf.float32)}
  assert encoder.select_images(spec, '.*') == []
  assert encoder.select_vectors(spec, '.*') == ['height', 'joints', 'speeds']


def test_the_norm_of_an_encoder_is_after_each_of_its_convolutions():
  plain = encoder.Encoder(image_spec(1), depth=2)
  normed = encoder.Encoder(image_spec(1), depth=2, norm='layer')
  size = lambda module: sum(
      int(tf.size(v)) for v in module.trainable_variables)
  assert size(normed) - size(plain) == 2 * (2 + 4 + 8 + 16)


@pytest.mark.parametrize('shape', [
    (84, 84, 3), (64, 63, 3), (63, 64, 3), (64, 64, 0)])
@pytest.mark.parametrize('make', [
    lambda spec, **kwargs: encoder.Encoder(spec, **kwargs),
    lambda spec, **kwargs: decoder.Decoder(F, spec, **kwargs),
], ids=['encoder', 'decoder'])
def test_an_image_of_another_size_is_refused_with_its_name_and_shape(
    make, shape):
  spec = {'front': tf.TensorSpec(shape, tf.uint8), **VECTORS}
  with pytest.raises(ValueError, match='Resize it in the environment') as error:
    make(spec)
  assert "'front'" in str(error.value) and str(shape) in str(error.value)
  make(spec, image_keys='$^')   # left out, it does no harm


def test_an_encoder_with_nothing_to_read_is_refused_with_the_shapes():
  with pytest.raises(ValueError, match='nothing to read') as error:
    encoder.Encoder({'table': tf.TensorSpec((4, 3), tf.float32)})
  assert "{'table': (4, 3)}" in str(error.value)


def test_a_pattern_that_is_no_regular_expression_is_refused():
  with pytest.raises(ValueError, match='Encoder.vector_keys must be a regular'
                     " expression; got '[*]'"):
    encoder.Encoder(VECTORS, vector_keys='*')


# Decoder.


def test_the_decoder_equals_its_transposed_convolutions():
  model = decoder.Decoder(F, image_spec(2), depth=1)
  randomise(model)
  feature = draw(*PREFIX, F)
  start = model._start
  x = feature.numpy().reshape(6, F) @ start.kernel.numpy() + start.bias.numpy()
  x = x.reshape(6, 1, 1, 32)
  for hidden in model._convolutions:
    x = elu(naive_transposed(
        x, hidden._layer.kernel.numpy(), hidden._layer.bias.numpy()))
  last = model._image
  x = naive_transposed(x, last.kernel.numpy(), last.bias.numpy())
  np.testing.assert_allclose(
      model(feature)['a'].mean(), x.reshape(*PREFIX, 64, 64, 2),
      rtol=1e-3, atol=1e-3)


def test_channels_halve_towards_the_image():
  model = decoder.Decoder(F, image_spec(1, 2), depth=3)
  shapes = {
      tuple(v.shape) for v in model.trainable_variables if v.shape.rank != 1}
  assert shapes == {
      (F, 96), (5, 5, 12, 96), (5, 5, 6, 12), (6, 6, 3, 6), (6, 6, 3, 3)}


def test_several_images_are_split_off_the_channels_in_order():
  several = decoder.Decoder(F, image_spec(1, 3), depth=2)
  one = decoder.Decoder(F, image_spec(4), depth=2)
  randomise(several)
  copy_weights(several, one)
  feature = draw(*PREFIX, F)
  images = several(feature)
  assert images['a'].mean().shape == (*PREFIX, 64, 64, 1)
  assert images['b'].mean().shape == (*PREFIX, 64, 64, 3)
  np.testing.assert_allclose(
      tf.concat([images['a'].mean(), images['b'].mean()], -1),
      one(feature)['a'].mean(), rtol=1e-5, atol=1e-5)


def test_vectors_and_scalars_are_linear_in_one_hidden_mlp():
  model = decoder.Decoder(F, VECTORS)
  randomise(model)
  feature = draw(*PREFIX, F)
  hidden = naive_mlp(model._mlp, feature.numpy())
  for key, prediction in model(feature).items():
    output = model._vectors[key]._dense
    mean = hidden @ output.kernel.numpy() + output.bias.numpy()
    np.testing.assert_allclose(
        prediction.mean(), mean.reshape(PREFIX + tuple(VECTORS[key].shape)),
        rtol=1e-4, atol=1e-4)


def test_a_prediction_is_one_event_with_unit_variance():
  spec = {**VECTORS, **image_spec(1, 2)}
  predictions = decoder.Decoder(F, spec, depth=1)(draw(*PREFIX, F))
  assert set(predictions) == set(spec)
  for key, prediction in predictions.items():
    assert prediction.batch_shape == PREFIX
    assert prediction.event_shape == spec[key].shape
    constant = -0.9189385 * int(np.prod(spec[key].shape))
    np.testing.assert_allclose(
        prediction.log_prob(prediction.mean()), np.full(PREFIX, constant),
        rtol=1e-5)


@pytest.mark.parametrize('settings, keys', [
    (dict(image_keys='b'), {'b', 'height', 'joints', 'speeds'}),
    (dict(image_keys='$^'), {'height', 'joints', 'speeds'}),
    (dict(vector_keys='j'), {'a', 'b', 'joints'}),
    (dict(vector_keys='$^'), {'a', 'b'}),
])
def test_only_keys_that_match_are_predicted(settings, keys):
  model = decoder.Decoder(
      F, {**VECTORS, **image_spec(1, 2)}, depth=1, **settings)
  assert set(model(draw(*PREFIX, F))) == keys


def test_the_norm_of_a_decoder_is_between_its_convolutions_alone():
  plain = decoder.Decoder(F, image_spec(1), depth=2)
  normed = decoder.Decoder(F, image_spec(1), depth=2, norm='layer')
  size = lambda module: sum(
      int(tf.size(v)) for v in module.trainable_variables)
  assert size(normed) - size(plain) == 2 * (8 + 4 + 2)


def test_kernels_that_make_no_64_pixels_are_refused():
  with pytest.raises(ValueError, match=r'images of \(62, 62\).*wanted 64'):
    decoder.Decoder(F, image_spec(1), depth=1, kernels=(5, 5, 6, 4))


def test_a_decoder_with_nothing_to_predict_is_refused_with_its_patterns():
  with pytest.raises(ValueError, match='nothing to predict') as error:
    decoder.Decoder(F, VECTORS, vector_keys='legs')
  assert "'legs'" in str(error.value) and "'joints'" in str(error.value)


# Heads.


def biases_alone(head, *biases):
  """Makes a head's last layers give the biases, whatever the feature."""
  last = [v for v in head.trainable_variables if v.shape == biases[0].shape]
  for variable in head.trainable_variables:
    variable.assign(tf.zeros_like(variable))
  for variable, bias in zip(last, biases, strict=True):
    variable.assign(bias)


RAW = np.float32([-1.5, 0.3, 4.0])
RAW_SCALE = np.float32([0.5, -2.0, 1.0])


def action_head(kind):
  head = heads.ActionHead(F, 3, kind=kind, min_std=0.1)
  scales = () if kind == 'onehot' else (RAW_SCALE,)
  biases_alone(head, RAW, *scales)
  return head(draw(*PREFIX, F))


def test_the_one_hot_actor_has_the_raw_numbers_as_logits():
  actor = action_head('onehot')
  assert (actor.batch_shape, actor.event_shape) == (PREFIX, (3,))
  np.testing.assert_allclose(actor.logits[1, 2], RAW)


def softplus(x):
  return np.log1p(np.exp(x))


def scales_by_hand(kind):
  if kind == 'trunc_normal':
    return 2 * sigmoid(RAW_SCALE / 2) + 0.1
  return softplus(RAW_SCALE) + 0.1


@pytest.mark.parametrize('kind, locs', [
    ('trunc_normal', np.tanh(RAW)), ('normal', RAW),
    ('tanh_normal', 5 * np.tanh(RAW / 5))])
def test_a_continuous_actor_has_the_loc_and_scale_of_its_kind(kind, locs):
  actor = action_head(kind)
  assert (actor.batch_shape, actor.event_shape) == (PREFIX, (3,))
  inner = actor.distribution
  if kind == 'tanh_normal':
    inner = inner.distribution
  np.testing.assert_allclose(inner.loc[1, 2], locs, rtol=1e-5)
  np.testing.assert_allclose(
      inner.scale[1, 2], scales_by_hand(kind), rtol=1e-5)


@pytest.mark.parametrize('kind', ['trunc_normal', 'tanh_normal'])
def test_a_bounded_actor_stays_inside_its_box(kind):
  sample = action_head(kind).sample(100, seed=(1, 2))
  assert sample.shape == (100, *PREFIX, 3)
  assert float(tf.reduce_max(tf.abs(sample))) <= 1.0


@pytest.mark.parametrize('wrong', [
    dict(kind='softmax', min_std=0.1), dict(kind='normal', min_std=0.0),
    dict(kind='normal', min_std=-1.0)])
def test_an_actor_that_cannot_be_made_is_refused(wrong):
  with pytest.raises(ValueError, match='softmax|min_std'):
    heads.ActionHead(F, 3, **wrong)


def test_a_regression_head_is_a_unit_normal_of_a_scalar():
  head = heads.RegressionHead(F)
  randomise(head)
  feature = draw(*PREFIX, F)
  hidden = naive_mlp(head._mlp, feature.numpy())
  dense = head._output._dense
  mean = (hidden @ dense.kernel.numpy() + dense.bias.numpy())[..., 0]
  prediction = head(feature)
  np.testing.assert_allclose(prediction.mode(), mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      prediction.log_prob(prediction.mode() + 2.0),
      np.full(PREFIX, -2.9189385), rtol=1e-4)


def test_a_bernoulli_head_has_a_mean_and_takes_soft_labels():
  head = heads.BernoulliHead(F)
  biases_alone(head, np.float32([np.log(3)]))
  prediction = head(draw(*PREFIX, F))
  np.testing.assert_allclose(
      prediction.mean(), np.full(PREFIX, 0.75), rtol=1e-5)
  by_hand = 0.9 * np.log(0.75) + 0.1 * np.log(0.25)
  np.testing.assert_allclose(
      prediction.log_prob(tf.fill(PREFIX, 0.9)), np.full(PREFIX, by_hand),
      rtol=1e-5)


def part_of(model, key):
  return lambda feature: model(feature)[key]


@pytest.mark.parametrize('policy', ['mixed_bfloat16', 'mixed_float16'])
@pytest.mark.parametrize('make', [
    lambda: heads.RegressionHead(F), lambda: heads.BernoulliHead(F),
    *(lambda kind=kind: heads.ActionHead(F, 3, kind=kind, min_std=0.1)
      for kind in ('onehot', 'trunc_normal', 'normal', 'tanh_normal')),
    lambda: part_of(decoder.Decoder(F, VECTORS), 'joints'),
    lambda: part_of(decoder.Decoder(F, image_spec(1), depth=1), 'a'),
], ids=['regression', 'bernoulli', 'onehot', 'trunc_normal', 'normal',
        'tanh_normal', 'vector', 'image'])
def test_half_precision_ends_at_the_heads(make, policy):
  tf.keras.mixed_precision.set_global_policy(policy)
  half = tf.keras.mixed_precision.global_policy().compute_dtype
  prediction = make()(tf.cast(draw(2, F), half))
  sample = prediction.sample(seed=(1, 2))
  for value in (prediction.mode(), sample, prediction.log_prob(sample)):
    assert value.dtype == tf.float32


def test_hidden_layers_compute_in_half_and_keep_their_weights_in_full():
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  mlp = layers.MLP(F, norm='layer')
  embedder = encoder.Encoder(image_spec(1), depth=1)
  assert mlp(draw(2, F)).dtype == tf.bfloat16
  assert embedder(observe(image_spec(1))).dtype == tf.bfloat16
  for variable in mlp.trainable_variables + embedder.trainable_variables:
    assert variable.dtype == tf.float32


# The size of it all.


def test_the_atari_agent_has_the_published_number_of_parameters():
  gin.clear_config()
  gin.parse_config(['RSSM.deter = 600', 'RSSM.hidden = 600'])
  image = tensor_spec.BoundedTensorSpec((64, 64, 1), tf.uint8, 0, 255)
  action = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 17)
  dreamer = agent.DreamerV2Agent(ts.time_step_spec({'image': image}), action)
  size = lambda module: sum(
      int(tf.size(v)) for v in module.trainable_variables)
  assert size(dreamer.world_model) == 19_975_379
  assert size(dreamer.actor_critic.actor) == 1_138_418
  assert size(dreamer.actor_critic.critic) == 1_131_601
