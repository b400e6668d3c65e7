"""Worker of `bin/bench peers`: sheeprl's DreamerV2, PyTorch on a CPU.

  benchmarks/sheeprl/python benchmarks/sheeprl/worker.py SETTINGS.json

`benchmarks/speed/protocol.py` says how it is talked to. Everything that is
timed is sheeprl's own: the agent of `build_agent`, its `train`, its player. The
configuration is that of its experiment `dreamer_v2`, with our sizes.
"""
# ruff: noqa: E402  (stdout is claimed before the libraries print)

import os
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.speed import protocol

_ANSWERS = protocol.claim_stdout()
# Its threads wait for each other by spinning, and where another program has
# their core, for ten times the work itself; so they are told to sleep.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import gymnasium
import hydra
import numpy as np
import omegaconf
import sheeprl
from sheeprl.algos.dreamer_v2 import agent as sheeprl_agent
from sheeprl.algos.dreamer_v2 import dreamer_v2
from sheeprl.algos.dreamer_v2 import utils as sheeprl_utils
from sheeprl.utils import utils as dictionaries
import torch

_PRECISIONS = {'32': '32-true', 'bf16': 'bf16-mixed'}
_GROUPS = ('world_model', 'actor', 'critic')
_MLPS = ('world_model.reward_model', 'world_model.discount_model', 'actor',
         'critic')
# Names in its configuration, under `algo`, by gin parameter.
_NAMES = {
    'DreamerV2Agent.discount': ('gamma',),
    'DreamerV2Agent.model_learning_rate': ('world_model.optimizer.lr',),
    'DreamerV2Agent.actor_learning_rate': ('actor.optimizer.lr',),
    'DreamerV2Agent.critic_learning_rate': ('critic.optimizer.lr',),
    'DreamerV2Agent.adam_epsilon': tuple(
        f'{group}.optimizer.eps' for group in _GROUPS),
    'DreamerV2Agent.clip_norm': tuple(
        f'{group}.clip_gradients' for group in _GROUPS),
    'DreamerV2Agent.weight_decay': tuple(
        f'{group}.optimizer.weight_decay' for group in _GROUPS),
    'WorldModel.kl_scale': ('world_model.kl_regularizer',),
    'WorldModel.kl_balance': ('world_model.kl_balancing_alpha',),
    'WorldModel.free_nats': ('world_model.kl_free_nats',),
    'WorldModel.free_avg': ('world_model.kl_free_avg',),
    'WorldModel.continue_scale': ('world_model.discount_scale_factor',),
    'WorldModel.continue_head': ('world_model.use_continues',),
    'RSSM.deter': ('world_model.recurrent_model.recurrent_state_size',),
    'RSSM.hidden': (
        'world_model.recurrent_model.dense_units',
        'world_model.transition_model.hidden_size',
        'world_model.representation_model.hidden_size'),
    'RSSM.stoch': ('world_model.stochastic_size',),
    'RSSM.classes': ('world_model.discrete_size',),
    'Encoder.depth': ('world_model.encoder.cnn_channels_multiplier',),
    'Decoder.depth': ('world_model.observation_model.cnn_channels_multiplier',),
    'MLP.layers': ('mlp_layers',),
    'MLP.units': ('dense_units',),
    'ActorCritic.horizon': ('horizon',),
    'ActorCritic.lambda_': ('lmbda',),
    'ActorCritic.actor_min_std': ('actor.min_std',),
    'ActorCritic.entropy_scale': ('actor.ent_coef',),
    'ActorCritic.slow_critic_period': (
        'critic.per_rank_target_network_update_freq',),
}
# Where it takes layer norm or none.
_NORMS = {
    'RSSM.norm': (
        'world_model.recurrent_model', 'world_model.transition_model',
        'world_model.representation_model'),
    'Encoder.norm': ('world_model.encoder',),
    'Decoder.norm': ('world_model.observation_model',),
    'MLP.norm': _MLPS,
}
# What it has no setting for: the only value that it can take.
_FIXED = {
    'DreamerV2Agent.exploration': 'greedy',
    'WorldModel.kl_forward': False,
    'WorldModel.reward_scale': 1.0,
    'RSSM.ensemble': 1,
    'RSSM.activation': 'elu',
    'Encoder.activation': 'elu',
    'Encoder.kernels': [4, 4, 4, 4],
    'Decoder.activation': 'elu',
    'Decoder.kernels': [5, 5, 6, 6],
    'MLP.activation': 'elu',
    'ActorCritic.actor_gradient': 'auto',
    'ActorCritic.actor_distribution': 'auto',
    'ActorCritic.slow_critic_fraction': 1.0,
    'ActorCritic.reward_norm_momentum': 1.0,
    'ActorCritic.reward_norm_scale': 1.0,
}


