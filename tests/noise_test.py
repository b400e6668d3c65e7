"""Tests of seeded random numbers: range, moments, the same on every backend."""

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import noise

SEEDS = [(3, 4), (0, 0), (-7, 11), (-(2**31), 2**31 - 1)]


def on_every_backend(function, seed):
  """Returns what an eager, a graph and an XLA call give, as numpy."""
  seed = tf.constant(seed, tf.int32)
  graph = tf.function(function)
  xla = tf.function(function, jit_compile=True)
  return [f(seed).numpy() for f in (function, graph, xla)]


def test_smallest_and_largest_bits_stay_strictly_between_0_and_1(monkeypatch):
  bits = tf.constant([0, 2**32 - 1], tf.uint32)
  monkeypatch.setattr(
      tf.random, 'stateless_uniform', lambda *args, **kwargs: bits)
  np.testing.assert_array_equal(
      noise.uniform([2], (0, 0)), np.float32([2.0**-24, 1 - 2.0**-24]))


def test_uniform_numbers_fill_every_tenth_of_the_interval_alike():
  count = 20000
  drawn = noise.uniform([count], (1, 2)).numpy()
  observed, _ = np.histogram(drawn, 10, (0.0, 1.0))
  chi_square = ((observed - count / 10) ** 2 / (count / 10)).sum()
  assert chi_square < 27.9   # 9 degrees of freedom: one seed in 1000 fails


def test_uniform_numbers_have_the_shape_asked_for_and_are_float32():
  drawn = noise.uniform(tf.constant([2, 3, 5]), (1, 2))
  assert (drawn.shape, drawn.dtype) == ((2, 3, 5), tf.float32)


@pytest.mark.parametrize('seed', SEEDS)
def test_one_seed_gives_one_sequence_and_another_seed_another(seed):
  once, again = noise.uniform([50], seed), noise.uniform([50], seed)
  np.testing.assert_array_equal(once, again)
  other = noise.uniform([50], (seed[0], 5))
  assert (once != other).numpy().all()


def test_neighbouring_seeds_give_uncorrelated_numbers():
  rows = np.stack([
      noise.uniform([4000], (a, b)).numpy() for a in (0, 1) for b in (0, 1)])
  off_diagonal = np.corrcoef(rows) - np.eye(4)
  assert np.abs(off_diagonal).max() < 4 / np.sqrt(4000)


@pytest.mark.parametrize('seed', SEEDS)
def test_uniform_is_equal_bit_for_bit_eagerly_in_a_graph_and_under_xla(seed):
  eager, graph, xla = on_every_backend(
      lambda s: noise.uniform([7, 11], s), seed)
  np.testing.assert_array_equal(eager, graph)
  np.testing.assert_array_equal(eager, xla)


@pytest.mark.parametrize('seed', SEEDS)
def test_split_is_equal_bit_for_bit_eagerly_in_a_graph_and_under_xla(seed):
  eager, graph, xla = on_every_backend(lambda s: noise.split(s, 5), seed)
  np.testing.assert_array_equal(eager, graph)
  np.testing.assert_array_equal(eager, xla)


@pytest.mark.parametrize('seed', SEEDS)
def test_standard_normal_agrees_on_every_backend_to_rounding(seed):
  eager, graph, xla = on_every_backend(
      lambda s: noise.standard_normal([7, 11], s), seed)
  np.testing.assert_array_equal(eager, graph)
  np.testing.assert_allclose(eager, xla, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('seed', SEEDS)
def test_split_makes_distinct_seeds_that_are_not_negative(seed):
  seeds = noise.split(seed, 300).numpy()
  assert (seeds.shape, seeds.dtype) == ((300, 2), np.int32)
  assert (seeds >= 0).all()
  assert len({tuple(row) for row in seeds}) == 300


def test_split_seeds_differ_from_those_of_another_seed():
  one, two = noise.split((1, 2), 50).numpy(), noise.split((1, 3), 50).numpy()
  assert not {tuple(row) for row in one} & {tuple(row) for row in two}


def test_standard_normal_has_the_first_four_moments_of_a_normal():
  count = 40000
  drawn = noise.standard_normal([count], (8, 9)).numpy().astype(np.float64)
  for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
    tolerance = 4 * np.sqrt(variance / count)
    assert abs((drawn**power).mean() - moment) < tolerance, power


def test_standard_normal_is_finite_at_the_ends_of_the_interval(monkeypatch):
  ends = tf.constant([2.0**-24, 1 - 2.0**-24])
  monkeypatch.setattr(noise, 'uniform', lambda *args: ends)
  drawn = noise.standard_normal([2], (0, 0)).numpy()
  # The quantile function of a normal at 2**-24, from a table of the tail.
  np.testing.assert_allclose(drawn, [-5.2947, 5.2947], atol=1e-3)
