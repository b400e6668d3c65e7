"""The gradient of a step in time, split by what depends on later steps."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any

import tensorflow as tf


class StepGradient:
  """How the gradient of a step follows from the slope of its state.

    known     r = what the gradient needs of weights, state and inputs
    of_state  (ds_{t+1}/ds_t)^T g, from r and the slope g
    of_rest   (ds_{t+1}/dw)^T g and (ds_{t+1}/dx)^T g, likewise

  The gradient is traced as TensorFlow differentiates the step, and cut where it
  meets the first tensor that depends on g. Two of different batch sizes have
  the same tensors in r, in the same order.

  Attributes:
    shapes: Of each tensor of r, a list; None where it is not known.
    varies: Whether each depends on more than the weights.
  """

  def __init__(
      self, step: Callable[..., Any], weights: Any, state: Any, inputs: Any,
  ):
    """Traces; computes nothing.

    Args:
      step: Pure function of weights, a state and the parts of an input.
      weights: Nest of float tensors.
      state: Nest of float tensors `[N, ...]` of known shapes, or their specs.
      inputs: Likewise a tuple; only floats have a gradient.
    """
    given = tf.nest.map_structure(
        lambda x: tf.TensorSpec(x.shape, x.dtype), (weights, state, inputs)
    )
    slopes, count = tf.nest.flatten(given[1]), len(tf.nest.flatten(given))

    def gradient(*flat):
      weights, state, inputs = tf.nest.pack_sequence_as(given, flat[:count])
      sources = [
          *tf.nest.flatten(state), *tf.nest.flatten(weights),
          *(x for x in inputs if x.dtype.is_floating),
      ]
      with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        after = tf.nest.flatten(step(weights, state, *inputs))
      return tape.gradient(
          after, sources, list(flat[count:]), tf.UnconnectedGradients.ZERO
      )

    traced = tf.compat.v1.wrap_function(
        gradient, [*tf.nest.flatten(given), *slopes]
    )
    taken, slopes = traced.inputs[:count], traced.inputs[count:]
    read = _cut(traced.graph, taken, slopes, traced.outputs)
    self.shapes = [
        None if x.shape.rank is None else x.shape.as_list() for x in read
    ]
    varying = _reached(
        traced.graph, taken[len(tf.nest.flatten(weights)):]
    )
    self.varies = [x.op.name in varying for x in read]
    self._traced, self._taken, self._read = traced, taken, read
    self._both, self._states = [*read, *slopes], len(slopes)

  @functools.cached_property
  def _known(self):
    return _part(self._traced.graph, self._taken, self._read)

  @functools.cached_property
  def _of_state(self):
    outputs = self._traced.outputs[:self._states]
    return _part(self._traced.graph, self._both, outputs)

  @functools.cached_property
  def _of_rest(self):
    outputs = self._traced.outputs[self._states:]
    return _part(self._traced.graph, self._both, outputs)

  def known(self, *given: Any) -> list[tf.Tensor]:
    """r, from weights, state and inputs."""
    return self._known(*tf.nest.flatten(given))

  def of_state(
      self, known: Sequence[tf.Tensor], slopes: Sequence[tf.Tensor],
  ) -> list[tf.Tensor]:
    """Gradient of each part of the state before the step.

    Args:
      known: r.
      slopes: Of the parts of the state after it.
    """
    return self._of_state(*known, *slopes)

  def of_rest(
      self, known: Sequence[tf.Tensor], slopes: Sequence[tf.Tensor],
  ) -> list[tf.Tensor]:
    """Gradients of all weights, then of the inputs that are floats."""
    return self._of_rest(*known, *slopes)


def _cut(graph, given, slopes, outputs):
  """Tensors that depend on `given` alone, and are read beside the slopes."""
  later = _reached(graph, slopes)
  before = _reached(graph, given)
  found = {}
  for operation in graph.get_operations():
    if operation.name in later:
      found.update({x.name: x for x in operation.inputs})
  found.update({x.name: x for x in outputs})
  return [
      x for x in found.values()
      if x.op.name in before and x.op.name not in later
  ]


def _reached(graph, sources):
  """Names of the operations that make, or depend on, one of the tensors."""
  names = {x.op.name for x in sources}
  for operation in graph.get_operations():  # in the order of their making
    if any(x.op.name in names for x in operation.inputs):
      names.add(operation.name)
  return names


def _part(graph, feeds, fetches):
  """The part of a graph from some tensors to others, as a function."""
  fed, names = {x.name for x in feeds}, set()
  left = [x.op for x in fetches if x.name not in fed]
  while left:
    operation = left.pop()
    if operation.name not in names:
      names.add(operation.name)
      left += [x.op for x in operation.inputs if x.name not in fed]
  part = tf.compat.v1.GraphDef()
  for operation in graph.get_operations():
    if operation.name in names:
      node = part.node.add()
      node.CopyFrom(operation.node_def)
      ordered = [x for x in node.input if x.startswith('^')]
      del node.input[len(node.input) - len(ordered):]
  used = {
      x.name for name in names
      for x in graph.get_operation_by_name(name).inputs
  }
  wanted = [x.name for x in fetches if x.name not in fed]

  def run(*values):
    given = {x.name: value for x, value in zip(feeds, values, strict=True)}
    computed = iter(tf.graph_util.import_graph_def(
        part, {name: given[name] for name in given if name in used}, wanted,
    ))
    return [
        given[x.name] if x.name in given else next(computed) for x in fetches
    ]

  specs = [tf.TensorSpec(x.shape, x.dtype) for x in feeds]
  return tf.compat.v1.wrap_function(run, specs)
