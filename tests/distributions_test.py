"""Tests of distributions: by hand, by numeric integration, by gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import distributions
from dreamerv2_tfa import noise
from dreamerv2_tfa import types

HALF_LOG_TWO_PI = 0.9189385332046727

# Loc and scale of truncated normals in the actor's range, side by side.
LOCS = np.float32([-0.9, 0.0, 0.3, 1.0])
SCALES = np.float32([0.4, 2.0, 0.15, 0.7])


def softmax(logits):
  exp = np.exp(logits - logits.max(-1, keepdims=True))
  return exp / exp.sum(-1, keepdims=True)


def random_logits(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def truncated_normal(locs=LOCS, scales=SCALES):
  return distributions.TruncatedNormal(
      tf.constant(locs), tf.constant(scales), -1.0, 1.0)


def integrate(values, points):
  """Trapezoids along the first axis."""
  widths = np.diff(points)[:, None]
  return ((values[1:] + values[:-1]) / 2 * widths).sum(0)


def truncated_density(points):
  """Density of each truncated normal at each point, `[points, 4]`."""
  x = points[:, None]
  bell = np.exp(-0.5 * ((x - LOCS) / SCALES.astype(np.float64)) ** 2)
  return bell / integrate(bell, points)


# One-hot.


def test_a_one_hot_sample_is_exactly_one_hot():
  logits = 5 * random_logits(200, 7)
  sample = distributions.one_hot(logits).sample(seed=(1, 2)).numpy()
  np.testing.assert_array_equal(np.sort(sample, -1)[:, :-1], 0.0)
  np.testing.assert_array_equal(sample.max(-1), 1.0)


def test_a_one_hot_sample_keeps_prefix_and_sample_axes_apart():
  logits = np.full((2, 3, 5), -50.0, np.float32)
  classes = np.array([[4, 0, 2], [1, 3, 2]])
  np.put_along_axis(logits, classes[..., None], 50.0, -1)
  sample = distributions.one_hot(logits).sample(7, seed=(1, 2))
  assert sample.shape == (7, 2, 3, 5)
  np.testing.assert_array_equal(
      tf.argmax(sample, -1), np.broadcast_to(classes, (7, 2, 3)))


def test_one_hot_frequencies_match_the_softmax():
  count, logits = 20000, random_logits(2, 5)
  samples = distributions.one_hot(logits).sample(count, seed=(1, 2))
  probs = softmax(logits)
  sigma = np.sqrt(probs * (1 - probs) / count)
  frequencies = tf.reduce_mean(samples, 0).numpy()
  assert (np.abs(frequencies - probs) < 4 * sigma).all()


def test_rows_with_equal_logits_draw_independently():
  logits = np.zeros((2, 4), np.float32)
  samples = distributions.one_hot(logits).sample(8000, seed=(1, 2))
  same = tf.reduce_sum(samples[:, 0] * samples[:, 1], -1)
  assert abs(float(tf.reduce_mean(same)) - 0.25) < 4 * math.sqrt(0.19 / 8000)


def test_the_gradient_of_a_one_hot_sample_is_that_of_its_softmax():
  logits = tf.constant(random_logits(3, 5))
  weights = tf.constant(random_logits(3, 5, seed=1))
  with tf.GradientTape() as tape:
    tape.watch(logits)
    sample = distributions.one_hot(logits).sample(seed=(1, 2))
    loss = tf.reduce_sum(sample * weights)
  probs, w = softmax(logits.numpy()), weights.numpy()
  by_hand = probs * (w - (probs * w).sum(-1, keepdims=True))
  np.testing.assert_allclose(
      tape.gradient(loss, logits), by_hand, rtol=1e-5, atol=1e-6)


def test_the_gradient_in_a_loop_makes_tensorflow_warn_of_nothing(capfd):
  @tf.function
  def slope(logits):
    with tf.GradientTape() as tape:
      tape.watch(logits)
      x = logits
      for _ in tf.range(3):
        x = distributions.straight_through(x, tf.zeros_like(x)) * x + x
    return tape.gradient(x, logits)

  assert slope(tf.random.stateless_normal([4, 3], [1, 2])).shape == (4, 3)
  assert 'PredictCost' not in capfd.readouterr().err


def test_a_one_hot_seed_draws_the_same_on_every_backend():
  logits = tf.constant(random_logits(300, 5))
  draw = lambda s: distributions.one_hot(logits).sample(seed=s)
  seed = tf.constant([-3, 4])
  eager = draw(seed)
  np.testing.assert_array_equal(eager, tf.function(draw)(seed))
  np.testing.assert_array_equal(
      eager, tf.function(draw, jit_compile=True)(seed))
  assert (eager != draw(tf.constant([-3, 5]))).numpy().any()


def test_one_hot_log_prob_entropy_and_mode_by_hand():
  distribution = distributions.one_hot(tf.math.log([[0.5, 0.25, 0.25]]))
  np.testing.assert_allclose(
      distribution.log_prob([[0.0, 0.0, 1.0]]), [math.log(0.25)], rtol=1e-6)
  np.testing.assert_allclose(
      distribution.entropy(), [1.5 * math.log(2)], rtol=1e-6)
  np.testing.assert_array_equal(distribution.mode(), [[1.0, 0.0, 0.0]])
  assert distribution.mode().dtype == tf.float32


# Truncated normal.


def test_truncated_normal_samples_stay_a_millionth_inside_the_bounds():
  samples = truncated_normal().sample(5000, seed=(1, 2)).numpy()
  assert samples.shape == (5000, 4)
  assert np.abs(samples).max() <= np.float32(1 - 1e-6)


def test_truncated_normal_samples_have_the_moments_of_their_density():
  count = 20000
  samples = truncated_normal().sample(count, seed=(1, 2)).numpy()
  points = np.linspace(-1, 1, 20001)
  density = truncated_density(points)
  for power in (1, 2, 3):
    moment = integrate(density * points[:, None] ** power, points)
    square = integrate(density * points[:, None] ** (2 * power), points)
    sigma = np.sqrt((square - moment**2) / count)
    error = (samples.astype(np.float64) ** power).mean(0) - moment
    assert (np.abs(error) < 4 * sigma).all(), power


def test_truncated_normal_samples_have_the_quantiles_of_their_density():
  count = 20000
  samples = np.sort(truncated_normal().sample(count, seed=(1, 2)).numpy(), 0)
  points = np.linspace(-1, 1, 20001)
  cumulative = np.cumsum(truncated_density(points), 0) * (points[1] - points[0])
  for i in range(4):
    exact = np.interp(samples[:, i], points, cumulative[:, i])
    distance = np.abs(exact - (np.arange(count) + 0.5) / count).max()
    assert distance < 1.95 / np.sqrt(count)   # Kolmogorov, one in 1000


def test_the_gradient_of_a_truncated_normal_sample_is_1_and_x_less_loc_by_scale(
):
  locs, scales = tf.constant(LOCS), tf.constant(SCALES)
  with tf.GradientTape() as tape:
    tape.watch((locs, scales))
    sample = distributions.TruncatedNormal(
        locs, scales, -1.0, 1.0).sample(seed=(1, 2))
  to_locs, to_scales = tape.gradient(sample, (locs, scales))
  np.testing.assert_array_equal(to_locs, np.ones(4))
  np.testing.assert_allclose(
      to_scales, (sample.numpy() - LOCS) / SCALES, rtol=1e-4, atol=1e-5)


def test_a_truncated_normal_sample_clipped_at_a_bound_keeps_its_gradient(
    monkeypatch):
  monkeypatch.setattr(
      noise, 'uniform', lambda shape, seed: tf.fill(shape, 1 - 2.0**-24))
  loc = tf.constant([0.9])
  with tf.GradientTape() as tape:
    tape.watch(loc)
    sample = distributions.TruncatedNormal(
        loc, tf.constant([0.5]), -1.0, 1.0).sample(seed=(1, 2))
  np.testing.assert_allclose(sample, [1 - 1e-6], rtol=1e-7)
  np.testing.assert_array_equal(tape.gradient(sample, loc), [1.0])


def extreme_sample(monkeypatch, loc, scale, uniform):
  """Returns the sample that a number of the noise makes, as numpy."""
  monkeypatch.setattr(
      noise, 'uniform', lambda shape, seed: tf.fill(shape, uniform))
  return truncated_normal([loc], [scale]).sample(seed=(1, 2)).numpy()


@pytest.mark.parametrize('loc', [-1.0, -0.9, 0.0, 1.0])
@pytest.mark.parametrize('scale', [0.1, 0.3, 2.1])
def test_a_truncated_normal_is_inside_for_the_least_noise(
    monkeypatch, loc, scale):
  sample = extreme_sample(monkeypatch, loc, scale, 2.0**-24)
  assert np.abs(sample) <= np.float32(1 - 1e-6)


@pytest.mark.parametrize('loc', [0.0, 0.9, 1.0])
@pytest.mark.parametrize('scale', [0.1, 0.3, 2.1])
def test_a_truncated_normal_is_inside_for_the_greatest_noise(
    monkeypatch, loc, scale):
  sample = extreme_sample(monkeypatch, loc, scale, 1 - 2.0**-24)
  assert np.abs(sample) <= np.float32(1 - 1e-6)


@pytest.mark.parametrize('loc', [-1.0, -0.9])
@pytest.mark.parametrize('scale', [0.1, 0.3])
def test_a_truncated_normal_at_its_lower_bound_is_inside_for_the_greatest_noise(
    monkeypatch, loc, scale):
  sample = extreme_sample(monkeypatch, loc, scale, 1 - 2.0**-24)
  assert np.abs(sample) <= np.float32(1 - 1e-6)


def test_truncated_normal_log_prob_is_that_of_its_density():
  points = np.linspace(-1, 1, 20001)
  inside = points[2000:-2000:4000]
  expected = np.log(truncated_density(points)[2000:-2000:4000])
  log_prob = truncated_normal().log_prob(
      inside[:, None].astype(np.float32)).numpy()
  np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)


def test_truncated_normal_entropy_is_that_of_its_density():
  points = np.linspace(-1, 1, 20001)
  density = truncated_density(points)
  logs = np.log(np.maximum(density, 1e-300))
  np.testing.assert_allclose(
      truncated_normal().entropy(), integrate(-density * logs, points),
      rtol=1e-4, atol=1e-4)


def test_the_truncated_normal_mode_is_its_loc():
  np.testing.assert_allclose(truncated_normal().mode(), LOCS, rtol=1e-6)


def test_a_truncated_normal_seed_draws_the_same_on_every_backend():
  draw = lambda s: truncated_normal().sample(20, seed=s)
  seed = tf.constant([3, 4])
  eager = draw(seed)
  np.testing.assert_array_equal(eager, tf.function(draw)(seed))
  np.testing.assert_allclose(
      eager, tf.function(draw, jit_compile=True)(seed), rtol=1e-5, atol=1e-5)


# Normal.


def test_normal_samples_have_their_own_loc_and_scale():
  loc, scale = np.float32([[1.0, -5.0, 0.5]]), np.float32([[0.1], [3.0]])
  count = 20000
  samples = distributions.Normal(loc, scale).sample(count, seed=(1, 2)).numpy()
  assert samples.shape == (count, 2, 3)
  means, stds = np.broadcast_arrays(loc, scale)
  error = np.abs(samples.mean(0) - means)
  assert (error < 4 * stds / np.sqrt(count)).all()
  np.testing.assert_allclose(samples.std(0), stds, rtol=4 / np.sqrt(2 * count))


def test_the_gradient_of_a_normal_sample_is_1_and_its_noise():
  loc, scale = tf.constant([0.5, -2.0]), tf.constant([3.0, 0.2])
  with tf.GradientTape() as tape:
    tape.watch((loc, scale))
    sample = distributions.Normal(loc, scale).sample(seed=(1, 2))
  to_loc, to_scale = tape.gradient(sample, (loc, scale))
  np.testing.assert_array_equal(to_loc, [1.0, 1.0])
  np.testing.assert_allclose(to_scale, (sample - loc) / scale, rtol=1e-5)


def test_a_unit_normal_has_its_constant_for_each_element_of_the_event():
  mean = tf.constant(random_logits(2, 3, 4, 5))
  np.testing.assert_allclose(
      distributions.unit_normal(mean, 2).log_prob(mean),
      np.full((2, 3), -20 * HALF_LOG_TWO_PI), rtol=1e-6)


def test_a_unit_normal_loses_half_the_squared_distance():
  scalar = distributions.unit_normal(tf.constant([1.0, 2.0]), 0)
  np.testing.assert_allclose(
      scalar.log_prob([4.0, 2.5]),
      [-4.5 - HALF_LOG_TWO_PI, -0.125 - HALF_LOG_TWO_PI], rtol=1e-6)
  np.testing.assert_array_equal(scalar.mode(), [1.0, 2.0])


# Tanh of a normal.


def tanh_log_density(y, loc, scale):
  """Change of variables: log N(atanh y) - log (1 - y^2), in float64."""
  x = np.arctanh(y)
  normal = -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - HALF_LOG_TWO_PI
  return normal - np.log1p(-(y**2))


TANH_LOCS = np.linspace(-2.0, 2.0, 9).astype(np.float32)[:, None]
TANH_SCALES = np.float32([[0.2, 0.5]])


def tanh_normal():
  locs, scales = np.broadcast_arrays(TANH_LOCS, TANH_SCALES)
  return distributions.tanh_normal(tf.constant(locs), tf.constant(scales))


def test_tanh_normal_log_prob_is_the_change_of_variables():
  y = np.float64([-0.9, -0.2, 0.0, 0.55, 0.97])
  log_prob = distributions.tanh_normal(
      tf.constant(0.3), tf.constant(0.8)).log_prob(y.astype(np.float32))
  np.testing.assert_allclose(
      log_prob, tanh_log_density(y, 0.3, 0.8), rtol=1e-4, atol=1e-5)


def clipped_log_density(y, loc, scale):
  """The published package's, of any y in [-1, 1], in float64.

  log N(x) - 2 (log 2 - x - softplus(-2 x)), x = atanh(y clipped)
  """
  x = np.arctanh(np.clip(y, -float(np.float32(0.99999997)),
                         float(np.float32(0.99999997))))
  normal = -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - HALF_LOG_TWO_PI
  return normal - 2.0 * (np.log(2.0) - x - np.logaddexp(0.0, -2.0 * x))


EDGES = np.float32([-1.0, 1.0, np.nextafter(np.float32(1), np.float32(0)), 0.3])


def test_tanh_normal_log_prob_is_finite_where_an_action_is_1():
  loc, scale = np.float64([0.5, -2.0, 3.0, 0.1]), np.float64([1.0, 0.3, 2.0, 1])
  log_prob = distributions.tanh_normal(
      tf.constant(loc, tf.float32), tf.constant(scale, tf.float32)
  ).log_prob(EDGES)
  np.testing.assert_allclose(
      log_prob, clipped_log_density(EDGES.astype(np.float64), loc, scale),
      rtol=1e-4)


def test_tanh_normal_gradients_are_finite_where_an_action_is_1():
  loc, scale = np.float64([0.5, -2.0, 3.0, 0.1]), np.float64([1.0, 0.3, 2.0, 1])
  y = tf.constant(EDGES)
  inputs = [tf.constant(x, tf.float32) for x in (loc, scale)] + [y]
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    log_prob = distributions.tanh_normal(*inputs[:2]).log_prob(y)
  to_loc, to_scale, to_action = tape.gradient(log_prob, inputs)
  x = np.arctanh(np.clip(EDGES.astype(np.float64), -1 + 2.0**-24,
                         1 - 2.0**-24))
  np.testing.assert_allclose(to_loc, (x - loc) / scale**2, rtol=1e-4)
  np.testing.assert_allclose(
      to_scale, (x - loc) ** 2 / scale**3 - 1 / scale, rtol=1e-4)
  # Where it is clipped, the action moves nothing.
  assert np.isfinite(to_action).all()
  np.testing.assert_array_equal(to_action[:2], 0.0)


def test_tanh_normal_beyond_1_has_no_log_prob():
  log_prob = distributions.tanh_normal(
      tf.zeros([2]), tf.ones([2])).log_prob([1.5, -1.5])
  assert np.isnan(log_prob).all()


class GivenSamples(distributions.TanhNormal):
  """With samples of a test's own."""

  given = None

  def _monte_carlo(self):
    return tf.constant(self.given, tf.float32)


