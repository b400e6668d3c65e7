"""A policy whose step XLA compiles to one program."""

from typing import Any

import tensorflow as tf
from tf_agents.policies import tf_policy


def of(policy: tf_policy.TFPolicy, jit: bool) -> tf_policy.TFPolicy:
  """The policy as it acts fastest here.

  Args:
    policy: Of an agent.
    jit: Of the agent: whether XLA compiles.
  """
  return FusedPolicy(policy) if jit else policy


class FusedPolicy(tf_policy.TFPolicy):
  """Acts as another policy, by XLA.

  A step is some 150 small operations. On a GPU each of them is a launch, which
  takes longer than its work does; XLA fuses them (benchmarks/NOTES.md, acting).
  The other policy stays as it is, for exports and other devices.
  """

  def __init__(self, policy: tf_policy.TFPolicy):
    """Compiles nothing yet: the first step does.

    Args:
      policy: Whose draws and variables it shares.
    """
    self._policy = policy
    self._step = tf.function(
        policy.action, jit_compile=True, autograph=False
    )
    super().__init__(
        policy.time_step_spec, policy.action_spec, policy.policy_state_spec,
        automatic_state_reset=False, name=policy.name,
    )

  @property
  def random_state(self) -> tuple[tf.Variable, ...]:
    """What the next draws depend on."""
    return self._policy.random_state  # pyright: ignore[reportAttributeAccessIssue]

  def _variables(self):
    return self._policy.variables()

  def _action(self, time_step: Any, policy_state, seed):
    return self._step(time_step, policy_state, seed)

  def _distribution(self, time_step, policy_state):
    return self._policy.distribution(time_step, policy_state)
