"""Steps along time: a scan whose gradient is cheap in weights."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def scan(
    step: Callable[..., Any], weights: Any, inputs: tuple[tf.Tensor, ...],
    initial: Any,
) -> Any:
  """Applies a pure step along time.

    s_t = step(weights, s_{t-1}, *x_t)

  `tf.scan` would add up the gradient of every weight at each step, which for a
  few states a step is most of its cost. Here the loop back in time treats the
  weights as constants, and one call on all steps gives the rest:

    g_t   = dL/ds_t + (ds_{t+1}/ds_t)^T g_{t+1}      a loop, t = T .. 1
    dL/dw = sum_t (ds_t/dw)^T g_t                    one call, as for dL/dx_t

  Args:
    step: Function of weights, a state and the parts of an input to the next
      state. It reads no variable, and treats each element of a batch alone: it
      is called with `[B, ...]` and with `[T * B, ...]`.
    weights: Nest of float tensors.
    inputs: Tensors `[T, B, ...]`.
    initial: Nest of float tensors `[B, ...]`.

  Returns:
    States s_1 to s_T, a nest like `initial` of tensors `[T, B, ...]`. First
    derivatives with respect to weights, inputs and initial state.
  """
  structure = weights, inputs, initial

  @tf.custom_gradient
  def run(*flat):
    weights, inputs, initial = tf.nest.pack_sequence_as(structure, flat)
    states = tf.scan(
        lambda state, x: step(weights, state, *x), inputs, initial
    )

    def gradient(*upstream):
      before = tf.nest.map_structure(
          lambda first, x: tf.concat([first[None], x[:-1]], 0), initial, states
      )
      totals, of_initial = _back(
          step, weights, before, inputs,
          tf.nest.pack_sequence_as(states, upstream),
      )
      of_weights, of_inputs = _at_once(step, weights, before, inputs, totals)
      return [*of_weights, *of_inputs, *tf.nest.flatten(of_initial)]  # pyright: ignore[reportGeneralTypeIssues]

    return tf.nest.flatten(states), gradient

  return tf.nest.pack_sequence_as(initial, run(*tf.nest.flatten(structure)))


def _back(step, weights, before, inputs, upstream):
  """g_t of every step, `[T, B, ...]`, and the gradient of `initial`."""
  def back(later, x):
    state, step_inputs, slope = x
    total = tf.nest.map_structure(tf.add, slope, later[1])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(tf.nest.flatten(state))
      after = step(weights, state, *step_inputs)
    into = tape.gradient(
        after, state, total, tf.UnconnectedGradients.ZERO
    )
    return total, into

  zeros = tf.nest.map_structure(lambda x: tf.zeros_like(x[0]), upstream)
  totals, into = tf.scan(
      back, (before, inputs, upstream), (zeros, zeros), reverse=True
  )
  return totals, tf.nest.map_structure(lambda x: x[0], into)


def _at_once(step, weights, before, inputs, totals):
  """Gradients of weights and of inputs, from all steps in one batch: lists."""
  joined = lambda x: tf.reshape(x, [-1] + x.shape[2:].as_list())
  before, joined_inputs, totals = tf.nest.map_structure(
      joined, (before, inputs, totals)
  )
  floats = [x for x in joined_inputs if x.dtype.is_floating]
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tape.watch([floats, tf.nest.flatten(weights)])
    after = step(weights, before, *joined_inputs)
  of_floats, of_weights = tape.gradient(  # pyright: ignore[reportGeneralTypeIssues]
      after, [floats, tf.nest.flatten(weights)], totals,
      tf.UnconnectedGradients.ZERO,
  )
  of_floats = iter(of_floats)  # pyright: ignore[reportArgumentType, reportCallIssue]
  of_inputs = [
      tf.reshape(next(of_floats), tf.shape(x)) if x.dtype.is_floating else None
      for x in inputs
  ]
  return of_weights, of_inputs
