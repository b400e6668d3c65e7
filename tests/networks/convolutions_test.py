"""Tests of the convolutions: Keras' numbers and gradients in every form."""

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa.networks import convolutions

N = 3
# Input side, channels in and out, kernel: with how many output positions.
CASES = {
    'one position': (4, 2, 5, 4), 'four positions': (6, 2, 5, 4),
    'a rest that no patch reaches': (7, 2, 5, 4), 'a large map': (14, 2, 5, 4),
}


def both(ours, keras, inputs):
  """Outputs and gradients of two layers with the same weights."""
  for layer in (ours, keras):
    layer.build(inputs.shape)
  ours.bias.assign(np.arange(ours.filters) / 7.0)
  keras.set_weights(ours.get_weights())
  found = []
  for layer in (ours, keras):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs = layer(inputs)
      loss = tf.reduce_sum(tf.sin(outputs))
    slopes = tape.gradient(loss, [inputs, layer.kernel, layer.bias])
    found.append([outputs, *slopes])
  return found


def assert_same(found):
  for one, two in zip(*found, strict=True):
    assert one.shape == two.shape
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('case', CASES)
def test_a_convolution_is_that_of_keras(case):
  side, channels, filters, kernel = CASES[case]
  inputs = tf.random.stateless_normal([N, side, side, channels], [1, 2])
  assert_same(both(
      convolutions.Convolution(filters, kernel, 2),
      tf.keras.layers.Conv2D(filters, kernel, 2), inputs,
  ))


@pytest.mark.parametrize('side', [1, 2, 5])
@pytest.mark.parametrize('filters, kernel', [(5, 6), (5, 5), (8, 6), (1, 4)])
def test_a_transposed_convolution_is_that_of_keras(side, filters, kernel):
  inputs = tf.random.stateless_normal([N, side, side, 4], [3, 4])
  assert_same(both(
      convolutions.TransposedConvolution(filters, kernel, 2),
      tf.keras.layers.Conv2DTranspose(filters, kernel, 2), inputs,
  ))


def operations(layer, shape):
  """Types of the operations that a layer is made of."""
  function = tf.function(layer).get_concrete_function(
      tf.TensorSpec(shape, tf.float32)
  )
  return {op.type for op in function.graph.get_operations()}


def test_small_maps_are_matrix_products():
  """Without the slow paths of convolutions: what the classes are for."""
  small = operations(convolutions.Convolution(5, 4, 2), [N, 6, 6, 2])
  point = operations(
      convolutions.TransposedConvolution(5, 6, 2), [N, 1, 1, 4]
  )
  for found in (small, point):
    assert 'MatMul' in found
    assert not any(name.startswith('Conv2D') for name in found)


def test_an_image_is_made_by_a_plain_convolution():
  image = operations(
      convolutions.TransposedConvolution(3, 6, 2), [N, 30, 30, 8]
  )
  assert 'Conv2D' in image
  assert 'Conv2DBackpropInput' not in image
