"""`bin/import`: the published package's run goes on as one of ours."""

import json
import shutil

import gin
from golden import cases
import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.environments import random_py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.specs import array_spec

from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.migration import episodes
from dreamerv2_tfa.training import folder
from dreamerv2_tfa.training import train

FIRST, MID, LAST = 0, 1, 2


def write_episode(folder, steps, *, number=0, terminal=True, actions=6,
                  **changes):
  """An episode as the published package stores it; returns its path."""
  rows = steps + 1
  rng = np.random.default_rng(number)
  chosen = rng.integers(0, actions, rows)
  one_hot = np.eye(actions, dtype=np.float32)[chosen]
  one_hot[0] = 0.0
  flag = lambda row: np.arange(rows) == row
  episode = dict(
      position=rng.normal(size=[rows, 3]).astype(np.float32),
      speed=rng.normal(size=[rows, 2]).astype(np.float32),
      action=one_hot, reward=np.arange(rows, dtype=np.float32),
      is_first=flag(0), is_last=flag(steps),
      is_terminal=flag(steps) & terminal, log_other=np.zeros(rows), **changes,
  )
  folder = folder / 'train_episodes'
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / f'2021010{number}T000000-abc-{steps}.npz'
  np.savez_compressed(path, **episode)
  return path


@pytest.fixture
def data_spec():
  return small.make_agent(observation=cases.VECTORS).collect_data_spec


def test_what_led_into_a_row_moves_to_the_row_before(tmp_path, data_spec):
  path = write_episode(tmp_path, 3)
  rows = episodes.read(path, data_spec)
  with np.load(path) as arrays:
    position, one_hot = arrays['position'], arrays['action']
  np.testing.assert_array_equal(rows.step_type, [FIRST, MID, MID, LAST])
  np.testing.assert_array_equal(rows.next_step_type, [MID, MID, LAST, FIRST])
  np.testing.assert_array_equal(rows.reward, [1.0, 2.0, 3.0, 0.0])
  np.testing.assert_array_equal(rows.discount, [1.0, 1.0, 0.0, 1.0])
  np.testing.assert_array_equal(rows.observation['position'], position)
  np.testing.assert_array_equal(rows.action[:3], np.argmax(one_hot[1:], -1))


def test_an_episode_that_was_cut_keeps_its_discount(tmp_path, data_spec):
  rows = episodes.read(write_episode(tmp_path, 3, terminal=False), data_spec)
  np.testing.assert_array_equal(rows.discount, np.ones(4))


def test_continuous_actions_leave_the_scaled_box(tmp_path):
  agent = small.make_agent(observation=cases.VECTORS, action=small.BOX)
  scaled = np.zeros([4, 6], np.float32)
  scaled[1] = 1.0
  path = write_episode(tmp_path, 3)
  with np.load(path) as arrays:
    episode = dict(arrays)
  np.savez(path, **{**episode, 'action': scaled})
  rows = episodes.read(path, agent.collect_data_spec)
  np.testing.assert_allclose(rows.action[0], small.BOX.maximum)
  middle = (small.BOX.maximum + small.BOX.minimum) / 2
  np.testing.assert_allclose(rows.action[1], middle)


@pytest.mark.parametrize('change, message', [
    (dict(speed=np.zeros([4, 3])), r'speed has shape \[4, 3\]; wanted \[4, 2'),
    (dict(action=np.zeros([4, 5])), r'actions have shape \[4, 5\]'),
])
def test_an_episode_that_does_not_fit_is_refused(
    change, message, tmp_path, data_spec):
  path = write_episode(tmp_path, 3)
  with np.load(path) as arrays:
    episode = dict(arrays)
  np.savez(path, **{**episode, **change})
  with pytest.raises(ValueError, match=message):
    episodes.read(path, data_spec)


def test_what_lacks_or_is_no_episode_is_said(tmp_path, data_spec):
  path = tmp_path / 'x.npz'
  np.savez(path, reward=np.zeros(3))
  with pytest.raises(ValueError, match='lacks is_first, .*position'):
    episodes.read(path, data_spec)
  path.write_bytes(b'nothing')
  with pytest.raises(ValueError, match='is no episode file'):
    episodes.read(path, data_spec)


