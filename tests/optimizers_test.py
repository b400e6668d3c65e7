"""Tests of the optimizer: a numpy twin, steps that are skipped, loss scale."""

import tempfile

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import optimizers

KERNEL = np.float32([[0.5, -1.0, 2.0], [0.1, 0.3, -0.7]])
BIAS = np.float32([0.2, -0.4, 0.9])


class NaiveAdam:
  """Clip, decay, Adam in the epsilon-hat form; float64 arrays."""

  def __init__(self, values, *, rate, epsilon, clip, decay):
    self.values = [value.astype(np.float64) for value in values]
    self.first = [np.zeros(value.shape) for value in values]
    self.second = [np.zeros(value.shape) for value in values]
    self.settings = (rate, epsilon, clip, decay)
    self.steps = 0

  def step(self, gradients):
    rate, epsilon, clip, decay = self.settings
    self.steps += 1
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    for i, gradient in enumerate(gradients):
      if norm > clip:
        gradient = gradient * clip / norm
      self.values[i] *= 1 - decay
      self.first[i] = 0.9 * self.first[i] + 0.1 * gradient
      self.second[i] = 0.999 * self.second[i] + 0.001 * gradient**2
      corrected = rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
      self.values[i] -= (
          corrected * self.first[i] / (np.sqrt(self.second[i]) + epsilon))
    return norm


def make_variables():
  return [tf.Variable(KERNEL), tf.Variable(BIAS)]


def make(variables, **kwargs):
  kwargs = {'learning_rate': 0.01, 'name': 'model', **kwargs}
  return optimizers.Optimizer(variables, **kwargs)


def minimize(optimizer, function):
  with tf.GradientTape() as tape:
    loss = function()
  return optimizer.minimize(tape, loss)


def linear(variables, gradients):
  """A loss whose gradients are the given arrays."""
  return lambda: tf.add_n([
      tf.reduce_sum(v * g)
      for v, g in zip(variables, gradients, strict=True)])


def quadratic(variables, targets):
  """A loss whose gradients are the distances to the targets."""
  return lambda: tf.add_n([
      0.5 * tf.reduce_sum((v - target.astype(np.float32)) ** 2)
      for v, target in zip(variables, targets, strict=True)])


def snapshot(optimizer):
  """All numbers in a checkpoint of the optimizer: weights, slots, counts."""
  with tempfile.TemporaryDirectory() as directory:
    path = tf.train.Checkpoint(optimizer=optimizer).write(f'{directory}/all')
    reader = tf.train.load_checkpoint(path)
    names = sorted(reader.get_variable_to_shape_map())
    names = [name for name in names if '_CHECKPOINTABLE' not in name]
    values = [reader.get_tensor(name) for name in names]
  for weight in (KERNEL, BIAS):   # the weight and its two slots
    assert sum(np.shape(value) == weight.shape for value in values) == 3
  return values


def assert_unchanged(before, after):
  for one, two in zip(before, after, strict=True):
    np.testing.assert_array_equal(one, two)


# A plain step.


@pytest.mark.parametrize('clip', [0.5, 100.0])
def test_steps_equal_clip_then_decay_then_adam(clip):
  variables = make_variables()
  settings = dict(epsilon=1e-2)   # so large that its place in Adam shows
  optimizer = make(
      variables, clip_norm=clip, weight_decay=0.1, **settings)
  twin = NaiveAdam(
      [KERNEL, BIAS], rate=0.01, clip=clip, decay=0.1, **settings)
  random = np.random.default_rng(0)
  for _ in range(5):
    targets = [random.normal(size=v.shape) for v in variables]
    gradients = [
        v - target for v, target in zip(twin.values, targets, strict=True)]
    minimize(optimizer, quadratic(variables, targets))
    twin.step(gradients)   # taken before the decay, as in the code
    for variable, value in zip(variables, twin.values, strict=True):
      np.testing.assert_allclose(variable, value, rtol=1e-4, atol=1e-6)
  assert int(optimizer.iterations) == 5


