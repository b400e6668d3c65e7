"""Tests of resuming: a run's folder says its presets, task and settings."""

import json
import shutil

import gin
import gymnasium
import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa import results
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import library
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import train

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def folder(tmp_path):
  """Returns a function that writes what a run was, and returns its folder."""
  root = tmp_path / 'run'

  def make(*lines, task='catch', presets=('quickstart', 'mine')):
    root.mkdir()
    (root / 'operative_config.gin').write_text('\n'.join(lines) + '\n')
    (root / 'protocol.json').write_text(json.dumps({
        'task': task, 'action_repeat': 1, 'precision': 'float32', 'seed': 3,
        'presets': presets,
    }))
    return root

  return make


_RUN = (
    "train.task = 'catch'", 'train.seed = 3', 'train.steps = 77',
    'RSSM.deter = 12', 'reward/MLP.units = 9', 'train.model_from = None',
)


def _bound(*names):
  return [gin.query_parameter(name) for name in names]


# Which settings a run has -----------------------------------------------------


def test_a_folder_alone_gives_the_settings_that_its_run_had(folder):
  assert run_settings.parse(folder(*_RUN), [], []) == ['quickstart', 'mine']
  assert _bound(
      'train.task', 'train.seed', 'train.steps', 'RSSM.deter',
      'reward/MLP.units') == ['catch', 3, 77, 12, 9]
  # The preset's own number is not read again.
  with pytest.raises(ValueError):
    gin.query_parameter('RSSM.hidden')


def test_given_bindings_and_files_lie_on_top_in_this_order(folder, tmp_path):
  (tmp_path / 'other.gin').write_text('RSSM.deter = 13\nRSSM.hidden = 14\n')
  names = run_settings.parse(
      folder(*_RUN), [tmp_path / 'other.gin'], ['RSSM.hidden = 15'])
  assert names == ['quickstart', 'mine', 'other']
  assert _bound('RSSM.deter', 'RSSM.hidden', 'train.seed') == [13, 15, 3]


def test_a_preset_that_the_run_had_is_named_once(folder):
  names = run_settings.parse(
      folder(*_RUN), ['quickstart'], ['train.steps = 78'])
  assert names == ['mine', 'quickstart']  # the one that wins is the last
  assert _bound('RSSM.deter', 'train.steps') == [128, 78]


def test_a_folder_without_a_run_gets_the_preset_of_the_task(tmp_path):
  assert run_settings.parse(
      tmp_path / 'new', [], ["train.task = 'atari_pong'"]) == ['atari']
  assert _bound('train.task', 'RSSM.deter') == ['atari_pong', 600]


def test_overlays_lie_over_the_preset_of_the_task(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = run_settings.parse(
      'new', ['debug', 'gin/random.gin'], ["train.task = 'atari_pong'"])
  assert names == ['atari', 'debug', 'random']
  assert _bound('RSSM.deter', 'WorldModel.kl_scale') == [16, 0.1]
  gin.clear_config()
  assert run_settings.parse('new', ['crafter', 'debug'], []) == [
      'crafter', 'debug']
  gin.clear_config()
  (tmp_path / 'debug.gin').write_text('RSSM.deter = 5\n')  # not ours
  (tmp_path / 'whole.gin').write_text("include 'mine.gin'\n")
  (tmp_path / 'mine.gin').write_text("include 'crafter.gin'\n")
  assert run_settings.parse('new', ['debug.gin'], []) == [
      'quickstart', 'debug.gin']
  assert _bound('RSSM.deter', 'RSSM.stoch') == [5, 8]
  gin.clear_config()
  assert run_settings.parse('new', ['debug'], []) == ['quickstart', 'debug']
  assert _bound('RSSM.deter') == [16]
  gin.clear_config()
  assert run_settings.parse('new', ['whole.gin', 'debug.gin'], []) == [
      'whole', 'debug.gin']


@pytest.mark.parametrize('name, meant', [
    ('rewad/MLP.units', 'reward'), ('modl/Optimizer.clip_norm', 'model'),
    ('reward/Optimizer.clip_norm', 'actor'),
])
def test_a_part_that_is_none_is_refused(name, meant, tmp_path):
  with pytest.raises(checks.UserError, match=f'no part.*{meant}'):
    run_settings.parse(tmp_path, [], [f'{name} = 20'])


def test_another_task_is_left_to_be_refused_with_both_names(folder):
  run_settings.parse(folder(*_RUN), [], ["train.task = 'atari_pong'"])
  assert _bound('train.task') == ['atari_pong']


def test_a_run_on_an_object_is_resumed_from_python_alone(folder):
  root = folder(*_RUN[1:], task='Cart')
  with pytest.raises(checks.UserError, match="'Cart'.*from Python"):
    run_settings.parse(root, [], [])
  gin.clear_config()
  run_settings.parse(root, [], [], make_task=lambda: None)
  assert _bound('RSSM.deter') == [12]


def test_settings_that_are_gone_are_needed_unless_files_are_given(folder):
  root = folder(*_RUN)
  (root / 'operative_config.gin').unlink()
  with pytest.raises(ValueError, match='operative_config.gin is missing'):
    run_settings.parse(root, [], [])
  assert run_settings.parse(root, ['quickstart'], []) == ['quickstart']


@pytest.mark.parametrize('name', ['replay_from', 'model_from'])
def test_a_folder_of_another_run_is_the_same_from_anywhere(
    name, tmp_path, monkeypatch):
  (tmp_path / 'there').mkdir()
  monkeypatch.chdir(tmp_path)
  run_settings.parse(None, ['debug'], [f"train.{name} = 'there/../other run'"])
  path, = _bound(f'train.{name}')
  monkeypatch.chdir('/')
  assert path == f'{tmp_path}/there/../other run'


def test_a_url_of_another_run_is_refused_at_once():
  with pytest.raises(ValueError, match='train.replay_from must be the path'):
    run_settings.parse(None, ['debug'], ["train.replay_from = 'gs://a/b'"])


# The preset of an environment of one's own ------------------------------------


class Shows(gymnasium.Env):
  """Shows what it is told to."""

  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, space):
    self.observation_space = space

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    return self.observation_space.sample(), {}

  def step(self, action):
    return self.observation_space.sample(), 0.0, False, False, {}