def test_the_mode_of_a_tanh_normal_is_the_best_sample_of_a_row_together(
    monkeypatch):
  # By number the best of the first row would be 0.0 and 0.1, of two samples.
  first = [[0.0, 0.8], [0.2, 0.3], [0.9, 0.1]]
  other = [[0.5, 0.5], [0.6, 0.6], [-0.1, 0.7]]
  monkeypatch.setattr(distributions, '_MONTE_CARLO_SAMPLES', 3)
  made = GivenSamples(
      distributions.Normal(tf.zeros([2, 2]), tf.fill([2, 2], 0.5)),
      distributions.Tanh())
  made.given = np.stack([first, other], 1)   # [samples, rows, numbers]
  together = tanh_log_density(made.given, 0.0, 0.5).sum(-1)
  best = made.given[together.argmax(0), [0, 1]]
  assert best.tolist() == [[0.2, 0.3], [0.5, 0.5]]
  np.testing.assert_allclose(made.mode(), best, rtol=1e-6)
  np.testing.assert_allclose(
      distributions.tfd.Independent(made, 1).mode(), best, rtol=1e-6)


def test_each_row_of_a_tanh_normal_has_its_own_most_likely_sample_as_mode():
  mode = tanh_normal().mode().numpy()
  y = np.linspace(-0.99999, 0.99999, 20001)[:, None, None]
  best = tanh_log_density(y, TANH_LOCS, TANH_SCALES).max(0).sum(-1)
  reached = tanh_log_density(
      mode.astype(np.float64), TANH_LOCS, TANH_SCALES).sum(-1)
  # The best of 100 samples lies close to the peak; another row's does not.
  np.testing.assert_allclose(reached, best, atol=0.1)


