"""Imagination, actor-critic, whole updates and policies equal theirs."""

from golden import cases
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import returns
from dreamerv2_tfa import types
from dreamerv2_tfa.migration import weights
from dreamerv2_tfa.world_model import imagination

BEHAVIOURS = {
    'onehot_reinforce': (cases.DISCRETE, ()),
    'onehot_both': (cases.DISCRETE, (
        "ActorCritic.actor_gradient = 'both'",
        "ActorCritic.gradient_mix = 'linear(0.1,0.9,1000)'",
        "ActorCritic.entropy_scale = 'linear(0.1,0.01,2000)'")),
    'onehot_dynamics': (
        cases.DISCRETE, ("ActorCritic.actor_gradient = 'dynamics'",)),
    'trunc_normal_dynamics': (cases.BOX, ()),
    'trunc_normal_both': (
        cases.BOX, ("ActorCritic.actor_gradient = 'both'",)),
    'tanh_normal_dynamics': (
        cases.BOX, ("ActorCritic.actor_distribution = 'tanh_normal'",)),
    'no_continue_head': (cases.BOX, (
        'WorldModel.continue_head = False', 'RSSM.classes = 0',
        "WorldModel.grad_heads = ('decoder', 'reward')",
        'ActorCritic.reward_norm_momentum = 0.9')),
}
_STEP = 600  # that the schedules are read at
_GAMMA = 0.97


@pytest.fixture(params=BEHAVIOURS)
def made(request):
  """Golden file and agent of each actor-critic."""
  action, bindings = BEHAVIOURS[request.param]
  golden = cases.Golden(f'behaviour_{request.param}')
  agent = cases.make_agent(
      golden, 'dmc_proprio', 'WorldModel.continue_head = True',
      "WorldModel.grad_heads = ('decoder', 'reward', 'discount')",
      f'DreamerV2Agent.discount = {_GAMMA}', *bindings, action=action,
  )
  return golden, agent


def _start(golden):
  flat = lambda x: tf.reshape(x, [-1] + x.shape[2:].as_list())
  state = cases.state(golden.group('start'))
  return tf.nest.map_structure(flat, state)


def test_the_imagined_rollout(made, monkeypatch):
  golden, agent = made
  with cases.fed(monkeypatch) as feed:
    noise = golden.series('noise')
    feed.give(noise[:2 * cases.H])  # what is left is for the entropy
    rollout = imagination.imagine(
        agent.world_model.rssm, agent.actor_critic.actor, _start(golden),
        horizon=cases.H, seed=[0, 0],
    )
  wanted = golden.group('rollout')
  cases.assert_near(rollout.feature, wanted['feat'])
  cases.assert_near(rollout.action, wanted['action'])
  reward = agent.world_model.reward(rollout.feature)
  mean = golden['metrics/reward_mean']
  cases.assert_near(tf.reduce_mean(reward), mean)
  continue_ = 1.0 - golden['data/is_terminal'].astype(np.float32).reshape(-1)
  discount = agent.world_model.rollout_discount(
      rollout.feature, _GAMMA * continue_)
  cases.assert_near(discount, wanted['discount'])
  cases.assert_near(returns.state_weights(discount), wanted['weight'])
  value = agent.actor_critic.slow_critic(rollout.feature).mode()
  target = returns.lambda_returns(
      wanted['reward'][:-1], discount[:-1], value[:-1], value[-1],
      lambda_=0.95,
  )
  cases.assert_near(target, golden['target'])


def test_losses_targets_and_gradients(made, monkeypatch):
  golden, agent = made
  behaviour = agent.actor_critic
  continue_ = 1.0 - golden['data/is_terminal'].astype(np.float32).reshape(-1)
  variables = {key: value for key, value in weights.named(agent).items()
               if key.startswith(('actor/', 'critic/'))}
  with cases.fed(monkeypatch) as feed, tf.GradientTape(persistent=True) as tape:
    feed.give(golden.series('noise'))
    output = behaviour.loss(
        agent.world_model, types.Starts(_start(golden), _GAMMA * continue_),
        [0, 0], step=tf.constant(_STEP),
    )
  cases.assert_near(output.actor_loss, golden['actor_loss'])
  cases.assert_near(output.critic_loss, golden['critic_loss'])
  cases.assert_near(output.reward_magnitude, golden['magnitude'])
  for key, value in golden.group('metrics').items():
    cases.assert_near(output.metrics[key], value, name=key)
  wanted = golden.group('gradients')
  for part, loss in (('actor/', output.actor_loss),
                     ('critic/', output.critic_loss)):
    group = {k: v for k, v in variables.items() if k.startswith(part)}
    for key, slope in tape.gradient(loss, group).items():
      cases.assert_near(slope, wanted.pop(key), cases.GRADIENT, key)
  assert not wanted


