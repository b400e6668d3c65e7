"""What the agent itself does, step by step: what an export is compared with."""

import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common

from dreamerv2_tfa import noise
from dreamerv2_tfa import specs
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults

LENGTHS = (120, 90, 60)  # steps of streams played side by side


def record(
    environment: tf_environment.TFEnvironment, policy: policy_lib.DreamerPolicy,
    *, seed: int,
) -> dict[str, np.ndarray]:
  """Lets a policy play, alone, and notes what it saw and did.

  An adapted environment is played outside of its adapter: what it shows is
  read by `observations.Part`, and it is given the policy's actions as they are.

  Args:
    environment: Of one environment.
    policy: `DreamerPolicy`.
    seed: Of the latents; element k of `initial_state(streams, seed)` has
      stream k's first seed.

  Returns:
    Dict of arrays `[steps, ...]`, stream after stream, episodes end to end in
    each: `observation_<key>` as the environment shows it, `agent_<the same>` as
    the agent reads it, `is_first`, `action`, and `state_<field>` after the
    step; and `lengths` `[streams]`, steps of each.
  """
  adapted = batch.adapted(environment)
  world = environment if adapted is None else _Raw(adapted)
  act = common.function(policy.action)
  seeds = noise.split(tf.constant([seed, 0]), len(LENGTHS))
  entries = []
  for length, latent_seed in zip(LENGTHS, seeds, strict=True):  # pyright: ignore[reportArgumentType]
    time_step = world.reset()
    state = policy.get_initial_state(1)
    for _ in range(length):
      own, latent_seed = tf.unstack(noise.split(latent_seed, 2))
      step = act(time_step, state, seed=own)
      shown = None if adapted is None else world.shown  # pyright: ignore[reportAttributeAccessIssue]
      entries.append(_entry(time_step, step, latent_seed, shown))
      time_step, state = world.step(step.action), step.state
  together = {
      name: np.stack([entry[name] for entry in entries]) for name in entries[0]
  }
  return {**together, 'lengths': np.array(LENGTHS)}


def follow(
    policy: policy_lib.DreamerPolicy, record: dict[str, np.ndarray],
) -> np.ndarray:
  """What another policy does where the recorded one has been.

  Args:
    policy: `DreamerPolicy` that draws nothing.
    record: See `record`.

  Returns:
    Array of actions `[steps, ...]`.
  """
  act = common.function(policy.action)
  spec = policy.time_step_spec
  inputs = names.observations(specs.flat_observation(spec.observation))
  actions, entry = [], 0
  for length in record['lengths']:
    state = policy.get_initial_state(1)
    for _ in range(length):
      observation = [
          tf.constant(record[f'agent_{name}'][entry:entry + 1])
          for name in inputs.values()
      ]
      first = record[names.FIRST][entry:entry + 1]
      time_step = ts.TimeStep(
          tf.where(first, ts.StepType.FIRST, ts.StepType.MID), tf.zeros([1]),
          tf.ones([1]),
          tf.nest.pack_sequence_as(spec.observation, observation),
      )
      step = act(time_step, state)
      state, entry = step.state, entry + 1
      actions.append(step.action.numpy()[0])
  return np.stack(actions)


class _Raw:
  """The environment inside of an adapter, a batch of one in TensorFlow.

  Attributes:
    shown: Dict of what the environment showed last, as an export takes it.
  """

  def __init__(self, adapted):
    self._adapted = adapted
    self._steps = 0
    self.shown = None

  def reset(self):
    return self._read(self._call('reset'))

  def step(self, action):
    time_step = self._call('step', action.numpy()[0])
    self._steps += not time_step.is_first()
    return self._read(time_step)

  def _call(self, name, *arguments):
    try:
      return batch.apply(lambda: faults.call(
          self._adapted.raw, name, arguments, self._steps
      ))
    except faults.EnvironmentFailed as failure:
      raise faults.named('The environment', failure) from failure

  def _read(self, time_step):
    parts, observation = self._adapted.parts, time_step.observation
    self.shown = {
        part.key: part.prepare(part.find(observation)) for part in parts
    }
    read = adapt.read(parts, observation)
    return tf.nest.map_structure(
        lambda x: tf.constant(np.asarray(x)[None]),
        time_step._replace(observation=read),
    )


def _entry(time_step, step, seed, shown):
  observation = specs.flat_observation(time_step.observation)
  inputs = names.observations(observation)
  state = {**step.state.latent._asdict(), 'action': step.state.action}
  batched = {
      **{f'agent_{inputs[key]}': value for key, value in observation.items()},
      names.FIRST: time_step.is_first(), 'action': step.action,
      **names.state(state),
  }
  entry = {name: np.asarray(value)[0] for name, value in batched.items()}
  shown = {
      name: entry[f'agent_{name}'] if shown is None else shown[key]
      for key, name in inputs.items()
  }
  return {**entry, **shown, **names.state({'seed': seed.numpy()})}
