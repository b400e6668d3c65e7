"""Tests of `dreamerv2_tfa.train`: objects, settings, and the two examples."""

import json
import os
import pathlib
import subprocess
import sys

import gin
import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import results
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.training import library
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary
from dreamerv2_tfa.training import train as train_lib

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean():
  yield
  gin.clear_config()
  tf.config.run_functions_eagerly(False)
  tf.keras.mixed_precision.set_global_policy('float32')


@pytest.fixture
def trained(monkeypatch):
  """What the loop was called with, and under which gin: it does nothing."""
  calls = []
  monkeypatch.setattr(results, 'Run', lambda *_: None)  # nothing is written
  monkeypatch.setattr(
      train_lib, 'train', lambda root, **kwargs: calls.append(
          (root, {**kwargs, 'gin': gin.config_str().splitlines()})))
  return calls


class Fall(gymnasium.Env):
  """Falls at the third step."""

  observation_space = gymnasium.spaces.Box(0, 9, (1,))
  action_space = gymnasium.spaces.Discrete(2)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.height = 3
    return np.array([3.0]), {}

  def step(self, action):
    self.height -= 1
    return np.array([self.height]), 1.0, self.height == 0, False, {}


def _task(calls):
  (_, kwargs), = calls
  return kwargs['task']


def test_an_object_is_trained_on_and_a_copy_evaluated(trained):
  env = Fall()
  dreamerv2_tfa.train(env, root_dir='somewhere')
  task = _task(trained)
  assert task.name == 'Fall'
  assert trained[0][0] == 'somewhere'
  assert trained[0][1]['presets'] == ['gym_small']
  first, second = task.make(0), task.make_evaluation(1)
  inside = [made.pyenv.envs[0].gym for made in (first, second)]
  assert inside[0] is env and inside[1] is not env
  assert isinstance(inside[1], Fall)


def test_a_second_object_is_evaluated_where_it_is_given(trained):
  env, other = Fall(), Fall()
  dreamerv2_tfa.train(env, root_dir='x', evaluation=other)
  assert _task(trained).make_evaluation(1).pyenv.envs[0].gym is other


def test_one_object_for_both_is_refused(trained):
  env = Fall()
  with pytest.raises(ValueError, match='for training and for evaluation'):
    dreamerv2_tfa.train(env, root_dir='x', evaluation=env)


def test_the_object_stays_open_and_its_copy_is_closed(trained):
  env = Fall()
  env.closes = 0
  dreamerv2_tfa.train(env, root_dir='x')
  task = _task(trained)
  first, second = task.make(0), task.make_evaluation(1)
  copied = second.pyenv.envs[0].gym
  copied.close = lambda: setattr(copied, 'closes', copied.closes + 1)
  env.close = lambda: setattr(env, 'closes', env.closes + 1)
  for _ in range(2):
    batch.close(first)
    batch.close(second)
  assert (env.closes, copied.closes) == (0, 1)


@pytest.mark.parametrize('factory', [Fall, lambda seed: Fall()])
def test_a_function_or_a_class_makes_one_for_each(trained, factory):
  if factory is Fall:
    factory = type('Made', (Fall,), {'__init__': lambda self, seed: None})
  dreamerv2_tfa.train(factory, root_dir='x')
  task = _task(trained)
  assert isinstance(task, task_lib.Task)
  made = task.make(0, 2)
  assert made.batch_size == 2
  assert made.pyenv.envs[0].gym is not made.pyenv.envs[1].gym


def test_a_name_is_a_task(trained):
  dreamerv2_tfa.train('atari_pong', root_dir='x', preset='atari')
  lines = trained[0][1]['gin']
  assert "train.task = 'atari_pong'" in lines and 'RSSM.deter = 600' in lines


def test_a_name_has_the_preset_of_its_suite(trained):
  dreamerv2_tfa.train('dmc_walker_run', root_dir='x')
  assert trained[0][1]['presets'] == ['dmc_vision']
  assert "train.task = 'dmc_walker_run'" in trained[0][1]['gin']


@pytest.mark.parametrize('name', ['task', 'train.task'])
def test_a_task_beside_an_object_is_refused(trained, name):
  with pytest.raises(ValueError, match='and a task. Give one of them'):
    dreamerv2_tfa.train(Fall(), root_dir='x', **{name: 'catch'})
  assert trained == []


