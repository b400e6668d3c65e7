"""Tests of what `train` gives back, on one small run."""

import json
import os
import signal

import gin
import gymnasium
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import train as train_lib

pytestmark = pytest.mark.slow  # it trains

_SETTINGS = dict(
    preset=['gym', 'debug'], eager=False, log_every=40, save_every=40,
    eval_every=50)


class Cart(gymnasium.Env):
  """Pays 1 a step for its first action's number of steps, 4 to 6."""

  observation_space = gymnasium.spaces.Dict({
      'dial': gymnasium.spaces.Discrete(3),
      'speed': gymnasium.spaces.Box(-1, 1, (2,), np.float32)})
  action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

  def __init__(self):
    self.steps = 0

  def _show(self):
    return {'dial': self.left % 3,
            'speed': self.np_random.uniform(-1, 1, 2).astype(np.float32)}

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.left = int(self.np_random.integers(4, 7))
    return self._show(), {}

  def step(self, action):
    self.steps += 1
    self.left -= 1
    return self._show(), 1.0, self.left == 0, False, {}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A run and its environment, which train was given as an object."""
  env = Cart()
  root = tmp_path_factory.mktemp('results') / 'run'
  run = dreamerv2_tfa.train(env, root_dir=root, steps=80, **_SETTINGS)
  return run, env


@pytest.fixture(autouse=True)
def _nothing_changes_gin():
  gin.clear_config()
  gin.parse_config('train.steps = 7')
  yield
  assert 'train.steps = 7' in gin.config_str()
  gin.clear_config()


def test_it_knows_its_folder_and_says_how_far_it_is(trained):
  run, _ = trained
  assert (run.folder / 'metrics.jsonl').is_file()
  assert repr(run).startswith(f"Run('{run.folder}', 80 steps, eval_return ")


def test_metrics_are_the_lines_of_the_file(trained):
  run, _ = trained
  lines = [json.loads(line) for line
           in (run.folder / 'metrics.jsonl').read_text().splitlines()]
  frame = run.metrics
  assert isinstance(frame, pd.DataFrame) and frame.index.name == 'step'
  assert list(frame.index) == [line['step'] for line in lines] == [80, 80]
  assert frame.eval_return.dropna().tolist() == [lines[-1]['eval_return']]
  assert frame.model_loss.iloc[0] == lines[0]['model_loss']


def test_superseded_lines_are_left_out_and_a_line_half_written_too(
    trained, tmp_path):
  run, _ = trained
  (tmp_path / 'protocol.json').write_bytes(
      (run.folder / 'protocol.json').read_bytes())
  text = ('{"step": 10, "x": 1.0}\n{"step": 20, "x": 2.0}\n'
          '{"step": 10, "resumed": 10}\n{"step": 15, "x": 3.0}\n{"step": 1')
  (tmp_path / 'metrics.jsonl').write_text(text)
  frame = dreamerv2_tfa.Run(tmp_path).metrics
  assert frame.x.to_dict() == {10: 1.0, 15: 3.0}
  assert (tmp_path / 'metrics.jsonl').read_text() == text


def test_a_run_without_metrics_has_an_empty_frame(trained, tmp_path):
  run, _ = trained
  (tmp_path / 'protocol.json').write_bytes(
      (run.folder / 'protocol.json').read_bytes())
  again = dreamerv2_tfa.Run(tmp_path)
  assert len(again.metrics) == 0 and again.metrics.index.name == 'step'
  assert repr(again) == f"Run('{tmp_path}', 0 steps)"


def test_the_policy_acts_as_the_export_does(trained, tmp_path):
  run, env = trained
  # From the folder alone: the task has no name that makes it.
  with pytest.raises(ValueError, match=r'Give it, as to train: Run\(folder'):
    dreamerv2_tfa.Run(run.folder).policy()
  policy = dreamerv2_tfa.Run(run.folder, env).policy(seed=3)
  with run._loaded() as loaded:
    export.write(
        loaded.agent, 'saved_model', tmp_path, loaded.described,
        batch.adapted(loaded.environment).parts)
  exported = dreamerv2_tfa.load_policy(tmp_path, seed=3)
  rng = np.random.default_rng(0)
  shown = [{'dial': int(rng.integers(3)),
            'speed': rng.uniform(-1, 1, 2).astype(np.float32)}
           for _ in range(6)]
  actions = [policy.act(x) for x in shown]
  np.testing.assert_array_equal(actions, [exported.act(x) for x in shown])
  assert len(np.unique(actions)) > 1 and np.shape(actions) == (6, 1)
  policy.reset()
  np.testing.assert_array_equal(actions, [policy.act(x) for x in shown])


def test_evaluate_plays_so_many_episodes_on_a_copy(trained, monkeypatch):
  run, env = trained
  before = env.steps
  numbers = run.evaluate(episodes=5)
  assert set(numbers) == {'eval_return', 'eval_length'}
  assert 4 <= numbers['eval_return'] == numbers['eval_length'] <= 6
  assert run.evaluate(episodes=5) == numbers
  assert env.steps == before
  # The same seed as the run's own evaluation, which plays one episode.
  one = run.evaluate(episodes=1)['eval_return']
  assert one == run.metrics.eval_return.dropna().iloc[-1]
  assert numbers['eval_return'] != one
  with pytest.raises(ValueError, match='episodes'):
    run.evaluate(episodes=0)


def test_nothing_is_written_into_the_folder(trained):
  run, env = trained
  files = lambda: {
      path: path.stat().st_mtime_ns for path in run.folder.rglob('*')}
  before = files()
  again = dreamerv2_tfa.Run(run.folder, env)
  repr(again), again.metrics, again.evaluate(1), again.policy()
  assert files() == before


def test_the_process_computes_as_before(trained):
  run, _ = trained
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  try:
    run.evaluate(1)
    assert tf.keras.mixed_precision.global_policy().name == 'mixed_bfloat16'
  finally:
    tf.keras.mixed_precision.set_global_policy('float32')


def test_a_run_with_a_name_is_made_from_its_folder(tmp_path):
  run = dreamerv2_tfa.train(
      'catch', root_dir=tmp_path, steps=60,
      **{**_SETTINGS, 'preset': ['quickstart', 'debug']})
  assert -5 <= dreamerv2_tfa.Run(tmp_path).evaluate(2)['eval_return'] <= 5
  policy = run.policy()
  assert policy.act(np.zeros((64, 64, 1), np.uint8)) in (0, 1, 2)


def test_a_folder_without_a_run_is_refused(tmp_path):
  with pytest.raises(ValueError, match='no run in .*Give the folder'):
    dreamerv2_tfa.Run(tmp_path / 'typo')


def test_a_dry_run_gives_nothing_back(tmp_path, capsys):
  assert dreamerv2_tfa.train(
      Cart(), root_dir=tmp_path / 'x', dry_run=True, **_SETTINGS) is None
  assert 'Run folder' not in capsys.readouterr().out


def test_a_stopped_run_is_given_back_too(tmp_path, monkeypatch, capsys):
  update = metrics.Updates.__call__

  def interrupted(updates):
    os.kill(os.getpid(), signal.SIGINT)
    update(updates)

  monkeypatch.setattr(metrics.Updates, '__call__', interrupted)
  env = Cart()
  run = dreamerv2_tfa.train(env, root_dir=tmp_path, steps=200, **_SETTINGS)
  assert 'Stopped and saved at 60 frames' in capsys.readouterr().out
  assert "60 steps" in repr(run)
  assert 4 <= run.evaluate(2)['eval_return'] <= 6


def test_a_finished_run_says_so_and_does_nothing(
    trained, monkeypatch, capsys):
  run, env = trained
  before = (run.folder / 'metrics.jsonl').read_bytes()
  monkeypatch.setattr(train_lib, '_loop', None)
  again = dreamerv2_tfa.train(
      env, root_dir=run.folder, steps=80, **_SETTINGS)
  assert capsys.readouterr().out.splitlines()[-1] == (
      f'The run in {run.folder} is finished: 80 of 80 steps. To train longer: '
      '--steps=160')
  assert (run.folder / 'metrics.jsonl').read_bytes() == before
  assert again.folder == run.folder


def test_a_run_without_an_update_is_refused_with_nothing_left_behind(tmp_path):
  root = tmp_path / 'run'
  with pytest.raises(ValueError, match=(
      r'train.steps = 59 is less than train.prefill = 60.*raise train.steps')):
    dreamerv2_tfa.train(Cart(), root_dir=root, steps=59, **_SETTINGS)
  assert not root.exists()


def test_the_first_lines_are_the_folder_and_how_to_watch_it(tmp_path, capsys):
  root = tmp_path / 'a run'
  with pytest.raises(ValueError):  # later than these lines
    dreamerv2_tfa.train(
        Cart(), root_dir=root, **_SETTINGS, replay_capacity=2)
  first, second = capsys.readouterr().out.splitlines()[:2]
  assert first == f'Run folder: {root}'
  assert second.endswith(f"tensorboard --logdir '{root}'")
