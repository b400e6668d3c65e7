"""A policy whose tensors have names that a SavedModel's signature can hold."""

import re
from typing import Any

import tensorflow as tf
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
import tree

from dreamerv2_tfa import specs


class NamedPolicy(tf_policy.TFPolicy):
  """A policy as it is, its specs under names of our own.

  TF-Agents calls the tensors of a signature by the path of their keys, such as
  '0/observation/image'. TensorFlow cannot take every key there: `a-b` and `a.b`
  are one name to it, as are `a` and `A`, and letters outside of ASCII none.
  """

  def __init__(self, policy: tf_policy.TFPolicy):
    """Takes over a policy; nothing of it is copied.

    Args:
      policy: Which acts.
    """
    self._policy = policy
    observation = specs.flat_observation(policy.time_step_spec.observation)
    names = iter(specs.tensor_names(observation).values())
    time_step: Any = policy.time_step_spec  # a `TimeStep`
    time_step_spec = _by_path('0', time_step._replace(
        observation=()
    ))._replace(observation=tf.nest.map_structure(
        lambda spec: specs.renamed(spec, f'0/observation/{next(names)}'),
        time_step.observation,
    ))
    super().__init__(
        time_step_spec, _by_path('action', policy.action_spec),
        _by_path('1', policy.policy_state_spec), name=policy.name,
        automatic_state_reset=False,
    )

  def _variables(self):
    return self._policy.variables()

  def _get_initial_state(self, batch_size):
    return self._policy.get_initial_state(batch_size)

  def _action(self, time_step, policy_state, seed):
    return self._policy.action(time_step, policy_state, seed=seed)

  def _distribution(self, time_step, policy_state):
    step = self._policy.distribution(time_step, policy_state)
    return policy_step.PolicyStep(step.action, step.state, step.info)


def needed(policy: tf_policy.TFPolicy) -> bool:
  """Whether TensorFlow cannot take the keys of the observation as names."""
  keys = specs.flat_observation(policy.time_step_spec.observation)
  # Where a name would not be unique, it is longer than its key.
  return any(
      len(name) > len(key) or not re.fullmatch('[A-Za-z0-9_./-]+', key)
      for key, name in specs.tensor_names(keys).items()
  )


def _by_path(start: str, nest: Any) -> Any:
  """Specs under the path of their keys."""
  return tree.map_structure_with_path(
      lambda path, spec: specs.renamed(
          spec, '/'.join(map(str, (start, *path)))
      ),
      nest,
  )
