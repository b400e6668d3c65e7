"""Tests of numbers in settings: 3.0 is 3, 1 is 1.0, and NumPy's are numbers."""

import ast
import json
import pathlib
import re

import gin
import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import atari  # noqa: F401 - its settings
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import library
from dreamerv2_tfa.training import train

_GIN = pathlib.Path(__file__).resolve().parents[1] / 'gin'
pytestmark = pytest.mark.usefixtures('clean')

_SIZES = {
    'RSSM.deter': 8, 'RSSM.hidden': 7, 'RSSM.stoch': 3, 'RSSM.classes': 4,
    'RSSM.ensemble': 2, 'Encoder.depth': 2, 'Decoder.depth': 2,
    'Encoder.kernels': (4, 4, 4, 4), 'Decoder.kernels': (5, 5, 6, 6),
    'MLP.layers': 1, 'MLP.units': 9, 'ActorCritic.horizon': 3,
    'ActorCritic.slow_critic_period': 2,
}
_RUN = {
    'steps': 80, 'prefill': 60, 'pretrain': 1, 'steps_per_update': 20,
    'environments': 1, 'batch_size': 3, 'sequence_length': 5,
    'replay_capacity': 1000, 'log_every': 40, 'eval_every': 100,
    'eval_episodes': 1, 'eval_steps': 30, 'save_every': 100, 'seed': 10,
    'explore_until': 0, 'environment_timeout': 600,
    'keep_checkpoints': 2,
}


def _numbers(name):
  """The numbers that a gin file binds, by name."""
  lines = (_GIN / f'{name}.gin').read_text(encoding='utf-8').splitlines()
  found = [re.match(r'(\S+) = ([^#]+)', line) for line in lines]
  values = {
      match.group(1): ast.literal_eval(match.group(2).strip())
      for match in found if match}
  return {
      key: value for key, value in values.items()
      if isinstance(value, int | float) and not isinstance(value, bool)}


def _other(value):
  """The same number, or numbers, of the other type."""
  if isinstance(value, tuple):
    return tuple(map(_other, value))
  return int(value) if isinstance(value, float) else float(value)


def _is_whole(value):
  return value == value // 1


def _updated(settings):
  """Weights and losses after three updates of an agent of these settings."""
  lines = [f'{name} = {value!r}' for name, value in settings.items()]
  agent = small.make_agent(
      *lines, "DreamerV2Agent.jit = 'off'",
      observation={**small.VECTORS, **small.IMAGE})
  losses = [agent.train(small.make_batch(agent)).loss for _ in range(3)]
  return small.values(agent.world_model) + small.values(
      agent.actor_critic) + [np.stack(losses)]


@pytest.fixture(scope='module')
def plain():
  return _updated(_SIZES)


def test_whole_numbers_of_an_agent_may_be_written_as_floats(plain):
  given = {name: _other(value) for name, value in _SIZES.items()}
  assert small.same(_updated(given), plain)


def test_the_other_numbers_of_an_agent_may_be_written_as_integers(plain):
  given = {
      name: _other(value) for name, value in _numbers('defaults').items()
      if not name.startswith('train.') and name not in _SIZES
      and _is_whole(value)}
  assert 'WorldModel.kl_scale' in given and 'DreamerV2Agent.clip_norm' in given
  assert small.same(_updated({**_SIZES, **given}), plain)


@pytest.mark.parametrize('bindings', [
    ('DreamerV2Agent.discount = 1', 'WorldModel.continue_head = False'),
    ('ActorCritic.lambda_ = 1', 'ActorCritic.slow_critic_fraction = 0'),
    ("ActorCritic.actor_gradient = 'both'", 'ActorCritic.gradient_mix = 1'),
])
def test_a_number_at_its_border_may_be_written_as_an_integer(bindings):
  agent = small.make_agent(*bindings, "DreamerV2Agent.jit = 'off'")
  assert np.isfinite(agent.train(small.make_batch(agent)).loss)


def test_every_whole_number_of_the_defaults_is_tried_here():
  whole = {
      name for name, value in _numbers('defaults').items()
      if isinstance(value, int) or name.startswith('train.')}
  tried = set(_SIZES) | {f'train.{name}' for name in _RUN}
  assert whole <= tried