def test_tanh_normal_mean_and_entropy_are_close_to_their_integrals():
  points = np.linspace(-8.0, 8.0, 8001)
  x = points[:, None, None]
  normal = np.exp(-0.5 * ((x - TANH_LOCS) / TANH_SCALES) ** 2)
  flat = lambda values: values.reshape(len(points), -1)
  mass = integrate(flat(normal), points)
  expect = lambda f: integrate(flat(normal * f), points) / mass
  y = np.tanh(x)
  surprise = -tanh_log_density(
      np.clip(y, -1 + 1e-7, 1 - 1e-7), TANH_LOCS, TANH_SCALES)
  distribution = tanh_normal()
  for estimate, f in [
      (distribution.mean(), y), (distribution.entropy(), surprise)]:
    exact = expect(f)
    sigma = np.sqrt(expect(f**2) - exact**2) / 10   # of 100 samples
    assert (np.abs(estimate.numpy().ravel() - exact) < 4.5 * sigma).all()


def test_tanh_normal_estimates_are_functions_of_the_parameters_alone():
  for estimate in ('mode', 'mean', 'entropy'):
    np.testing.assert_array_equal(
        getattr(tanh_normal(), estimate)(), getattr(tanh_normal(), estimate)())


def test_tanh_normal_estimates_are_finite_where_the_tanh_rounds_to_1():
  saturated = distributions.tanh_normal(
      tf.constant([-20.0, 20.0]), tf.constant([0.1, 0.1]))
  np.testing.assert_allclose(saturated.mode(), [-1.0, 1.0], rtol=1e-6)
  assert np.isfinite(saturated.entropy()).all()


