"""Tests of schedules: every form at its start, middle, end, beyond."""

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa import schedules


@pytest.mark.parametrize('written, value', [
    (0.3, 0.3), (2, 2.0), ('0.3', 0.3), ('-1.5', -1.5), ('+2', 2.0),
    ('1e-4', 1e-4), ('.5', 0.5), ('3.', 3.0), ('2.5E+1', 25.0),
])
def test_a_number_is_the_same_at_every_step(written, value):
  function = schedules.make(written, 'X.y')
  for step in (0, 7, 10**9):
    assert float(function(step)) == np.float32(value)


@pytest.mark.parametrize('written, step, value', [
    ('linear(1,3,8)', 0, 1.0), ('linear(1,3,8)', 2, 1.5),
    ('linear(1,3,8)', 4, 2.0), ('linear(1,3,8)', 8, 3.0),
    ('linear(1,3,8)', 800, 3.0), ('linear(1,3,8)', -5, 1.0),
    ('linear(1,-3,8)', 6, -2.0), ('linear(1, 3, 8)', 4, 2.0),
    ('warmup(8,5)', 0, 0.0), ('warmup(8,5)', 2, 1.25),
    ('warmup(8,5)', 8, 5.0), ('warmup(8,5)', 800, 5.0),
    ('exp(9,1,4)', 0, 9.0), ('exp(9,1,4)', 4, 5.0), ('exp(9,1,4)', 8, 3.0),
    ('exp(9,1,4)', 2, 1 + 8 * 0.5**0.5), ('exp(9,1,4)', 4000, 1.0),
    ('horizon(5,25,8)', 0, 0.8), ('horizon(5,25,8)', 4, 1 - 1 / 15),
    ('horizon(5,25,8)', 8, 0.96), ('horizon(5,25,8)', 800, 0.96),
    ('horizon(5,25,8e0)', 6, 0.95),
])
def test_a_form_has_the_value_worked_by_hand(written, step, value):
  result = schedules.make(written, 'X.y')(step)
  np.testing.assert_allclose(result, value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('written', [
    '0.3', 'linear(1,3,8)', 'warmup(8,5)', 'exp(9,1,4)', 'horizon(5,25,8)',
])
@pytest.mark.parametrize('dtype', [tf.int64, tf.int32, tf.float32])
def test_a_schedule_is_a_float32_scalar_of_a_variable_in_a_graph(
    written, dtype):
  step = tf.Variable(2, dtype=dtype)
  function = schedules.make(written, 'X.y')
  graph = tf.function(lambda: function(step))
  before = graph()
  assert (before.dtype, before.shape) == (tf.float32, ())
  np.testing.assert_allclose(before, function(2), rtol=1e-6)
  step.assign(3)
  np.testing.assert_allclose(graph(), function(3), rtol=1e-6)


@pytest.mark.parametrize('written', [
    '', 'constant', 'linear', 'linear(1,3)', 'linear(1,3,8,9)', 'warmup(8)',
    'linear(1,3,8', 'linear 1,3,8', 'cosine(1,3,8)', 'exp(a,b,c)', '1,2',
    'linear(1,3,8)+1', '0.1.2', 'nan', 'linear(1,inf,8)', 'horizon()', None,
])
def test_other_text_is_refused_with_the_forms_that_are_known(written):
  with pytest.raises(ValueError, match=r'wanted a number, linear\(a,b,steps\)'):
    schedules.make(written, 'X.y')


@pytest.mark.parametrize('written', [
    'linear(1,3,0)', 'exp(1,3,-8)', 'horizon(5,9,0)', 'warmup(0,5)',
    'warmup(-8,5)',
])
def test_a_duration_that_is_not_positive_is_refused(written):
  with pytest.raises(ValueError, match='wanted more than 0'):
    schedules.make(written, 'X.y')


def test_a_warmup_may_end_at_a_value_that_is_not_positive():
  np.testing.assert_allclose(schedules.make('warmup(8,-5)', 'X.y')(4), -2.5)


@pytest.mark.parametrize('function, text', [
    (schedules.linear(1, 3, 8), 'linear(1,3,8)'),
    (schedules.warmup(8, 5), 'warmup(8,5)'),
    (schedules.exponential(9, 1, 4), 'exp(9,1,4)'),
    (schedules.horizon(5, 25, 8), 'horizon(5,25,8)'),
])
def test_a_function_is_what_its_text_means(function, text):
  assert schedules.make(function, 'X.y') is function
  for step in (0, 3, 8, 100):
    assert float(function(step)) == float(schedules.make(text, 'X.y')(step))


@pytest.mark.parametrize('make', [
    lambda: schedules.linear(1, 3, 0), lambda: schedules.warmup(-1, 3),
    lambda: schedules.exponential(1, 3, 0), lambda: schedules.horizon(1, 3, 0),
])
def test_a_function_lasts_more_than_0_steps(make):
  with pytest.raises(ValueError, match='wanted more than 0'):
    make()
