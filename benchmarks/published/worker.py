"""Worker of `bin/bench peers`: the published package (dreamerv2 2.2.0).

  benchmarks/published/python benchmarks/published/worker.py SETTINGS.json

`benchmarks/speed/protocol.py` says how it is talked to. An update is a call of
the package's `Agent.train` as its `train.py` makes it, a policy step one of its
`Agent.policy` as its driver makes it.
"""
# ruff: noqa: E402  (stdout is claimed before the libraries print)

import pathlib
import subprocess
import sys

_HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(_HERE.parents[1]))

from benchmarks.speed import protocol

_ANSWERS = protocol.claim_stdout()

import gym
import numpy as np
import published
import tensorflow as tf

_POLICIES = {'32': 'float32', 'bf16': 'mixed_bfloat16', '16': 'mixed_float16'}
_HEADS = ('reward_head', 'discount_head', 'actor', 'critic')
_OPTIMIZERS = ('model_opt', 'actor_opt', 'critic_opt')
# Names in its configuration by gin parameter.
_NAMES = {
    'DreamerV2Agent.discount': ('discount',),
    'DreamerV2Agent.model_learning_rate': ('model_opt.lr',),
    'DreamerV2Agent.actor_learning_rate': ('actor_opt.lr',),
    'DreamerV2Agent.critic_learning_rate': ('critic_opt.lr',),
    'DreamerV2Agent.adam_epsilon': tuple(f'{o}.eps' for o in _OPTIMIZERS),
    'DreamerV2Agent.clip_norm': tuple(f'{o}.clip' for o in _OPTIMIZERS),
    'DreamerV2Agent.weight_decay': tuple(f'{o}.wd' for o in _OPTIMIZERS),
    'DreamerV2Agent.collect_noise': ('expl_noise',),
    'WorldModel.kl_scale': ('loss_scales.kl',),
    'WorldModel.kl_balance': ('kl.balance',),
    'WorldModel.free_nats': ('kl.free',),
    'WorldModel.free_avg': ('kl.free_avg',),
    'WorldModel.kl_forward': ('kl.forward',),
    'WorldModel.reward_scale': ('loss_scales.reward',),
    'WorldModel.continue_scale': ('loss_scales.discount',),
    'WorldModel.continue_head': ('pred_discount',),
    'WorldModel.grad_heads': ('grad_heads',),
    'RSSM.deter': ('rssm.deter',),
    'RSSM.hidden': ('rssm.hidden',),
    'RSSM.stoch': ('rssm.stoch',),
    'RSSM.classes': ('rssm.discrete',),
    'RSSM.ensemble': ('rssm.ensemble',),
    'RSSM.activation': ('rssm.act',),
    'RSSM.norm': ('rssm.norm',),
    'RSSM.std_activation': ('rssm.std_act',),
    'RSSM.min_std': ('rssm.min_std',),
    'Encoder.image_keys': ('encoder.cnn_keys',),
    'Encoder.vector_keys': ('encoder.mlp_keys',),
    'Encoder.depth': ('encoder.cnn_depth',),
    'Encoder.activation': ('encoder.act',),
    'Encoder.norm': ('encoder.norm',),
    'Encoder.kernels': ('encoder.cnn_kernels',),
    'Decoder.image_keys': ('decoder.cnn_keys',),
    'Decoder.vector_keys': ('decoder.mlp_keys',),
    'Decoder.depth': ('decoder.cnn_depth',),
    'Decoder.activation': ('decoder.act',),
    'Decoder.norm': ('decoder.norm',),
    'Decoder.kernels': ('decoder.cnn_kernels',),
    'MLP.layers': tuple(f'{head}.layers' for head in _HEADS),
    'MLP.units': tuple(f'{head}.units' for head in _HEADS),
    'MLP.activation': tuple(f'{head}.act' for head in _HEADS),
    'MLP.norm': tuple(f'{head}.norm' for head in _HEADS),
    'ActorCritic.horizon': ('imag_horizon',),
    'ActorCritic.lambda_': ('discount_lambda',),
    'ActorCritic.actor_min_std': ('actor.min_std',),
    'ActorCritic.entropy_scale': ('actor_ent',),
    'ActorCritic.slow_critic_period': ('slow_target_update',),
    'ActorCritic.slow_critic_fraction': ('slow_target_fraction',),
    'ActorCritic.actor_gradient': ('actor_grad',),
    'ActorCritic.actor_distribution': ('actor.dist',),
    'ActorCritic.gradient_mix': ('actor_grad_mix',),
    'ActorCritic.reward_norm_momentum': ('reward_norm.momentum',),
    'ActorCritic.reward_norm_scale': ('reward_norm.scale',),
    'ActorCritic.reward_norm_epsilon': ('reward_norm.eps',),
}