# The whole way ----------------------------------------------------------------


def _load_task(name):
  spec = lambda n: array_spec.BoundedArraySpec((n,), np.float32, -1, 1)
  environment = lambda: random_py_environment.RandomPyEnvironment(
      {'position': spec(3), 'speed': spec(2)},
      array_spec.BoundedArraySpec((), np.int32, 0, 5),
  )
  return task_lib.Task(
      name, 2, lambda *_: tf_py_environment.TFPyEnvironment(environment())
  )


@pytest.fixture
def run_train(monkeypatch):
  """Runs `train` with the golden agent's sizes on a stand-in task."""
  monkeypatch.setattr(tasks, 'load', _load_task)

  def run(root_dir, *bindings, **kwargs):
    gin.clear_config()
    gin.add_config_file_search_path(str(cases.PRESETS))
    gin.parse_config_files_and_bindings(
        [str(cases.PRESETS / 'dmc_proprio.gin')],
        [*cases.SIZES, 'train.replay_capacity = 100', 'train.prefill = 20',
         'train.sequence_length = 4', 'train.batch_size = 2',
         "train.precision = '32'", 'train.steps_per_update = 5',
         "DreamerV2Agent.jit = 'off'", *bindings],
    )
    train.train(root_dir, **kwargs)

  yield run
  gin.clear_config()


@pytest.fixture
def old_run(tmp_path):
  """A log folder of the published package."""
  folder = tmp_path / 'old'
  folder.mkdir()
  shutil.copy(cases.FOLDER / 'variables.pkl', folder)
  return folder


@pytest.mark.slow
def test_an_imported_run_goes_on(run_train, old_run, tmp_path, capsys):
  for number, steps in enumerate((11, 7, 13)):
    write_episode(old_run, steps, number=number)
  run_train(tmp_path / 'new', adopt=old_run)
  assert 'the weights after 1,234 agent steps and 321 updates, 3 episodes' in (
      capsys.readouterr().out)
  assert not (tmp_path / 'new' / 'metrics.jsonl').read_text()
  assert folder.saved_steps(tmp_path / 'new') == 1234
  run_train(tmp_path / 'new', 'train.steps = 1244')
  out = capsys.readouterr().out
  # The schedule is kept: what was due at step 1,234 counts as done.
  due = 1 + 100 + (1234 - 20) // 5
  assert f'Resumed at 2,468 frames, {due} updates, 34 stored rows' in out
  lines = (tmp_path / 'new' / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(lines[0])['updates'] == due + 2


@pytest.mark.slow
def test_weights_alone_start_with_random_play(run_train, old_run, tmp_path):
  with pytest.raises(ValueError, match='--keys=position,speed, changed'):
    run_train(tmp_path / 'new', adopt=old_run)
  run_train(
      tmp_path / 'new', adopt=old_run, adopt_keys=['position', 'speed']
  )
  checkpoint = tf.train.latest_checkpoint(tmp_path / 'new' / 'checkpoints')
  assert checkpoint.endswith('-0')


def test_a_folder_without_a_run_is_refused(run_train, tmp_path):
  with pytest.raises(ValueError, match='There is no .*variables.pkl'):
    run_train(tmp_path / 'new', adopt=tmp_path)
  assert not (tmp_path / 'new').exists()


def test_episodes_of_another_task_are_refused_before_anything_is_written(
    run_train, old_run, tmp_path):
  write_episode(old_run, 5, actions=4)
  with pytest.raises(ValueError, match='actions have shape'):
    run_train(tmp_path / 'new', adopt=old_run)
  assert not (tmp_path / 'new').exists()


@pytest.mark.slow
def test_a_folder_with_a_run_is_not_written_over(run_train, old_run, tmp_path):
  write_episode(old_run, 30)
  run_train(tmp_path / 'new', adopt=old_run)
  with pytest.raises(ValueError, match='holds a run already'):
    run_train(tmp_path / 'new', adopt=old_run)