# Bernoulli.


def test_bernoulli_log_prob_takes_soft_labels():
  log_prob = distributions.bernoulli(
      tf.constant([0.0, math.log(3.0), math.log(3.0), math.log(3.0)])
  ).log_prob([0.3, 0.0, 1.0, 0.75])
  by_hand = [
      math.log(0.5), math.log(0.25), math.log(0.75),
      0.75 * math.log(0.75) + 0.25 * math.log(0.25)]
  np.testing.assert_allclose(log_prob, by_hand, rtol=1e-5)


def test_bernoulli_learns_a_soft_label_as_its_mean():
  logits = tf.constant([math.log(3.0), math.log(3.0)])
  with tf.GradientTape() as tape:
    tape.watch(logits)
    log_prob = distributions.bernoulli(logits).log_prob([0.75, 0.25])
  np.testing.assert_allclose(
      tape.gradient(log_prob, logits), [0.0, -0.5], atol=1e-6)


def test_bernoulli_mean_is_the_probability():
  mean = distributions.bernoulli(tf.constant([math.log(3.0)])).mean()
  np.testing.assert_allclose(mean, [0.75], rtol=1e-6)


# Latents.


@pytest.mark.parametrize('dtype', [tf.float32, tf.float16])
def test_a_discrete_latent_is_one_event_over_all_its_variables(dtype):
  logits = tf.constant(random_logits(2, 3, 4, 5))
  state = types.DiscreteState(
      tf.zeros([2, 3, 7], dtype), tf.zeros([2, 3, 4, 5], dtype), logits)
  latent = distributions.latent(state)
  assert (latent.batch_shape, latent.event_shape) == ((2, 3), (4, 5))
  assert latent.dtype == tf.float32
  logs = np.log(softmax(logits.numpy()))
  by_hand = -(np.exp(logs) * logs).sum((-2, -1))
  np.testing.assert_allclose(latent.entropy(), by_hand, rtol=1e-5)


def test_a_gaussian_latent_is_one_event_with_its_own_mean_and_std():
  mean, std = random_logits(2, 3, 4), np.exp(random_logits(2, 3, 4, seed=1))
  state = types.GaussianState(
      tf.zeros([2, 3, 7]), tf.zeros([2, 3, 4]), tf.constant(mean),
      tf.constant(std))
  latent = distributions.latent(state)
  assert (latent.batch_shape, latent.event_shape) == ((2, 3), (4,))
  by_hand = -np.log(std) - HALF_LOG_TWO_PI - 0.5 * ((0.5 - mean) / std) ** 2
  np.testing.assert_allclose(
      latent.log_prob(tf.fill([2, 3, 4], 0.5)), by_hand.sum(-1), rtol=1e-5)