@pytest.mark.slow
def test_a_run_with_floats_is_the_run_with_integers(tmp_path):
  reports = []
  for change in (int, float):
    root = tmp_path / change.__name__
    gin.clear_config()
    config.parse(
        ['quickstart.gin', 'debug.gin'],
        [f'train.{name} = {change(value)!r}' for name, value in _RUN.items()])
    train.train(root)
    lines = [json.loads(x) for x in (root / 'metrics.jsonl').open()]
    reports.append([
        {k: v for k, v in line.items() if k != 'fps'} for line in lines])
    assert json.loads((root / 'protocol.json').read_text())['seed'] == 10
  assert reports[0] == reports[1]


def test_whole_numbers_of_atari_may_be_written_as_floats():
  whole = {
      name: float(value) for name, value in _numbers('atari').items()
      if name.startswith('load_atari.') and isinstance(value, int)}
  assert 'load_atari.noops' in whole
  gin.parse_config([f'{name} = {value!r}' for name, value in whole.items()])
  task = tasks.load('atari_pong')
  assert task.action_repeat == 4 and isinstance(task.action_repeat, int)
  environment = task.make(3)
  environment.reset()
  step = environment.step(tf.constant([0]))
  assert step.observation['image'].shape == (1, 64, 64, 1)


def test_whole_numbers_of_gym_may_be_written_as_floats():
  gin.parse_config([
      'load_gym.action_repeat = 2.0', 'load_gym.max_steps = 3.0',
      'load_gym.size = 64.0'])
  task = tasks.load('gymnasium_CartPole-v1')
  assert task.action_repeat == 2
  environment = task.make(1)
  environment.reset()
  types = [int(environment.step(tf.constant([0])).step_type) for _ in range(3)]
  assert types == [1, 1, 2]


# Checks -----------------------------------------------------------------------


@pytest.mark.parametrize('value', [3, 3.0, np.int64(3), np.float32(3.0)])
def test_a_whole_number_is_returned_as_an_int(value):
  found = checks.integer('x', value)
  assert found == 3 and type(found) is int


@pytest.mark.parametrize('value', [1, 1.0, np.int32(1), np.float64(1.0)])
@pytest.mark.parametrize('check', [checks.number, checks.positive])
def test_a_number_is_returned_as_a_float(check, value):
  found = check('x', value)
  assert found == 1.0 and type(found) is float


@pytest.mark.parametrize('value', [
    2.5, float('nan'), float('inf'), '3', None, True, 2**63, 1e300, 0])
def test_what_is_no_whole_number_is_refused_with_what_was_got(value):
  with pytest.raises(checks.UserError, match=re.escape(f'got {value!r}')):
    checks.integer('x', value)


@pytest.mark.parametrize('value, line', [
    (np.float32(0.5), 'train.seed = 0.5'), (np.int64(3), 'train.seed = 3'),
    (pathlib.Path('a') / 'b', "train.seed = 'a/b'")])
def test_a_setting_of_another_library_is_written_as_gin_reads_it(value, line):
  assert library._binding('seed', value) == line


# Where an error comes from ----------------------------------------------------


def _raised(function):
  try:
    function()
  except Exception as error:
    return error


def test_what_a_check_refuses_is_a_refusal_and_a_value_error():
  error = _raised(lambda: checks.integer('x', 0))
  assert isinstance(error, ValueError) and checks.is_refusal(error)


@pytest.mark.parametrize('function', [
    lambda: tasks.load('atari_pogn'),  # a `raise` of this package's
    lambda: gin.parse_config('RSSM.detr = 3'),
], ids=['ours', 'gin'])
def test_what_we_or_gin_refuse_is_a_refusal(function):
  assert checks.is_refusal(_raised(function))


@pytest.mark.parametrize('function', [
    lambda: int('many'), lambda: np.zeros(3) + np.zeros(4), lambda: 1 + 'a',
    lambda: checks.number('x', 1, None),  # a slip of ours, not a refusal
], ids=['python', 'numpy', 'type', 'slip'])
def test_an_error_of_the_same_type_from_elsewhere_is_none(function):
  error = _raised(function)
  assert isinstance(error, ValueError | TypeError)
  assert not checks.is_refusal(error)