def test_the_defaults_are_those_of_the_published_package():
  variables = make_variables()
  optimizer = optimizers.Optimizer(variables, learning_rate=0.01)
  twin = NaiveAdam(
      [KERNEL, BIAS], rate=0.01, epsilon=1e-5, clip=100.0, decay=1e-6)
  for scale in (1e3, 1e-4, 1e-5):   # clipped; felt by epsilon
    gradients = [scale * KERNEL, scale * BIAS]
    minimize(optimizer, linear(variables, gradients))
    twin.step(gradients)
  for variable, value in zip(variables, twin.values, strict=True):
    np.testing.assert_allclose(variable, value, rtol=1e-6, atol=1e-7)


def test_the_first_step_has_the_size_of_the_learning_rate():
  variables = make_variables()
  optimizer = make(variables, weight_decay=0.0)
  minimize(optimizer, linear(variables, [np.full((2, 3), 4.0), np.full(3, -9)]))
  np.testing.assert_allclose(variables[0], KERNEL - 0.01, rtol=1e-4)
  np.testing.assert_allclose(variables[1], BIAS + 0.01, rtol=1e-4)


def test_decay_is_a_fraction_of_every_weight_whatever_the_learning_rate():
  variables = make_variables()
  optimizer = make(variables, learning_rate=1e-30, weight_decay=0.25)
  minimize(optimizer, linear(variables, [KERNEL, BIAS]))
  np.testing.assert_allclose(variables[0], 0.75 * KERNEL, rtol=1e-6)
  np.testing.assert_allclose(variables[1], 0.75 * BIAS, rtol=1e-6)


def test_a_variable_that_the_loss_does_not_read_only_decays():
  variables = make_variables()
  optimizer = make(variables, weight_decay=0.25)
  metrics = minimize(optimizer, lambda: tf.reduce_sum(variables[0] * 2.0))
  np.testing.assert_allclose(variables[1], 0.75 * BIAS, rtol=1e-6)
  np.testing.assert_allclose(metrics['model_grad_norm'], 2 * 6**0.5, rtol=1e-6)


def test_the_norm_is_reported_before_clipping_over_all_variables():
  variables = make_variables()
  metrics = minimize(
      make(variables, clip_norm=0.1),
      linear(variables, [np.full((2, 3), 2.0), np.full(3, 4.0)]))
  assert set(metrics) == {'model_grad_norm'}
  np.testing.assert_allclose(metrics['model_grad_norm'], 72**0.5, rtol=1e-6)


def test_without_apply_the_metrics_are_the_same_and_nothing_changes():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True)
  with tf.GradientTape(persistent=True) as tape:
    loss = linear(variables, [KERNEL, BIAS])()
  before = snapshot(optimizer)
  measured = optimizer.minimize(tape, loss, False)
  assert_unchanged(before, snapshot(optimizer))
  minimized = optimizer.minimize(tape, loss)
  assert measured.keys() == minimized.keys()
  for key, value in measured.items():
    np.testing.assert_allclose(value, minimized[key], rtol=1e-6)


@pytest.mark.parametrize('jit', [False, True])
def test_a_compiled_step_equals_the_eager_one(jit):
  values = []
  for compiled in (False, True):
    variables = make_variables()
    optimizer = make(variables, loss_scaling=True, weight_decay=0.1)
    loss = linear(variables, [KERNEL, BIAS])
    step = lambda o=optimizer, f=loss: minimize(o, f)
    if compiled:
      step = tf.function(step, jit_compile=jit)
    for _ in range(3):
      step()
    values.append([v.numpy() for v in variables])
  for eager, graph in zip(*values, strict=True):
    np.testing.assert_allclose(eager, graph, rtol=1e-6)


