"""Every preset builds, no line is dead, and the numbers are the published."""

import inspect
import os
import pathlib

import gin
import pytest

from dreamerv2_tfa import agent
from dreamerv2_tfa import rendering
from dreamerv2_tfa.behaviour import actor_critic
from dreamerv2_tfa.behaviour import explorers
from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import crafter
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import minigrid
from dreamerv2_tfa.networks import decoder
from dreamerv2_tfa.networks import encoder
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import settings
from dreamerv2_tfa.training import train
from dreamerv2_tfa.world_model import rssm
from dreamerv2_tfa.world_model import world_model

_GIN = pathlib.Path(__file__).resolve().parents[1] / 'gin'
_OVERLAYS = (
    'debug', 'model_loss', 'plan2explore', 'random', 'size_l', 'size_m',
    'size_s',
)
_PRESETS = sorted(
    path.stem for path in _GIN.glob('*.gin') if path.stem not in _OVERLAYS
)
_CONFIGURABLES = {
    'train': settings.read,
    'DreamerV2Agent': agent.DreamerV2Agent.__init__,
    'WorldModel': world_model.WorldModel.__init__,
    'RSSM': rssm.RSSM.__init__,
    'Encoder': encoder.Encoder.__init__,
    'Decoder': decoder.Decoder.__init__,
    'MLP': layers.MLP.__init__,
    'ActorCritic': actor_critic.ActorCritic.__init__,
    'Plan2Explore': explorers.Plan2Explore.__init__,
    'ModelLoss': explorers.ModelLoss.__init__,
    'load_atari': atari.load,
    'load_crafter': crafter.load,
    'load_dmc': dm_control.load,
    'load_gym': gym.load,
    'load_minigrid': minigrid.load,
}
# The file that holds a configurable's numbers, where it is not the defaults.
_HOME = {
    'load_atari': 'atari', 'load_crafter': 'crafter',
    'load_dmc': 'dmc_vision', 'load_gym': 'gym', 'load_minigrid': 'minigrid',
    'Plan2Explore': 'plan2explore',
    'ModelLoss': 'model_loss',
}
# What a caller passes, so that no binding may: not in the gin files.
_WIRED = {
    'train': set(),
    'DreamerV2Agent': {
        'seed', 'train_step_counter', 'schedule_step', 'name',
        'exploration_steps', 'freeze_model',
        'time_step_spec', 'action_spec',
    },
    'WorldModel': {'observation_spec', 'action_size', 'discount', 'name'},
    'RSSM': {'action_size', 'embed_size', 'name'},
    'Encoder': {'observation_spec', 'name'},
    'Decoder': {'feature_size', 'observation_spec', 'name'},
    'MLP': {'input_size', 'name'},
    'ActorCritic': {'feature_size', 'action_size', 'discrete', 'name'},
    'Plan2Explore': {'world_model', 'action_size', 'name'},
    'ModelLoss': {'world_model', 'action_size', 'name'},
    **{f'load_{suite}': {'game'}
       for suite in ('atari', 'crafter', 'dmc', 'minigrid')},
    'load_gym': {'game', 'construct'},
}

# ALGORITHM: the table of presets, a row a number. None: as in the column
# before it that is included; the columns are in the order of _COLUMNS.
_COLUMNS = ('defaults', 'atari', 'dmc_vision', 'dmc_proprio', 'crafter')
_TABLE = {
    'train.steps': (1e8, 5e7, 1e8, 1e8, 1e8),
    'train.prefill': (1e4, 5e4, 1000, 1000, 1e4),
    'train.pretrain': (1, 1, 100, 100, 1),
    'train.steps_per_update': (5, 16, 5, 5, 5),
    'train.eval_every': (1e5, 2.5e5, 1e4, 1e4, 1e5),
    'train.log_every': (1e4, 1e4, 1e4, 1e4, 1e4),
    'train.replay_capacity': (2e6,) * 5,
    'train.batch_size': (16,) * 5,
    'train.sequence_length': (50,) * 5,
    'RSSM.deter': (1024, 600, 200, 200, 1024),
    'RSSM.hidden': (1024, 600, 200, 200, 1024),
    'RSSM.stoch': (32,) * 5,
    'RSSM.classes': (32,) * 5,
    'WorldModel.free_nats': (0, 0, 1, 1, 0),
    'WorldModel.kl_balance': (0.8,) * 5,
    'WorldModel.kl_scale': (1, 0.1, 1, 1, 1),
    'WorldModel.reward_scale': (1,) * 5,
    'WorldModel.continue_scale': (1, 5, 1, 1, 1),
    'WorldModel.continue_head': (True, True, False, False, True),
    'WorldModel.reward_transform': (
        'tanh', 'tanh', 'identity', 'identity', 'tanh',
    ),
    'DreamerV2Agent.model_learning_rate': (1e-4, 2e-4, 3e-4, 3e-4, 1e-4),
    'DreamerV2Agent.actor_learning_rate': (8e-5, 4e-5, 8e-5, 8e-5, 1e-4),
    'DreamerV2Agent.critic_learning_rate': (2e-4, 1e-4, 8e-5, 8e-5, 1e-4),
    'ActorCritic.entropy_scale': (2e-3, 1e-3, 1e-4, 1e-4, 3e-3),
    'DreamerV2Agent.discount': (0.99, 0.999, 0.99, 0.99, 0.999),
    'RSSM.norm': ('none',) * 4 + ('layer',),
    'Encoder.norm': ('none',) * 4 + ('layer',),
    'Decoder.norm': ('none',) * 4 + ('layer',),
    'MLP.norm': ('none',) * 4 + ('layer',),
    'ActorCritic.horizon': (15,) * 5,
    'ActorCritic.lambda_': (0.95,) * 5,
    'ActorCritic.slow_critic_period': (100,) * 5,
    'DreamerV2Agent.adam_epsilon': (1e-5,) * 5,
    'DreamerV2Agent.clip_norm': (100,) * 5,
    'DreamerV2Agent.weight_decay': (1e-6,) * 5,
}
# The paper's Atari table where it differs, and its full action space.
_PAPER = {
    'train.batch_size': 50, 'train.sequence_length': 50,
    'train.steps_per_update': 4, 'DreamerV2Agent.discount': 0.995,
    'load_atari.full_action_space': True,
}


