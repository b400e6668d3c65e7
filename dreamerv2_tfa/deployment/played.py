"""An export as a TF-Agents policy, to play with it as the agent plays."""

from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults


class ExportedPolicy(tf_policy.TFPolicy):
  """Acts as an export does, in Python, for `Evaluation`; keeps its state.

  An export takes what the environment shows, before the adapter that the agent
  was trained behind. So the observation is that of the environment inside, and
  the environment must be in this process.
  """

  def __init__(
      self, policy: client.Policy, environment: tf_environment.TFEnvironment,
  ):
    """Refuses an environment that the export was not made for.

    Args:
      policy: Of `load_policy`.
      environment: That it shall play, made by a `Task` in this process.

    Raises:
      UserError: If the action or the observations are others.
    """
    self._policy = policy
    self._adapted = batch.all_adapted(environment)
    action_spec: Any = environment.action_spec()
    self._dtype, self._shape = action_spec.dtype, action_spec.shape
    super().__init__(
        environment.time_step_spec(), action_spec,  # pyright: ignore[reportArgumentType]
        automatic_state_reset=False,
    )
    _check(policy.manifest, environment, self._adapted)

  def _variables(self):
    return ()

  def _action(self, time_step: Any, policy_state, seed):
    del seed
    keys = list(time_step.observation) if isinstance(
        time_step.observation, dict) else None

    def act(step_type, *observation):
      try:
        shown = self._shown(keys, observation)
        first = step_type == ts.StepType.FIRST
        if first.all():
          self._policy.reset()
        action = self._policy.act(shown, first)
        return np.asarray(action, self._dtype.as_numpy_dtype)
      except Exception as error:
        raise faults.note(error)  # noqa: B904, the error itself

    action = tf.numpy_function(
        act, [time_step.step_type, *tf.nest.flatten(time_step.observation)],
        self._dtype,
    )
    shape = time_step.step_type.shape.concatenate(self._shape)
    return policy_step.PolicyStep(
        tf.ensure_shape(action, shape), policy_state, ())

  def _shown(self, keys, observation):
    """What the environments show, `[N, ...]`."""
    if self._adapted:
      each = [
          adapted.raw.current_time_step().observation
          for adapted in self._adapted]
      return tree.map_structure(lambda *parts: np.stack(parts), *each)
    if keys is None:
      return observation[0]
    return dict(zip(sorted(keys), observation, strict=True))

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError('An export acts; use `action`.')


def _check(manifest, environment, adapted):
  """Refuses an environment of other specs than those of `policy.json`."""
  spec: Any = environment.action_spec()
  wanted = manifest['action']
  if (list(spec.shape), spec.dtype.name) != (
      wanted['shape'], wanted['dtype']):
    raise checks.UserError(
        f'The export takes actions {wanted["dtype"]} {wanted["shape"]}, the '
        f'environment {spec.dtype.name} {list(spec.shape)}. Give the task that '
        'it was trained on, --task=TASK.')
  shown = {
      part.key: list(part.shape) for part in adapted[0].parts
  } if adapted else {
      key: list(each.shape)
      for key, each in dict(environment.observation_spec()).items()}
  trained = {
      key: field['shape'] for key, field in manifest['observation'].items()}
  if set(shown) != set(trained) or not adapted and shown != trained:
    raise checks.UserError(
        f'The export observes {trained}, the environment shows {shown}. Give '
        'the task that it was trained on, --task=TASK, and its settings, '
        '--gin_bindings.')
