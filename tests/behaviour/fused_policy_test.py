"""Tests of a policy whose step XLA compiles."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.behaviour import fused_policy

_STEPS = 20


def _played(policy):
  """Actions and last latents of some steps of three environments."""
  rng, state, actions = np.random.default_rng(0), None, []
  state = policy.get_initial_state(3)
  act = tf.function(policy.action, autograph=False)
  for number in range(_STEPS):
    kind = ts.StepType.MID if number else ts.StepType.FIRST
    images = rng.integers(0, 256, (3, 64, 64, 1), np.uint8)
    step = act(ts.TimeStep(
        tf.fill([3], kind), tf.zeros(3), tf.ones(3),
        {'image': tf.constant(images)}), state)
    state = step.state
    actions.append(step.action.numpy())
  return np.array(actions), state.latent.deter.numpy()


@pytest.mark.parametrize('kind', ['collect_policy', 'policy'])
@pytest.mark.parametrize('action', [small.DISCRETE, small.BOX])
def test_it_draws_and_acts_as_the_policy_does(kind, action):
  one, other = (
      getattr(small.make_agent(action=action, observation=small.IMAGE), kind)
      for _ in range(2))
  wanted, latents = _played(one)
  found, others = _played(fused_policy.FusedPolicy(other))
  assert np.allclose(found, wanted, atol=1e-4)
  assert np.allclose(others, latents, atol=1e-4)
  assert np.array_equal(*(
      policy.random_state[0].numpy() for policy in (one, other)))


def test_a_policy_that_explores_for_a_time_is_compiled_whole():
  step = tf.Variable(0, dtype=tf.int64)
  agent = small.make_agent(
      "DreamerV2Agent.exploration = 'random'", observation=small.IMAGE,
      exploration_steps=5, schedule_step=step)
  policy = fused_policy.FusedPolicy(agent.collect_policy)
  first, _ = _played(policy)
  step.assign(5)
  second, _ = _played(policy)
  assert not np.array_equal(first, second)


def test_the_switch_is_that_of_the_agent():
  on, off = (small.make_agent(jit=jit) for jit in ('on', 'off'))
  assert isinstance(
      fused_policy.of(on.policy, on.jit), fused_policy.FusedPolicy)
  assert fused_policy.of(off.policy, off.jit) is off.policy
