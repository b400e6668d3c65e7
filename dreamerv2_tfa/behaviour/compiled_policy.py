"""A policy for loops in Python: arrays in, actions out, little between."""

import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy
from tf_agents.policies import tf_policy


class CompiledPolicy(py_tf_eager_policy.PyTFEagerPolicy):
  """TF-Agents' `PyTFEagerPolicy` with less time between the steps.

  A `tf.function` sorts its nested arguments at each call, which takes longer
  than the networks of a small model. Here a step calls a concrete function with
  a flat list of tensors; it is made once for each batch size.
  """

  def __init__(self, policy: tf_policy.TFPolicy, batch_time_steps: bool = True):
    """Compiles nothing yet: the first step of a batch size does.

    Args:
      policy: `TFPolicy`.
      batch_time_steps: False where time steps have a batch axis already.
        Actions are then tensors, as there.
    """
    super().__init__(policy, True, batch_time_steps)
    self._seeded = self._policy_action_fn
    self._policy_action_fn = self._compiled_action
    self._functions = {}

  def _compiled_action(self, time_step, policy_state, seed=None):
    if seed is not None:  # a new one would be a new function each time
      return self._seeded(time_step, policy_state, seed=seed)
    inputs = tf.nest.flatten((time_step, policy_state))
    batch_size = inputs[0].shape[0]
    if batch_size not in self._functions:
      self._functions[batch_size] = self._compile(time_step, policy_state)
    function, structure = self._functions[batch_size]
    return tf.nest.pack_sequence_as(structure, function(*inputs))

  def _compile(self, *arguments):
    """The concrete function of such arguments, and the nest that it returns."""
    structure = None

    def flat(*inputs):
      nonlocal structure
      structure = self._policy.action(
          *tf.nest.pack_sequence_as(arguments, inputs))
      return tf.nest.flatten(structure)

    specs = [
        tf.TensorSpec.from_tensor(x) for x in tf.nest.flatten(arguments)]
    function = tf.function(flat, autograph=False).get_concrete_function(*specs)
    return function, tf.nest.map_structure(lambda x: None, structure)
