"""The uniformly random policy of prefill, whose random state can be saved."""

from typing import Any

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

# Apart from the generators of environments, whose key is the seed itself: with
# the same numbers, a random action would tell what `Catch` draws.
_KEY = 2**40


class RandomPolicy(tf_policy.TFPolicy):
  """Draws actions uniformly from their bounds.

  TF-Agents' `RandomTFPolicy` draws from TensorFlow's global random state, which
  no checkpoint holds, so a prefill that is resumed would draw others.

  Attributes:
    generator: `tf.random.Generator` that is drawn from.
  """

  def __init__(
      self, time_step_spec: ts.TimeStep, action_spec: Any, *, seed: int):
    """Makes the policy.

    Args:
      time_step_spec: Of specs.
      action_spec: `BoundedTensorSpec`: integers, or a bounded box.
      seed: The same seed gives the same actions.
    """
    super().__init__(time_step_spec, action_spec)
    with tf.device('/cpu:0'):
      self.generator = tf.random.Generator.from_key_counter(
          seed + _KEY, [0, 0], 'philox'
      )

  def _variables(self):
    return (self.generator.state,)

  def _action(self, time_step: Any, policy_state, seed):
    del seed  # a driver gives none
    spec: Any = self.action_spec
    shape = tf.concat([tf.shape(time_step.step_type), spec.shape], 0)
    with tf.device('/cpu:0'):
      draw = self.generator.uniform(shape, dtype=tf.float64)
    low, high = (tf.cast(x, tf.float64) for x in (spec.minimum, spec.maximum))
    if spec.dtype.is_integer:  # each value as often as the others
      action = tf.minimum(low + tf.floor(draw * (high - low + 1)), high)
    else:
      action = low + draw * (high - low)
    return policy_step.PolicyStep(tf.cast(action, spec.dtype), policy_state, ())

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError('This policy acts, and has no distribution.')