def configure(settings):
  """Its configuration with our sizes; the batch holds transformed rewards."""
  ours = settings['gin']
  given = {key: ours[name] for name, theirs in _NAMES.items() if name in ours
           for key in theirs}
  if 'MLP.layers' in ours and 'MLP.units' in ours:
    widths = [ours['MLP.units']] * ours['MLP.layers']
    given.update({'encoder.mlp_layers': widths, 'decoder.mlp_layers': widths})
  return published.configure(clip_rewards='identity').update(given)


def spaces(settings):
  """Observation and action spaces, as its environments have them."""
  box = lambda low, high, shape, dtype: gym.spaces.Box(
      low, high, tuple(shape), dtype)
  observed = {
      key: box(0, 255, value['shape'], np.uint8) if value['dtype'] == 'uint8'
      else box(-np.inf, np.inf, value['shape'], np.float32)
      for key, value in settings['observation'].items()}
  flags = {key: box(0, 1, (), bool)
           for key in ('is_first', 'is_last', 'is_terminal')}
  reward = {'reward': box(-np.inf, np.inf, (), np.float32)}
  if 'discrete' in settings['action']:
    count = settings['action']['discrete']
    action = box(0, 1, (count,), np.float32)
    action.n = count
  else:
    action = box(-1, 1, settings['action']['box'], np.float32)
  return {**observed, **reward, **flags}, {'action': action}


class Peer:
  """Its agent on made-up data."""

  def __init__(self, settings):
    self._settings = settings
    observed, action = spaces(settings)
    self._agent = published.agent.Agent(
        configure(settings), observed, action, published.common.Counter(0))
    self._train = published.common.CarryOverState(self._agent.train)
    data = protocol.batch(settings)
    self._batch = {**data, 'is_last': data['is_terminal']}

  def _update(self):
    tensors = {k: tf.convert_to_tensor(v) for k, v in self._batch.items()}
    metrics = self._train(tensors)
    tf.nest.map_structure(np.asarray, metrics)  # waits

  def update(self, repeat):
    """Seconds of whole updates, and the most memory until now."""
    seconds = protocol.timed(self._update, repeat)
    return {'seconds': seconds, 'peak_rss_mb': protocol.peak_rss_mb()}

  def policy(self, batch, repeat):
    """Seconds of sampling policy steps; three go first, untimed."""
    flags = dict.fromkeys(('is_last', 'is_terminal'), np.zeros(batch, bool))
    observation = {
        **protocol.observations(self._settings['observation'], (batch,)),
        **flags, 'is_first': np.ones(batch, bool),
        'reward': np.zeros(batch, np.float32)}
    state = None

    def step():
      nonlocal state
      outputs, state = self._agent.policy(observation, state, mode='train')
      observation['is_first'] = np.zeros(batch, bool)
      return np.array(outputs['action'])

    protocol.timed(step, 3)
    return {'seconds': protocol.timed(step, repeat)}

  def parameters(self):
    """Numbers of weights."""
    count = lambda *modules: int(sum(
        np.prod(v.shape) for module in modules for v in module.variables))
    model, behaviour = self._agent.wm, self._agent._task_behavior
    return {
        'world_model': count(
            model.encoder, model.rssm, *model.heads.values()),
        'actor': count(behaviour.actor), 'critic': count(behaviour.critic),
    }


def environment(repeat):
  """Seconds of all steps of its Atari path: `atari/step.py` elsewhere."""
  folder = _HERE / 'atari'
  done = subprocess.run(
      [folder / 'python', folder / 'step.py', str(repeat)],
      capture_output=True, text=True)
  sys.stderr.write(done.stderr)
  if done.returncode:
    raise RuntimeError(
        f'No Atari environment: {done.stderr.strip().splitlines()[-1]}')
  return {'seconds': float(done.stdout.split()[-1])}


def main():
  """Builds, updates once, serves."""
  settings = protocol.settings()
  if settings['jit']:
    raise ValueError('The published package does not run under XLA: jit=false.')
  tf.keras.mixed_precision.set_global_policy(_POLICIES[settings['precision']])
  peer = Peer(settings)
  # It traces twice: the first update begins without a state, the second with.
  first, second = peer.update(2)['seconds']
  protocol.say(_ANSWERS, {
      'ready': True, 'package': 'dreamerv2',
      'versions': {'dreamerv2': '2.2.0', 'tensorflow': tf.__version__},
      'parameters': peer.parameters(), 'first_update_seconds': first,
      'second_update_seconds': second,
  })
  protocol.serve(_ANSWERS, update=peer.update, policy=peer.policy,
                 environment=environment)


if __name__ == '__main__':
  main()