def check(settings):
  """Refuses what sheeprl cannot be set to.

  Raises:
    ValueError: If something is asked for that it has no setting for.
  """
  ours = settings['gin']
  for name, value in _FIXED.items():
    if ours.get(name, value) != value:
      raise ValueError(
          f'sheeprl has no setting for {name}, which is {value!r} there; got '
          f'{ours[name]!r}.')
  heads = {'decoder', 'reward'} | (
      {'discount'} if ours.get('WorldModel.continue_head', True) else set())
  if not heads <= set(ours.get('WorldModel.grad_heads', heads)):
    raise ValueError(
        f'In sheeprl all heads train the latents, {sorted(heads)}; got '
        f'WorldModel.grad_heads = {ours["WorldModel.grad_heads"]}.')
  if ours.get('RSSM.classes') == 0:
    raise ValueError('sheeprl has discrete latents only; got RSSM.classes = 0.')
  if settings['precision'] not in _PRECISIONS:
    raise ValueError(
        f'sheeprl on a CPU runs in {" or ".join(_PRECISIONS)}; got precision '
        f'{settings["precision"]!r}.')


def configure(settings):
  """Its configuration with our sizes; the batch holds transformed rewards."""
  check(settings)
  ours = settings['gin']
  given = {f'algo.{key}': ours[name] for name, keys in _NAMES.items()
           if name in ours for key in keys}
  given.update({
      f'algo.{key}.layer_norm': ours[name] == 'layer'
      for name, keys in _NORMS.items() if name in ours for key in keys})
  images, vectors = keys_by_rank(settings)
  given.update({
      **{f'algo.cnn_keys.{side}': images for side in ('encoder', 'decoder')},
      **{f'algo.mlp_keys.{side}': vectors for side in ('encoder', 'decoder')},
      'algo.per_rank_batch_size': settings['batch'],
      'algo.per_rank_sequence_length': settings['length'],
      'algo.compile.enabled': settings['jit'],
      'fabric.precision': _PRECISIONS[settings['precision']],
  })
  with hydra.initialize_config_module('sheeprl.configs', version_base='1.3'):
    config = hydra.compose('config', ['exp=dreamer_v2', 'env=dummy'])
  for key, value in given.items():
    omegaconf.OmegaConf.update(config, key, value)
  return dictionaries.dotdict(
      omegaconf.OmegaConf.to_container(config, resolve=True))


def keys_by_rank(settings):
  """Names of the images and of the vectors: two lists."""
  of_rank = lambda rank: [
      key for key, value in settings['observation'].items()
      if len(value['shape']) == rank]
  return of_rank(3), of_rank(1)


def channels_first(array):
  """`[..., height, width, channels]` with the channels before the rows."""
  return np.ascontiguousarray(np.moveaxis(array, -1, -3))