pytestmark = pytest.mark.usefixtures('clean')


def _parse(*names, bindings=()):
  gin.add_config_file_search_path(str(_GIN))
  gin.parse_config_files_and_bindings(
      [str(_GIN / f'{name}.gin') for name in names], list(bindings)
  )


# What takes long to build, made small; every other line stays as read.
_SMALL = (
    'RSSM.deter = 8', 'RSSM.hidden = 8', 'MLP.units = 8', 'Encoder.depth = 2',
    'Decoder.depth = 2',
)


@pytest.mark.parametrize(
    'names', [(preset,) for preset in _PRESETS]
    + [(preset, 'debug') for preset in _PRESETS]
    + [('quickstart', overlay) for overlay in _OVERLAYS], ids='+'.join
)
def test_a_preset_builds_and_reads_every_line(names, monkeypatch, tmp_path):
  if 'dmc_vision' in names and os.environ['MUJOCO_GL'] == rendering.OFF:
    pytest.skip(rendering.INSTALL)
  # A capacity for image and vectors in colour, whatever this machine has.
  monkeypatch.setattr('dreamerv2_tfa.experience.memory.free', lambda: 10**12)
  _parse(*names, bindings=_SMALL)
  train.describe(tmp_path / 'run')
  assert config.unused() == []
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('column', _COLUMNS)
def test_a_preset_has_the_published_numbers(column):
  _parse(column)
  index = _COLUMNS.index(column)
  wanted = {name: row[index] for name, row in _TABLE.items()}
  assert {name: gin.query_parameter(name) for name in wanted} == wanted


def test_the_atari_task_has_the_published_protocol():
  _parse('atari')
  wanted = {
      'emulator': 'ale_py', 'action_repeat': 4, 'size': 64, 'grayscale': True,
      'noops': 30,
      'sticky': 0.25, 'full_action_space': False, 'max_steps': 27000,
      'terminal_on_life_loss': False, 'ram': False,
  }
  found = {key: gin.query_parameter(f'load_atari.{key}') for key in wanted}
  assert found == wanted


def test_the_paper_preset_differs_from_atari_by_the_papers_table_alone():
  _parse('atari')
  atari = {name: gin.query_parameter(name) for name in _TABLE}
  gin.clear_config()
  _parse('atari_paper')
  wanted = {**atari, **_PAPER}
  assert {name: gin.query_parameter(name) for name in wanted} == wanted


@pytest.mark.parametrize('name', sorted(_CONFIGURABLES))
def test_python_defaults_are_the_ones_in_the_gin_files(name):
  _parse(_HOME.get(name, 'defaults'))
  parameters = inspect.signature(_CONFIGURABLES[name]).parameters
  names = set(parameters) - _WIRED[name] - {'self'}
  found = {key: gin.query_parameter(f'{name}.{key}') for key in names}
  assert found == {key: parameters[key].default for key in names}


def test_sizes_are_widths_alone_each_larger_than_the_one_before():
  found = []
  for size in ('s', 'm', 'l'):
    gin.clear_config()
    _parse(f'size_{size}')
    lines = (_GIN / f'size_{size}.gin').read_text().splitlines()
    names = [line.split(' = ')[0] for line in lines if ' = ' in line]
    found.append({name: gin.query_parameter(name) for name in names})
  assert set(found[0]) == {
      'RSSM.deter', 'RSSM.hidden', 'Encoder.depth', 'Decoder.depth',
      'MLP.layers', 'MLP.units'}
  gin.clear_config()
  _parse('defaults')
  assert found[2] == {name: gin.query_parameter(name) for name in found[2]}
  for small, large in zip(found, found[1:], strict=False):
    assert set(small) == set(large)
    assert all(small[name] < large[name] for name in small)


@pytest.mark.parametrize(
    'path', sorted(_GIN.glob('*.gin')), ids=lambda path: path.stem
)
def test_a_gin_file_binds_nothing_twice_and_fits_the_page(path):
  lines = path.read_text(encoding='utf-8').splitlines()
  names = [line.split(' = ')[0] for line in lines if ' = ' in line]
  names = [name for name in names if not name.startswith('#')]
  assert len(names) == len(set(names))
  assert all(len(line) <= 80 for line in lines)