# Steps that are skipped.


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('loss_scaling', [False, True])
def test_a_loss_that_is_not_finite_changes_no_weight_and_no_slot(
    bad, loss_scaling):
  variables = make_variables()
  optimizer = make(variables, weight_decay=0.1, loss_scaling=loss_scaling)
  minimize(optimizer, linear(variables, [KERNEL, BIAS]))
  before = snapshot(optimizer)
  good = linear(variables, [KERNEL, BIAS])
  minimize(optimizer, lambda: good() + bad)
  if loss_scaling:  # which halves the scale and begins to count anew
    optimizer._loss_scale.assign(2.0**15)
    optimizer._good_steps.assign(1)
  assert_unchanged(before, snapshot(optimizer))


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_no_weight_and_no_slot(bad):
  variables = make_variables()
  optimizer = make(variables, weight_decay=0.1)
  minimize(optimizer, linear(variables, [KERNEL, BIAS]))
  before = snapshot(optimizer)

  @tf.custom_gradient
  def poison(x):
    return x, lambda upstream: upstream * bad

  metrics = minimize(optimizer, lambda: (
      tf.reduce_sum(variables[0]) + tf.reduce_sum(poison(variables[1]))))
  assert_unchanged(before, snapshot(optimizer))
  assert not np.isfinite(metrics['model_grad_norm'])


def test_a_skipped_step_is_not_counted_and_training_goes_on():
  variables = make_variables()
  optimizer = make(variables)
  good = linear(variables, [KERNEL, BIAS])
  minimize(optimizer, lambda: good() + np.nan)
  assert int(optimizer.iterations) == 0
  minimize(optimizer, good)
  assert int(optimizer.iterations) == 1
  np.testing.assert_allclose(
      variables[1], BIAS - 0.01 * np.sign(BIAS), rtol=1e-4)


# Loss scaling.


def float16_loss(variables, factor):
  """A sum whose gradient passes through float16: `factor` for each number."""
  return lambda: tf.add_n([
      tf.reduce_sum(tf.cast(tf.cast(v, tf.float16) * factor, tf.float32))
      for v in variables])


def scale_of(optimizer, function):
  return float(minimize(optimizer, function)['model_loss_scale'])


def test_the_loss_scale_starts_at_two_to_the_fifteenth():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True)
  assert scale_of(optimizer, linear(variables, [KERNEL, BIAS])) == 2.0**15


def test_the_loss_scale_halves_until_the_gradient_fits_and_then_steps():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True, weight_decay=0.1)
  # 4 * 2**15 and 4 * 2**14 are more than float16 holds, 4 * 2**13 is not.
  scales = []
  for _ in range(2):
    scales.append(scale_of(optimizer, float16_loss(variables, 4.0)))
    np.testing.assert_array_equal(variables[0], KERNEL)
    np.testing.assert_array_equal(variables[1], BIAS)
  assert int(optimizer.iterations) == 0
  scales.append(scale_of(optimizer, float16_loss(variables, 4.0)))
  assert scales == [2.0**15, 2.0**14, 2.0**13]
  assert int(optimizer.iterations) == 1
  np.testing.assert_allclose(variables[1], 0.9 * BIAS - 0.01, rtol=1e-4)


def test_a_skipped_step_under_loss_scaling_changes_the_loss_scale_alone():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True, weight_decay=0.1)
  minimize(optimizer, linear(variables, [KERNEL, BIAS]))
  before = snapshot(optimizer)
  minimize(optimizer, float16_loss(variables, 4.0))
  pairs = zip(before, snapshot(optimizer), strict=True)
  changed = [(one, two) for one, two in pairs if np.any(one != two)]
  assert sorted(changed) == [(1, 0), (2.0**15, 2.0**14)]   # good steps, scale