class Peer:
  """Its agent on made-up data."""

  def __init__(self, settings):
    self._settings, self._config = settings, configure(settings)
    self._images, _ = keys_by_rank(settings)
    self._fabric = hydra.utils.instantiate(
        self._config.fabric, _convert_='all')
    action = settings['action']
    self._continuous = 'box' in action
    self._actions = tuple(action['box']) if self._continuous else (
        action['discrete'],)
    space = gymnasium.spaces.Dict({
        key: gymnasium.spaces.Box(-np.inf, np.inf, array.shape, np.float32)
        for key, array in self._observations(()).items()})
    self._model, self._actor, self._critic, self._target, self._player = (
        sheeprl_agent.build_agent(
            self._fabric, self._actions, self._continuous, self._config, space))
    algo = self._config.algo
    self._optimizers = self._fabric.setup_optimizers(*(
        sheeprl_utils.build_optimizer(group.optimizer, module.parameters())
        for group, module in (
            (algo.world_model, self._model), (algo.actor, self._actor),
            (algo.critic, self._critic))))
    self._aggregator = hydra.utils.instantiate(
        self._config.metric.aggregator, _convert_='all')
    self._batch, self._updates = self._time_major(), 0

  def _observations(self, prefix):
    arrays = protocol.observations(self._settings['observation'], prefix)
    return {key: channels_first(value) if key in self._images else value
            for key, value in arrays.items()}

  def _time_major(self):
    """The batch as its replay buffer gives it: arrays `[T, B, ...]`."""
    data = protocol.batch(self._settings)
    flat = lambda name: data.pop(name).astype(np.float32)[..., None]
    data = {
        'actions': data.pop('action'), 'rewards': flat('reward'),
        'terminated': flat('is_terminal'), 'is_first': flat('is_first'), **data}
    return {
        key: np.ascontiguousarray(np.swapaxes(
            channels_first(value) if key in self._images else value, 0, 1))
        for key, value in data.items()}

  def _update(self):
    period = self._config.algo.critic.per_rank_target_network_update_freq
    if self._updates % period == 0:
      self._target.module.load_state_dict(self._critic.module.state_dict())
    tensors = {key: torch.as_tensor(value).to(self._fabric.device).float()
               for key, value in self._batch.items()}
    dreamer_v2.train(
        self._fabric, self._model, self._actor, self._critic, self._target,
        *self._optimizers, tensors, self._aggregator, self._config,
        self._actions)
    self._updates += 1

  def update(self, repeat):
    """Seconds of whole updates, and the most memory until now."""
    seconds = protocol.timed(self._update, repeat)
    return {'seconds': seconds, 'peak_rss_mb': protocol.peak_rss_mb()}

  def policy(self, batch, repeat):
    """Seconds of sampling policy steps; three go first, untimed."""
    observations = self._observations((batch,))
    self._player.num_envs = batch
    self._player.init_states()

    @torch.inference_mode()
    def step():
      tensors = sheeprl_utils.prepare_obs(
          self._fabric, observations, cnn_keys=self._images, num_envs=batch)
      actions = torch.cat(self._player.get_actions(tensors), -1)
      return actions.view(batch, -1).cpu().numpy()

    protocol.timed(step, 3)
    return {'seconds': protocol.timed(step, repeat)}

  def parameters(self):
    """Numbers of weights."""
    modules = self._model, self._actor, self._critic
    return {name: sum(p.numel() for p in module.parameters())
            for name, module in zip(_GROUPS, modules, strict=True)}


def main():
  """Builds, updates, serves."""
  settings = protocol.settings()
  if 'OMP_NUM_THREADS' not in os.environ:  # as many as TensorFlow takes
    torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.distributions.Distribution.set_default_validate_args(False)
  torch.manual_seed(0)
  peer = Peer(settings)
  first, second = peer.update(2)['seconds']
  protocol.say(_ANSWERS, {
      'ready': True, 'package': 'sheeprl',
      'versions': {'sheeprl': sheeprl.__version__, 'torch': torch.__version__},
      'parameters': peer.parameters(), 'first_update_seconds': first,
      'second_update_seconds': second,
  })
  protocol.serve(_ANSWERS, update=peer.update, policy=peer.policy)


if __name__ == '__main__':
  main()
