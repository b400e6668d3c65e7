"""Tests of actions and observations as the model sees them."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec

from dreamerv2_tfa import specs


def integer(low, high, shape=(), dtype=tf.int64):
  return specs.Actions(
      tensor_spec.BoundedTensorSpec(shape, dtype, low, high))


def box(low, high, shape, dtype=tf.float32):
  return specs.Actions(
      tensor_spec.BoundedTensorSpec(shape, dtype, low, high))


# Integers.


@pytest.mark.parametrize('shape', [(), (1,)])
@pytest.mark.parametrize('dtype', [tf.int32, tf.int64])
def test_integers_come_back_from_the_model_as_they_went_in(shape, dtype):
  actions = integer(-2, 3, shape, dtype)
  outside = tf.reshape(tf.range(-2, 4, dtype=dtype), (2, 3) + shape)
  decoded = actions.decode(actions.encode(outside))
  assert decoded.dtype == dtype
  np.testing.assert_array_equal(decoded, outside)


def test_an_integer_is_one_hot_counted_from_the_lowest():
  actions = integer(3, 6)
  assert (actions.discrete, actions.size, actions.low) == (True, 4, 3)
  inside = actions.encode(tf.constant([5, 3, 6], tf.int64))
  assert inside.dtype == tf.float32
  np.testing.assert_array_equal(
      inside, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_an_integer_of_shape_1_loses_its_axis_inside():
  actions = integer(0, 4, (1,))
  inside = actions.encode(tf.zeros([2, 3, 1], tf.int64))
  assert inside.shape == (2, 3, 5)
  assert actions.decode(inside).shape == (2, 3, 1)


def test_decoding_takes_the_largest_of_a_soft_vector():
  decoded = integer(-1, 1).decode(tf.constant([[0.2, 0.5, 0.3]], tf.float16))
  np.testing.assert_array_equal(decoded, [0])


def test_several_integers_are_one_choice_of_their_combinations():
  actions = integer([1, -2], [2, 0], (2,))
  assert (actions.discrete, actions.several, actions.size) == (True, True, 6)
  outside = tf.constant([[1, -2], [1, 0], [2, -2], [2, 0]], tf.int64)
  inside = actions.encode(outside)
  np.testing.assert_array_equal(tf.argmax(inside, -1), [0, 2, 3, 5])
  np.testing.assert_array_equal(actions.decode(inside), outside)
  assert actions.decode(inside).dtype == tf.int64


def test_every_combination_comes_back_from_the_model_as_it_went_in():
  actions = integer(0, [[1, 2], [3, 0]], (2, 2), tf.int32)
  inside = tf.reshape(tf.eye(24), [4, 6, 24])
  outside = actions.decode(inside)
  assert outside.shape == (4, 6, 2, 2)
  np.testing.assert_array_equal(actions.encode(outside), inside)


# Boxes.


def test_the_bounds_and_the_middle_of_a_box_become_minus_1_0_and_1():
  actions = box(np.float32([-2, 10]), np.float32([4, 20]), (2,))
  assert (actions.discrete, actions.size) == (False, 2)
  inside = actions.encode(tf.constant([[-2.0, 20.0], [1.0, 12.5]]))
  np.testing.assert_allclose(inside, [[-1.0, 1.0], [0.0, -0.5]], atol=1e-6)


def test_a_box_is_decoded_to_its_bounds_and_middle():
  actions = box(np.float32([-2, 10]), np.float32([4, 20]), (2,))
  outside = actions.decode(tf.constant([[-1.0, 1.0], [0.0, -0.5]]))
  np.testing.assert_allclose(outside, [[-2.0, 20.0], [1.0, 12.5]], rtol=1e-6)


@pytest.mark.parametrize('dtype', [tf.float32, tf.float64])
def test_a_box_with_two_axes_comes_back_as_it_went_in(dtype):
  low = np.array([[-1, -2, -3], [5, 6, 7]], dtype.as_numpy_dtype)
  actions = box(low, low + [[1, 2, 4], [8, 16, 32]], (2, 3), dtype)
  share = np.random.default_rng(0).uniform(size=(4, 5, 2, 3))
  outside = tf.constant(low + share * actions._range, dtype)
  inside = actions.encode(outside)
  assert (inside.shape, inside.dtype) == ((4, 5, 6), tf.float32)
  np.testing.assert_allclose(
      inside, 2 * share.reshape(4, 5, 6) - 1, atol=1e-5)
  decoded = actions.decode(inside)
  assert decoded.dtype == dtype
  np.testing.assert_allclose(decoded, outside, rtol=1e-5, atol=1e-5)


def test_a_decoded_action_never_leaves_its_bounds_by_rounding():
  rng = np.random.default_rng(0)
  low, high = (
      rng.uniform(*ends, 500).astype(np.float32) for ends in ((-3, 1), (1, 9)))
  assert (low + (high - low) > high).any()
  actions = box(low, high, (500,))
  for end in (-1.0, 1.0):
    outside = actions.decode(tf.fill([1, 500], end)).numpy()
    assert ((outside >= low) & (outside <= high)).all()


def test_one_bound_stands_for_every_number_of_a_box():
  actions = box(0.0, 4.0, (3,))
  np.testing.assert_allclose(
      actions.decode(tf.constant([[-1.0, 0.0, 1.0]])), [[0.0, 2.0, 4.0]])


def test_a_box_without_axes_is_one_number():
  actions = box(0.0, 4.0, ())
  assert actions.size == 1
  inside = actions.encode(tf.constant([1.0, 4.0]))
  np.testing.assert_allclose(inside, [[-0.5], [1.0]])
  np.testing.assert_allclose(actions.decode(inside), [1.0, 4.0])


@pytest.mark.parametrize('shape', [(6,), (2, 3)])
def test_the_bijector_of_a_box_does_what_decode_does(shape):
  low = np.arange(6, dtype=np.float32).reshape(shape) - 3
  actions = box(low, low + np.float32(2.5), shape)
  inside = tf.constant(
      np.random.default_rng(0).uniform(-1, 1, (4, 6)), tf.float32)
  forward = actions.bijector().forward(inside)
  assert forward.shape == (4, *shape)
  np.testing.assert_allclose(
      forward, actions.decode(inside), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('actions, dtype', [
    (integer(2, 5), tf.int64), (box(-3.0, 1.0, (2, 2)), tf.float32)])
def test_sizes_are_static_in_a_graph_whose_prefix_is_not_known(actions, dtype):
  event = () if actions.discrete else (2, 2)

  @tf.function(input_signature=[tf.TensorSpec((None, 3) + event, dtype)])
  def there_and_back(outside):
    inside = actions.encode(outside)
    assert inside.shape.as_list() == [None, 3, 4]
    return actions.decode(inside)

  outside = tf.fill((5, 3) + event, tf.constant(-2, dtype) + tf.cast(
      5 * actions.discrete, dtype))
  np.testing.assert_allclose(there_and_back(outside), outside, rtol=1e-6)


# Specs that cannot be used.


def test_integers_with_too_many_combinations_are_refused():
  with pytest.raises(ValueError, match='has 1,048,576 combinations'):
    integer(0, 3, (10,))


@pytest.mark.parametrize('low, high', [
    (-np.inf, 1.0), (0.0, np.inf), (1.0, 1.0), (2.0, 1.0),
    (np.float32([0, 0]), np.float32([1, np.inf])),
    (np.float32([0, 1]), np.float32([1, 1])),
])
def test_a_box_without_finite_ascending_bounds_is_refused(low, high):
  with pytest.raises(ValueError, match='finite bounds with minimum < maximum'):
    box(low, high, (2,))


@pytest.mark.parametrize('nest', [dict, list, tuple])
def test_a_nest_of_actions_is_refused(nest):
  spec = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 3)
  with pytest.raises(ValueError, match='wants a single action'):
    specs.Actions({'arm': spec} if nest is dict else nest([spec]))


def test_an_action_without_bounds_is_refused():
  with pytest.raises(ValueError, match='needs bounds'):
    specs.Actions(tf.TensorSpec((2,), tf.float32))


# Observations.


def test_a_bare_tensor_is_called_observation():
  assert list(specs.flat_observation(tf.zeros([2, 3]))) == ['observation']


def test_a_bare_spec_is_called_observation():
  spec = tensor_spec.BoundedTensorSpec((3,), tf.float32, 0, 1)
  assert specs.flat_observation(spec) == {'observation': spec}


def test_a_dict_keeps_its_names():
  flat = specs.flat_observation({'image': tf.zeros([1]), 'arm': tf.ones([2])})
  assert {key: x.shape.as_list() for key, x in flat.items()} == {
      'arm': [2], 'image': [1]}


def test_a_nest_is_named_by_its_path():
  flat = specs.flat_observation({
      'arm': {'position': tf.zeros([1]), 'touch': (tf.zeros([2]), tf.zeros([3]))
              }, 'image': tf.zeros([4])})
  assert {key: x.shape[0] for key, x in flat.items()} == {
      'arm/position': 1, 'arm/touch/0': 2, 'arm/touch/1': 3, 'image': 4}


def test_names_are_in_the_order_in_which_tensorflow_flattens():
  nest = collections.OrderedDict(
      b=tf.constant(0), a={'d': tf.constant(1), 'c': tf.constant(2)})
  flat = list(specs.flat_observation(nest).values())
  assert [int(x) for x in flat] == [int(x) for x in tf.nest.flatten(nest)]


def test_an_observation_has_the_names_of_its_spec():
  nest = {'z': (tf.zeros([2]), tf.zeros([3])), 'y': tf.zeros([4])}
  spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, nest)
  assert list(specs.flat_observation(nest)) == list(
      specs.flat_observation(spec))