_PICTURE = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
_VECTOR = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


@pytest.mark.parametrize('space, preset', [
    (_VECTOR, 'gym_small'), (_PICTURE, 'gym_pixels_small'),
    (gymnasium.spaces.Dict(eye=_PICTURE, joints=_VECTOR), 'gym_pixels_small'),
    (gymnasium.spaces.Dict(a=_VECTOR, b=gymnasium.spaces.Discrete(3)),
     'gym_small'),
])
def test_an_object_has_the_preset_of_what_it_shows(
    space, preset, tmp_path, monkeypatch):
  called = []
  monkeypatch.setattr(results, 'Run', lambda *_: None)  # nothing is written
  monkeypatch.setattr(
      train, 'train', lambda root, **kwargs: called.append(kwargs['presets']))
  dreamerv2_tfa.train(Shows(space), root_dir=tmp_path / 'run')
  assert called == [[preset]]


def test_settings_of_the_adapter_decide_what_is_shown(tmp_path):
  names = run_settings.parse(
      tmp_path / 'run', [], ["load_gym.keys = 'joints'"],
      make_task=lambda: library._task(
          Shows(gymnasium.spaces.Dict(eye=_PICTURE, joints=_VECTOR))))
  assert names == ['gym_small']


@pytest.mark.parametrize('task', ['gym_CartPole-v1', 'gymnasium_CartPole-v1'])
def test_a_registered_environment_is_looked_at(task, tmp_path):
  assert run_settings.parse(
      tmp_path / 'run', [], [f'train.task = {task!r}']) == ['gym_small']
  assert _bound('train.task') == [task]


def test_a_look_alone_takes_no_model():
  assert run_settings.parse(
      None, [], ["train.task='gym_CartPole-v1'"]) == ['gym']


def test_every_preset_that_is_chosen_is_there():
  chosen = {'gym_small', 'gym_pixels_small', presets.PUBLISHED}
  assert {f'{name}.gin' for name in chosen} <= set(presets.names())


# The runs that a run learns from ----------------------------------------------


@pytest.mark.parametrize('before, now, kept', [
    ('None', None, True), ("'/a/b'", '/a/b', True), ("'b'", '/a/b', True),
    ("'/a/b'", 'b', True), ("'~/b'", '/home/me/b', True),
    ("'/a/b'", None, False), ('None', '/a/b', False), ("'/a/b'", '/a/c', False),
])
def test_a_run_keeps_the_world_model_that_it_has_frozen(
    before, now, kept, folder, monkeypatch):
  root = folder(f'train.model_from = {before}')
  monkeypatch.setenv('HOME', '/home/me')
  monkeypatch.setattr('os.getcwd', lambda: '/a')
  comparison.check_model(runs.RunFolder(root), now, stored=False)
  if kept:
    comparison.check_model(runs.RunFolder(root), now)
  else:
    with pytest.raises(ValueError, match='Leave train.model_from out') as error:
      comparison.check_model(runs.RunFolder(root), now)
    assert str(now) in str(error.value) and str(root) in str(error.value)


