"""Tests of the policy for loops in Python: the same actions, fewer detours."""

import functools

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.policies import py_tf_eager_policy
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.behaviour import compiled_policy
from dreamerv2_tfa.behaviour import policy as policy_lib

STEPS = 4


@pytest.fixture(scope='module', params=['discrete', 'continuous'])
def agent(request):
  actions = {'discrete': small.DISCRETE, 'continuous': small.BOX}
  agent = small.make_agent(action=actions[request.param])
  small.randomise(agent.world_model, seed=0)
  small.randomise(agent.actor_critic.actor, seed=1)
  return agent


def time_step(step, batch=None):
  """Arrays of a time step, the first of an episode at step 0."""
  outer = [] if batch is None else [batch]
  rng = np.random.default_rng(step)
  draw = lambda *shape: rng.normal(size=outer + [*shape]).astype(np.float32)
  kind = ts.StepType.MID if step else ts.StepType.FIRST
  return ts.TimeStep(
      np.full(outer, kind, np.int32), np.zeros(outer, np.float32),
      np.ones(outer, np.float32), {'position': draw(3), 'speed': draw()})


def play(policy, batch=None):
  """Actions and the last state of a few steps of an episode."""
  state, actions = policy.get_initial_state(batch or 1), []
  for step in range(STEPS):
    action, state, _ = policy.action(time_step(step, batch), state)
    actions.append(np.asarray(action))
  return actions, state


def sampling(agent):
  """A policy that samples, with noise that starts anew."""
  return policy_lib.DreamerPolicy(
      agent.time_step_spec, agent.action_spec, agent.world_model,
      agent.actor_critic.actor, greedy=False, seed=4)


@pytest.mark.parametrize('batch', [None, 1, 3])
def test_actions_and_states_are_those_of_tf_agents_own_eager_policy(
    agent, batch):
  played = []
  for kind in (py_tf_eager_policy.PyTFEagerPolicy,
               compiled_policy.CompiledPolicy):
    played.append(play(
        kind(sampling(agent), batch_time_steps=batch is None), batch))
  (actions, state), (compiled_actions, compiled_state) = played
  alike = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
  alike(compiled_actions, actions)
  tf.nest.map_structure(alike, compiled_state, state)
  assert type(compiled_state) is type(state)


def test_every_batch_size_is_traced_once(agent, monkeypatch):
  traced, action = [], agent.policy.action

  def counted(*arguments):
    traced.append(1)
    return action(*arguments)

  monkeypatch.setattr(agent.policy, 'action', counted)
  policy = compiled_policy.CompiledPolicy(
      agent.policy, batch_time_steps=False)
  for batch in (2, 5, 2):
    play(policy, batch)
  assert len(traced) == 2


def test_a_seed_of_the_caller_repeats_an_action(agent):
  policy = compiled_policy.CompiledPolicy(agent.collect_policy)
  seed = tf.constant([3, 1])
  act = lambda: policy.action(
      time_step(0), policy.get_initial_state(1), seed=seed)
  np.testing.assert_array_equal(act().action, act().action)


def test_new_weights_are_acted_on_at_once(agent):
  policy = compiled_policy.CompiledPolicy(agent.policy)
  before = play(policy)[1].latent.deter
  small.randomise(agent.world_model, seed=7)
  assert not np.allclose(play(policy)[1].latent.deter, before)
