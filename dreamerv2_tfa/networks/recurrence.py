"""Steps along time: a scan whose gradient is cheap in weights and loops."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dreamerv2_tfa.networks import step_gradient


def scan(
    step: Callable[..., Any], weights: Any, inputs: tuple[tf.Tensor, ...],
    initial: Any,
) -> Any:
  """Applies a pure step along time.

    s_t = step(weights, s_{t-1}, *x_t)

  `tf.scan` would add up the gradient of every weight at each step, which for a
  few states a step is most of its cost. Here the loop back in time has only
  what depends on later steps; all else is one call on all steps:

    r     = what the gradient needs of (w, s_{t-1}, x_t)    one call
    g_t   = dL/ds_t + (ds_{t+1}/ds_t)^T g_{t+1}, from r     a loop, t = T .. 1
    dL/dw = sum_t (ds_t/dw)^T g_t, from r                   one call, as dL/dx_t

  Args:
    step: Function of weights, a state and the parts of an input to the next
      state. It reads no variable, and treats each element of a batch alone: it
      is called with `[B, ...]` and with `[T * B, ...]`.
    weights: Nest of float tensors.
    inputs: Tensors `[T, B, ...]` of known shapes.
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
      return _back(step, weights, before, inputs, upstream)

    return tf.nest.flatten(states), gradient

  return tf.nest.pack_sequence_as(initial, run(*tf.nest.flatten(structure)))


def _back(step, weights, before, inputs, upstream):
  """Gradients of weights, inputs and initial state: a list, None for integers.

  Args:
    step: Of `scan`.
    weights: Of `scan`.
    before: States s_0 to s_{T-1}, `[T, B, ...]`.
    inputs: Of `scan`.
    upstream: dL/ds_t, tensors `[T, B, ...]`.
  """
  length = upstream[0].shape[0]
  joined = lambda x: tf.reshape(x, [-1] + x.shape[2:].as_list())
  flat = tf.nest.map_structure(joined, (before, inputs))
  first = tf.nest.map_structure(lambda x: x[0], (before, inputs))
  every = step_gradient.StepGradient(step, weights, *flat)
  one = step_gradient.StepGradient(step, weights, *first)
  known = every.known(weights, *flat)
  of_steps = [
      _of_steps(*each, length) for each in zip(
          known, one.shapes, every.shapes, every.varies, strict=True)
  ]

  def back(later, x):
    slopes, here = x
    total = tuple(map(tf.add, slopes, later[1]))
    here = iter(here)
    needed = [
        whole if parts is None else next(here)
        for whole, parts in zip(known, of_steps, strict=True)
    ]
    return total, tuple(one.of_state(needed, total))

  zeros = tuple(tf.zeros_like(x[0]) for x in upstream)
  moving = tuple(parts for parts in of_steps if parts is not None)
  totals, into = tf.scan(
      back, (tuple(upstream), moving), (zeros, zeros), reverse=True
  )
  rest = every.of_rest(known, list(map(joined, totals)))
  count = len(tf.nest.flatten(weights))
  of_floats = iter(rest[count:])
  of_inputs = [
      tf.reshape(next(of_floats), x.shape) if x.dtype.is_floating else None
      for x in inputs
  ]
  return [*rest[:count], *of_inputs, *(x[0] for x in into)]


def _of_steps(tensor, one, every, varies, length):
  """A tensor of all steps as `[T, ...]`; None where all steps have it alike.

  Args:
    tensor: Computed of all steps in one batch.
    one: Its shape for one step; None if it is not known.
    every: Its shape for all steps.
    varies: Whether it depends on more than the weights.
    length: T.

  Raises:
    NotImplementedError: If it varies, and no axis is that of the batch.
  """
  if one is None:  # reserved by a normalisation, and empty
    return None
  if one == every and varies and length > 1:
    raise NotImplementedError(
        f'The gradient of a step needs a tensor of shape {one} that has no '
        'batch axis and is not of the weights alone.'
    )
  if one == every:
    return None
  axis = next(i for i, size in enumerate(one) if size != every[i])
  apart = tf.reshape(tensor, [*one[:axis], length, *one[axis:]])
  order = [axis, *(i for i in range(len(one) + 1) if i != axis)]
  return tf.transpose(apart, order) if axis else apart
