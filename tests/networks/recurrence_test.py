"""Tests of the scan: the numbers and gradients of `tf.scan`."""

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.networks import recurrence

B, T, X, D = 2, 5, 3, 4


class Step(tf.Module):
  """A step with dense and other weights, a flag, and two parts of a state."""

  def __init__(self):
    super().__init__()
    self.dense = tf.keras.layers.Dense(D)
    self.dense.build((None, X + D))
    self.norm = tf.keras.layers.LayerNormalization()
    self.norm.build((None, D))
    small.randomise(self)

  def weights(self):
    return layers.read(self.dense, self.norm)

  def apply(self, weights, state, inputs, flag):
    h, count = state
    h = tf.where(flag[:, None], 0.0, h)
    moved = layers.layer_norm(
        layers.dense(weights, tf.concat([inputs, h], -1)), *weights.norm)
    return tf.tanh(moved) + 0.1 * h, count + tf.reduce_sum(h, -1)

  def __call__(self, state, inputs, flag):
    """The same by Keras' layers."""
    h, count = state
    h = tf.where(flag[:, None], 0.0, h)
    moved = self.norm(self.dense(tf.concat([inputs, h], -1)))
    return tf.tanh(moved) + 0.1 * h, count + tf.reduce_sum(h, -1)


def run(scan):
  """Outputs and gradients, wrt inputs, initial state and weights."""
  step = Step()
  rng = np.random.default_rng(0)
  inputs = tf.constant(rng.normal(size=[T, B, X]), tf.float32)
  flags = np.zeros([T, B], bool)
  flags[0, 1] = flags[3, 0] = True
  initial = (tf.constant(rng.normal(size=[B, D]), tf.float32), tf.zeros([B]))
  weights = tf.constant(rng.normal(size=[T, B, D]), tf.float32)

  @tf.function(autograph=False)
  def slopes():
    with tf.GradientTape() as tape:
      tape.watch([inputs, initial])
      h, count = scan(step, (inputs, tf.constant(flags)), initial)
      loss = tf.reduce_sum(weights * h) + tf.reduce_sum(count[-1] ** 2)
    found = tape.gradient(loss, [inputs, initial, step.trainable_variables])
    return [h, count, *tf.nest.flatten(found)]

  return slopes


def plain(step, inputs, initial):
  return tf.scan(lambda state, row: step(state, *row), inputs, initial)


def ours(step, inputs, initial):
  return recurrence.scan(step.apply, step.weights(), inputs, initial)


@pytest.mark.parametrize('eager', [False, True], ids=['graph', 'eager'])
def test_outputs_and_gradients_are_those_of_a_plain_scan(eager):
  wanted = run(plain)()
  tf.config.run_functions_eagerly(eager)
  found = run(ours)()
  tf.config.run_functions_eagerly(False)
  assert len(found) == 2 + 3 + 4
  for one, two in zip(found, wanted, strict=True):
    assert np.abs(two).max() > 0
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def _loop_bodies():
  """Operations in the body of each loop, with those of what it calls."""
  graph = run(ours).get_concrete_function().graph.as_graph_def()
  functions = {f.signature.name: f for f in graph.library.function}

  def operations(function):
    for node in function.node_def:
      yield node
      if node.op in ('PartitionedCall', 'StatefulPartitionedCall'):
        yield from operations(functions[node.attr['f'].func.name])

  bodies = [list(operations(f)) for name, f in functions.items()
            if 'while_body' in name]
  assert len(bodies) == 2
  return bodies


def test_the_loop_back_makes_no_weights_gradient():
  """It would be a product a step: what the scan is for."""
  for body in _loop_bodies():
    transposed = [
        n for n in body if n.op == 'MatMul' and n.attr['transpose_a'].b]
    assert not transposed


def test_the_loop_back_does_not_run_the_step_again():
  """What it needs of the step is computed of all steps at once."""
  kinds = sorted(
      (len([n for n in body if n.op == 'MatMul' and not n.attr[
          'transpose_b'].b]), len([n for n in body if n.op == 'Tanh']))
      for body in _loop_bodies())
  assert kinds == [(0, 0), (1, 1)]  # back, forward


def test_weights_are_read_once_before_the_loop():
  for body in _loop_bodies():
    assert not [n for n in body if n.op == 'ReadVariableOp']


def test_layers_read_their_own_weights_again_afterwards():
  step = Step()
  inputs = tf.ones([T, B, X]), tf.zeros([T, B], tf.bool)
  first, _ = ours(step, inputs, (tf.zeros([B, D]), tf.zeros([B])))
  step.dense.kernel.assign(2.0 * step.dense.kernel)
  second, _ = ours(step, inputs, (tf.zeros([B, D]), tf.zeros([B])))
  assert np.abs(first - second).max() > 1e-3


def test_a_step_whose_gradient_needs_what_has_no_batch_is_refused():
  def step(weights, state, inputs):
    return state + inputs * tf.reduce_mean(inputs) * weights

  weights = tf.constant(2.0)
  with tf.GradientTape() as tape:
    tape.watch(weights)
    states = recurrence.scan(
        step, weights, (tf.ones([T, B]),), tf.zeros([B]))
  with pytest.raises(NotImplementedError, match='no batch axis'):
    tape.gradient(states, weights)


@pytest.mark.parametrize('length', [1, 2])
def test_short_sequences_have_the_gradient_of_a_plain_scan(length):
  step = Step()
  inputs = (tf.ones([length, B, X]), tf.zeros([length, B], tf.bool))
  initial = (tf.ones([B, D]), tf.zeros([B]))
  found = []
  for scan in (plain, ours):
    with tf.GradientTape() as tape:
      h, _ = scan(step, inputs, initial)
      loss = tf.reduce_sum(h ** 2)
    found.append(tape.gradient(loss, step.trainable_variables))
  for one, two in zip(*found, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