@pytest.mark.parametrize('made, name', [
    (Fall(), 'Fall'), (Fall, 'Fall'),
    (gymnasium.make('CartPole-v1'), 'CartPole-v1'),
    (gymnasium.wrappers.TransformReward(Fall(), float), 'Fall'),
    (_clean, '_clean'),
])
def test_an_object_class_or_function_is_called_by_its_own_name(made, name):
  assert library._name(made) == name


def test_what_cannot_be_copied_is_refused_with_the_ways_out(trained):
  env = Fall()
  env.file = open(os.devnull)   # as a socket or a window
  with env.file, pytest.raises(ValueError, match='be copied.*evaluation='):
    dreamerv2_tfa.train(env, root_dir='x')


def test_bindings_are_of_train_or_of_the_class_they_name(trained):
  dreamerv2_tfa.train(
      'catch', root_dir='x', preset=['quickstart', 'debug'], steps=77,
      **{'RSSM.deter': 21})
  lines = {'train.steps = 77', 'RSSM.deter = 21', 'RSSM.hidden = 16'}
  assert lines <= set(trained[0][1]['gin'])


def test_a_setting_that_is_not_there_is_named(trained):
  with pytest.raises(ValueError, match="no setting 'step'.*steps"):
    dreamerv2_tfa.train('catch', root_dir='x', step=5)


@pytest.mark.parametrize('task, preset', [
    ('atari_pong', 'atari'), ('dmc_walker_walk', 'dmc_vision'),
    ('crafter_reward', 'crafter'), ('minigrid_Empty-5x5', 'minigrid'),
    ('gym_CartPole-v1', 'gym'), ('gymnasium_CartPole-v1', 'gym'),
    ('catch', 'quickstart'), ('module:factory', 'quickstart'),
    ('debug_mine:Cart', 'quickstart'),
    (None, 'quickstart')])
def test_each_suite_has_a_preset(task, preset):
  assert presets.of_task(task) == preset
  assert f'{preset}.gin' in presets.names()


@pytest.mark.slow
@pytest.mark.parametrize('example', ['minigrid', 'custom_env'])
def test_an_example_runs_to_its_end(example, tmp_path):
  path = _ROOT / 'examples' / f'{example}.py'
  assert len(path.read_text().splitlines()) <= 35
  process = subprocess.run(
      [sys.executable, path, tmp_path / 'run', 'debug'], cwd=tmp_path,
      capture_output=True, text=True, timeout=600, check=False,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert process.returncode == 0, process.stderr[-2000:]
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  assert 'eval_return' in json.loads(lines[-1])
  assert json.loads(lines[-1])['step'] == 120


@pytest.mark.parametrize('said, wanted', [(None, '1'), ('0', '0')])
def test_importing_the_package_turns_onednn_on_where_nobody_said_otherwise(
    said, wanted):
  environ = {key: value for key, value in os.environ.items()
             if key != 'TF_ENABLE_ONEDNN_OPTS'}
  if said:
    environ['TF_ENABLE_ONEDNN_OPTS'] = said
  script = ('import os, sys, dreamerv2_tfa; assert "tensorflow" not in '
            'sys.modules; print(os.environ["TF_ENABLE_ONEDNN_OPTS"])')
  process = subprocess.run(
      [sys.executable, '-c', script], cwd=_ROOT, env=environ, check=True,
      capture_output=True, text=True)
  assert process.stdout == wanted + '\n'


@pytest.mark.parametrize('settings, said', [
    ({}, ''), ({'load_gym.keys': '.*'}, ''),
    ({'load_minigrid.tile_size': 4, 'RSSM.deter': 9},
     'Note: nothing here reads the bindings load_minigrid.tile_size.\n')])
def test_a_preset_of_another_suite_is_no_mistake_but_a_setting_is(
    trained, capsys, settings, said):
  dreamerv2_tfa.train(Fall(), root_dir='x', preset='minigrid', **settings)
  assert capsys.readouterr().out == said
  gin.clear_config()
  gin.parse_config('load_minigrid.tile_size = 4')
  summary.print_unused(runs.RunFolder('x'), _task(trained))
  assert 'tile_size' not in capsys.readouterr().out
  summary.print_unused(runs.RunFolder('x'), 'minigrid_Empty-5x5')
  assert 'reads the bindings load_minigrid.tile' in capsys.readouterr().out
