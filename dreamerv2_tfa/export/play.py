"""What the agent itself does, step by step: what an export is compared with."""

import numpy as np
import tensorflow as tf
from tf_agents.utils import common

from dreamerv2_tfa import noise
from dreamerv2_tfa import specs
from dreamerv2_tfa.export import names

LENGTHS = (120, 90, 60)  # steps of streams played side by side


def record(environment, policy, *, seed):
  """Lets a policy play, alone, and notes what it saw and did.

  Args:
    environment: `TFEnvironment` of one environment.
    policy: `DreamerPolicy`.
    seed: int, of the latents: row k of `initial_state(streams, seed)` has
      stream k's first seed.

  Returns:
    Dict of arrays `[steps, ...]`, stream after stream, episodes end to end in
    each: `observation_<key>`, `is_first`, `action`, and `state_<field>` after
    the step; and `lengths` `[streams]`, steps of each.
  """
  act = common.function(policy.action)
  seeds = noise.split(tf.constant([seed, 0]), len(LENGTHS))
  rows = []
  for length, seed in zip(LENGTHS, seeds, strict=True):
    time_step = environment.reset()
    state = policy.get_initial_state(1)
    for _ in range(length):
      own, seed = tf.unstack(noise.split(seed, 2))
      step = act(time_step, state, seed=own)
      rows.append(_row(time_step, step, seed))
      time_step, state = environment.step(step.action), step.state
  together = {
      name: np.stack([row[name] for row in rows]) for name in rows[0]
  }
  return {**together, 'lengths': np.array(LENGTHS)}


def _row(time_step, step, seed):
  observation = specs.flat_observation(time_step.observation)
  inputs = names.observations(observation)
  state = {**step.state.latent._asdict(), 'action': step.state.action}
  batched = {
      **{inputs[key]: value for key, value in observation.items()},
      names.FIRST: time_step.is_first(), 'action': step.action,
      **names.state(state),
  }
  row = {name: np.asarray(value)[0] for name, value in batched.items()}
  return {**row, **names.state({'seed': seed.numpy()})}