RUNS = {
    'pixels': (cases.DISCRETE, 'atari', cases.IMAGE, (
        'ActorCritic.slow_critic_period = 2',
        'ActorCritic.slow_critic_fraction = 0.5',
        'ActorCritic.reward_norm_momentum = 0.9',
        'DreamerV2Agent.clip_norm = 10.0')),
    'vectors': (cases.BOX, 'dmc_proprio', cases.VECTORS, (
        'ActorCritic.slow_critic_period = 3',
        'WorldModel.free_nats = 0.1', 'DreamerV2Agent.weight_decay = 1e-2')),
    'plan2explore': (cases.DISCRETE, 'dmc_proprio', cases.VECTORS, (
        "DreamerV2Agent.exploration = 'plan2explore'",
        'WorldModel.continue_head = True', 'Plan2Explore.members = 3',
        'Plan2Explore.intrinsic_scale = 0.9',
        'Plan2Explore.extrinsic_scale = 0.2',
        'Plan2Explore.reward_norm_momentum = 0.8')),
    'plan2explore_log': (cases.BOX, 'dmc_proprio', cases.VECTORS, (
        "DreamerV2Agent.exploration = 'plan2explore'", 'RSSM.classes = 0',
        'Plan2Explore.members = 2', "Plan2Explore.target = 'deter'",
        'Plan2Explore.log = True', 'Plan2Explore.offset = 0',
        'Plan2Explore.action_conditioned = False')),
    'model_loss': (cases.DISCRETE, 'dmc_proprio', cases.VECTORS, (
        "DreamerV2Agent.exploration = 'model_loss'",
        'ModelLoss.intrinsic_scale = 0.9', 'ModelLoss.extrinsic_scale = 0.2')),
}


@pytest.mark.parametrize('case', RUNS)
def test_whole_updates_one_after_another(case, monkeypatch):
  action, preset, observation, bindings = RUNS[case]
  golden = cases.Golden(f'updates_{case}')
  agent = cases.make_agent(
      golden, preset, *bindings, observation=observation, action=action
  )
  variables = cases.named(agent)
  for i in range(5):
    with cases.fed(monkeypatch) as feed:
      feed.give(golden.series(f'noise/{i}'))
      batch = cases.experience(golden, action, f'data/{i}')
      metrics = agent.train(batch).extra
    wanted = golden.group(f'metrics/{i}')
    assert set(wanted) <= set(metrics)
    for key, value in wanted.items():
      cases.assert_near(metrics[key], value, cases.GRADIENT, f'{key} {i}')
    for key, value in golden.group(f'slow/{i}').items():
      cases.assert_near(variables[key], value, cases.GRADIENT, f'{key} {i}')
  for key, value in golden.group('after').items():
    cases.assert_near(variables[key], value, cases.GRADIENT, key)


POLICIES = {
    'discrete': (cases.DISCRETE, ()),
    'continuous': (cases.BOX, ()),
    'noisy': (cases.DISCRETE, (
        'DreamerV2Agent.collect_noise = 0.4',
        'DreamerV2Agent.eval_noise = 0.3')),
    'noisy_continuous': (
        cases.BOX, ('DreamerV2Agent.collect_noise = 0.4',)),
    'mode_latent': (
        cases.DISCRETE, ('DreamerV2Agent.eval_mode_latent = True',)),
}


@pytest.mark.parametrize('mode', ['eval', 'train'])
@pytest.mark.parametrize('case', POLICIES)
def test_policy_steps(case, mode, monkeypatch):
  action, bindings = POLICIES[case]
  golden = cases.Golden(f'policy_{case}')
  agent = cases.make_agent(golden, 'dmc_proprio', *bindings, action=action)
  policy = agent.policy if mode == 'eval' else agent.collect_policy
  sequence = cases.sequence(golden)
  state = policy.get_initial_state(cases.B)
  for t in range(cases.T):
    first = sequence.is_first[:, t]
    row = ts.TimeStep(
        tf.where(first, 0, 1), sequence.reward[:, t], sequence.continue_[:, t],
        {key: x[:, t] for key, x in sequence.observation.items()},
    )
    with cases.fed(monkeypatch) as feed:
      feed.give([golden[f'{mode}/noise/{t}/{i}'] for i in
                 range(len(golden.group(f'{mode}/noise/{t}')))])
      step = policy.action(row, state)
    state = step.state
    cases.assert_state_near(
        state.latent, golden.group(f'{mode}/latents/{t}')
    )
    wanted = golden[f'{mode}/actions/{t}']
    cases.assert_near(state.action, wanted)
    if action.dtype.is_integer:
      np.testing.assert_array_equal(step.action, np.argmax(wanted, -1))
    else:
      cases.assert_near(step.action, wanted)
