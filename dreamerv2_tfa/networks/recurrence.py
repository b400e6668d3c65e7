"""Steps along time: a scan whose gradient is cheap in weights."""

import tensorflow as tf

from dreamerv2_tfa.networks import layers


def scan(step, inputs, initial, modules):
  """Applies a step along time; the states before `initial` excluded.

    s_t = step(s_{t-1}, x_t)

  `tf.scan` would add up the gradient of every weight at each step, which for a
  few rows a step is most of its cost. Here the loop back in time keeps the
  weights fixed, and one call on all rows gives what is left:

    g_t   = dL/ds_t + (ds_{t+1}/ds_t)^T g_{t+1}      a loop, t = T .. 1
    dL/dw = sum_t (ds_t/dw)^T g_t                    one call, as for dL/dx_t

  Args:
    step: Function of a state and the parts of an input to the next state, rows
      independent of each other: it is called with `B` rows and with `T * B`.
    inputs: Tuple of tensors `[T, B, ...]`.
    initial: Nest of float tensors `[B, ...]`.
    modules: Sequence of `tf.Module` whose weights the step reads.

  Returns:
    States, a nest like `initial` of tensors `[T, B, ...]`. First derivatives
    only.
  """
  dense = layers.dense_layers(modules)
  structure = inputs, initial, layers.read(dense)

  @tf.custom_gradient
  def run(*flat):
    inputs, initial, weights = tf.nest.pack_sequence_as(structure, flat)
    with layers.holding(dense, weights):
      states = tf.scan(lambda state, row: step(state, *row), inputs, initial)

    def gradient(*upstream, variables=None):
      upstream = tf.nest.pack_sequence_as(states, upstream)
      before = tf.nest.map_structure(
          lambda first, x: tf.concat([first[None], x[:-1]], 0), initial, states
      )
      with layers.holding(dense, weights):
        totals, into = _back(step, before, inputs, upstream)
      each, others = _rows(
          step, dense, before, inputs, weights, totals, variables or []
      )
      slopes = [*each[0], *tf.nest.flatten(into), *each[1]]
      return slopes if variables is None else (slopes, others)

    return tf.nest.flatten(states), gradient

  return tf.nest.pack_sequence_as(initial, run(*tf.nest.flatten(structure)))


def _back(step, before, inputs, upstream):
  """g_t of every step, `[T, B, ...]`, and the slope of `initial`."""
  def back(later, row):
    state, row_inputs, slope = row
    total = tf.nest.map_structure(tf.add, slope, later[1])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(tf.nest.flatten(state))
      after = step(state, *row_inputs)
    into = tape.gradient(
        after, state, total, tf.UnconnectedGradients.ZERO
    )
    return total, into

  zeros = tf.nest.map_structure(lambda x: tf.zeros_like(x[0]), upstream)
  totals, into = tf.scan(
      back, (before, inputs, upstream), (zeros, zeros), reverse=True
  )
  return totals, tf.nest.map_structure(lambda x: x[0], into)


def _rows(step, dense, before, inputs, weights, totals, variables):
  """Slopes of inputs and weights, then of variables, from all rows at once."""
  rows = lambda x: tf.reshape(x, [-1] + x.shape[2:].as_list())
  before, inputs_in_rows, totals = tf.nest.map_structure(
      rows, (before, inputs, totals)
  )
  weights = tf.nest.flatten(weights)
  floats = [x for x in inputs_in_rows if x.dtype.is_floating]
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tape.watch([floats, weights, variables])
    with layers.holding(dense, zip(weights[::2], weights[1::2], strict=True)):
      after = step(before, *inputs_in_rows)
  slopes = tape.gradient(
      after, [floats, weights, variables], totals,
      tf.UnconnectedGradients.ZERO,
  )
  of_floats = iter(slopes[0])
  of_inputs = [
      tf.reshape(next(of_floats), tf.shape(x)) if x.dtype.is_floating else None
      for x in inputs
  ]
  return (of_inputs, slopes[1]), slopes[2]