def test_under_float16_adam_steps_as_if_a_skipped_step_had_not_been():
  """Keras' wrapper counts it, which shrinks the correction of the moments."""
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True, clip_norm=100.0)
  settings = dict(rate=0.01, epsilon=1e-5, clip=100.0, decay=1e-6)
  twin = NaiveAdam([KERNEL, BIAS], **settings)
  skipped = 0
  for i in range(5):
    gradients = [KERNEL * (i + 1), BIAS - i]
    for _ in range(2):  # 2**15 and 2**14 do not fit into float16
      if i == 1:
        count = int(optimizer.iterations)
        minimize(optimizer, float16_loss(variables, 4.0))
        assert int(optimizer.iterations) == count
        skipped += 1
    minimize(optimizer, linear(variables, gradients))
    twin.step([g.astype(np.float64) for g in gradients])
    assert int(optimizer.iterations) == twin.steps == i + 1
  assert skipped == 2
  moments = [optimizer._adam.get_slot(v, slot)
             for slot in 'mv' for v in variables]
  for found, wanted in zip(
      [*variables, *moments], [*twin.values, *twin.first, *twin.second],
      strict=True):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_the_loss_scale_doubles_after_2000_good_steps_and_not_before():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True)
  good = linear(variables, [KERNEL, BIAS])
  optimizer._good_steps.assign(1998)
  # The metric is the scale that the step ran with.
  scales = [scale_of(optimizer, good) for _ in range(4)]
  assert scales == [2.0**15, 2.0**15, 2.0**16, 2.0**16]
  assert int(optimizer._good_steps) == 2


def test_an_overflow_begins_the_2000_good_steps_anew():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True)
  optimizer._good_steps.assign(1999)
  minimize(optimizer, float16_loss(variables, 4.0))
  assert int(optimizer._good_steps) == 0


def test_the_loss_scale_does_not_fall_below_1():
  variables = make_variables()
  optimizer = make(variables, loss_scaling=True)
  good = linear(variables, [KERNEL, BIAS])
  for _ in range(20):
    minimize(optimizer, lambda: good() + np.nan)
  assert scale_of(optimizer, good) == 1.0


def test_unscaled_gradients_equal_the_plain_ones():
  results = []
  for loss_scaling in (False, True):
    variables = make_variables()
    optimizer = make(
        variables, loss_scaling=loss_scaling, clip_norm=1.0, epsilon=0.1)
    norms = [
        minimize(optimizer, linear(variables, [s * KERNEL, s * BIAS]))[
            'model_grad_norm'].numpy()
        for s in (0.01, 1.0, 10.0)]
    results.append([norms, *(v.numpy() for v in variables)])
  for plain, scaled in zip(*results, strict=True):
    np.testing.assert_allclose(plain, scaled, rtol=1e-6)


def test_a_checkpoint_holds_the_loss_scale_and_the_good_steps(tmp_path):
  optimizer = make(make_variables(), loss_scaling=True)
  variables = optimizer._variables
  minimize(optimizer, float16_loss(variables, 4.0))
  minimize(optimizer, linear(variables, [KERNEL, BIAS]))
  path = tf.train.Checkpoint(optimizer=optimizer).write(str(tmp_path / 'a'))
  other = make(make_variables(), loss_scaling=True)
  tf.train.Checkpoint(optimizer=other).read(path).assert_consumed()
  assert float(other._loss_scale) == 2.0**14
  assert int(other._good_steps) == 1
  assert_unchanged(snapshot(optimizer), snapshot(other))


# Mistakes.


@pytest.mark.parametrize('name, value', [
    ('learning_rate', 0.0), ('learning_rate', -1.0), ('epsilon', 0.0),
    ('clip_norm', 0.0), ('learning_rate', float('nan')),
    ('weight_decay', -0.1), ('weight_decay', 1.5),
])
def test_a_number_out_of_its_range_is_refused_by_name(name, value):
  with pytest.raises(ValueError, match=name.replace('_', '.')):
    make(make_variables(), **{name: value})


def test_a_group_without_variables_is_refused():
  with pytest.raises(ValueError, match='model optimizer got no variables'):
    make([])


def test_a_decay_that_leaves_nothing_is_refused():
  with pytest.raises(ValueError, match='weight_decay must be below 1'):
    make(make_variables(), weight_decay=1.0)