@pytest.mark.parametrize('one, other, same', [
    ('catch', 'catch', True), ('catch', 'atari_pong', False),
    ('dmc_walker_walk', 'dmc_walker_run', False),
    ('gym_CartPole-v1', 'gymnasium_CartPole-v1', True),
    ('CartPole-v1', 'gym_CartPole-v1', True), ('mine:Cart', 'Cart', True),
    ('mine:Cart', 'theirs:Pole', False), ('gym_Cart-v0', 'gym_Cart-v1', False),
])
def test_an_environment_is_known_under_all_its_names(one, other, same):
  assert protocol.is_same_task(one, other) == same
  assert protocol.is_same_task(other, one) == same


_SETTINGS = {
    'RSSM.deter': 8, 'RSSM.hidden': 8, 'RSSM.stoch': 3, 'RSSM.classes': 4,
    'Encoder.depth': 2, 'Decoder.depth': 2, 'MLP.layers': 1, 'MLP.units': 8,
    'ActorCritic.horizon': 3, 'precision': '32', 'steps': 80, 'prefill': 60,
    'pretrain': 1, 'steps_per_update': 10, 'batch_size': 2, 'seed': 4,
    'sequence_length': 5, 'replay_capacity': 1000, 'log_every': 20,
    'eval_every': 1000, 'eval_episodes': 1, 'save_every': 1000,
}


class Ticks(gymnasium.Env):
  """A clock of ten steps, of which every task here is another."""

  observation_space = gymnasium.spaces.Box(0, 10, (1,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.time = 0
    return np.zeros(1, np.float32), {}

  def step(self, action):
    self.time += 1
    return np.float32([self.time]), 1.0, self.time == 10, False, {}


class Tocks(Ticks):
  """Another task of the same spaces."""


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  """The folder of a run on `Ticks`."""
  root = tmp_path_factory.mktemp('source') / 'run'
  dreamerv2_tfa.train(Ticks, root_dir=root, preset='defaults', **_SETTINGS)
  return root


@pytest.mark.slow
@pytest.mark.parametrize('name', ['replay_from', 'model_from'])
def test_a_run_of_another_task_is_refused_with_both_names(
    name, source, tmp_path):
  with pytest.raises(ValueError, match='task Tocks, and Ticks there'):
    dreamerv2_tfa.train(
        Tocks, root_dir=tmp_path / 'run', preset='defaults',
        **{**_SETTINGS, name: source})
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
@pytest.mark.parametrize('name', ['replay_from', 'model_from'])
def test_a_file_of_a_run_that_is_learned_from_is_told_where_it_has_changed(
    name, source, tmp_path, capsys):
  other = tmp_path / 'other'
  shutil.copytree(source, other)
  path = other / 'operative_config.gin'
  path.write_text(path.read_text().replace('train.seed = 4', 'train.seed = 5'))
  settings = {**_SETTINGS, name: other}
  dreamerv2_tfa.train(
      Ticks, root_dir=tmp_path / 'run', preset='defaults', **settings)
  assert f'Note: {path} is not as the run has' in capsys.readouterr().out


@pytest.mark.slow
def test_a_loaded_agent_is_of_the_task_that_is_wanted(source):
  with pytest.raises(ValueError, match='of the task Ticks; wanted catch'):
    dreamerv2_tfa.load_agent(source, task='catch')
  assert dreamerv2_tfa.load_agent(source, task='mine:Ticks') is not None


@pytest.mark.slow
def test_a_resume_keeps_folders_and_the_frozen_model(
    source, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(source.parent)
  root = tmp_path / 'run'
  dreamerv2_tfa.train(
      Ticks, root_dir=root, preset='defaults',
      **{**_SETTINGS, 'model_from': 'run', 'replay_from': 'run'})
  frozen = small.values(dreamerv2_tfa.load_agent(root).world_model)
  monkeypatch.chdir(tmp_path)
  capsys.readouterr()
  # From another folder, and with its weights elsewhere: it has them itself.
  (source / 'checkpoints').rename(source / 'away')
  try:
    dreamerv2_tfa.train(Ticks, root_dir=root, steps=120)
  finally:
    (source / 'away').rename(source / 'checkpoints')
  lines = capsys.readouterr().out.splitlines()
  assert 'Note: resumed with train.steps = 120; the run had 80.' in lines
  assert not any('model_from' in x or 'replay_from' in x for x in lines)
  agent = dreamerv2_tfa.load_agent(root)
  assert int(agent.train_step_counter) == 8
  assert small.same(small.values(agent.world_model), frozen)
  assert agent.train(small.make_batch(agent)).loss is not None
  assert small.same(small.values(agent.world_model), frozen)
  assert protocol.read(root / 'protocol.json')['seed'] == 4
  assert protocol.read(root / 'protocol.json')['presets'] == ['defaults']
  assert tf.keras.mixed_precision.global_policy().name == 'float32'
