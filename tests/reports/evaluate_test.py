"""Tests of `bin/evaluate`'s numbers, episodes, files and refusals."""

import csv
import json
import os
import shutil
import signal

import cv2
import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.environments import batched_py_environment
from tf_agents.environments import py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.policies import tf_policy
from tf_agents.specs import array_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import crafter
from dreamerv2_tfa.reports import episodes
from dreamerv2_tfa.reports import evaluate
from dreamerv2_tfa.reports import film
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import evaluation
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import train

pytestmark = pytest.mark.usefixtures('clean')


# Numbers ----------------------------------------------------------------------


def _played(*returns):
  return episodes.Played({'seed': 3, 'environments': 1}, [7], [
      evaluation.Episode(0, i, float(x), 2 + i, 'terminated')
      for i, x in enumerate(returns)], len(returns))


def test_mean_error_and_interquartile_mean_are_those_by_hand():
  found = episodes.summary(_played(1, 100, 2, 4, 3))['return']
  assert found['mean'] == 22.0
  # Deviations -21, 78, -20, -18, -19: squares 441 + 6084 + 400 + 324 + 361.
  assert found['standard_error'] == pytest.approx((7610 / 4 / 5) ** 0.5)
  assert found['interquartile_mean'] == 3.0  # of 2, 3, 4
  assert (found['smallest'], found['largest']) == (1.0, 100.0)


@pytest.mark.parametrize('values, mean', [
    ([5], 5), ([5, 7], 6), ([1, 2, 9], 4), ([0, 1, 3, 99], 2),
    ([0, 0, 1, 2, 3, 4, 99, 99], 2.5)])
def test_a_quarter_is_left_out_at_each_end(values, mean):
  assert episodes.interquartile_mean(values[::-1]) == mean


def test_one_episode_has_no_error():
  found = episodes.summary(_played(4))
  assert found['return']['standard_error'] is None
  assert json.dumps(found)


# Several environments ---------------------------------------------------------


class _Lengths(py_environment.PyEnvironment):
  """Pays 1 a step; its episodes have these lengths, in turn."""

  def __init__(self, lengths, truncates=False):
    super().__init__(handle_auto_reset=True)
    self._lengths, self._truncates = lengths, truncates
    self.started = 0

  def observation_spec(self):
    return array_spec.ArraySpec((3,), np.float32)

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 1)

  def _reset(self):
    self._left = self._lengths[self.started % len(self._lengths)]
    self.started += 1
    return ts.restart(np.zeros(3, np.float32))

  def _step(self, action):
    self._left -= 1
    if self._left:
      return ts.transition(np.zeros(3, np.float32), np.float32(1))
    end = ts.truncation if self._truncates else ts.termination
    return end(np.zeros(3, np.float32), np.float32(1))


class _Zero(tf_policy.TFPolicy):

  def _action(self, time_step, policy_state, seed):
    return policy_step.PolicyStep(tf.zeros_like(time_step.step_type), (), ())

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError


def _play(environments, count, most_steps=100):
  batched = tf_py_environment.TFPyEnvironment(
      batched_py_environment.BatchedPyEnvironment(
          environments, multithreading=False))
  policy = _Zero(batched.time_step_spec(), batched.action_spec())
  found = []
  evaluation.Evaluation(batched, policy, count, most_steps).play(found)
  return sorted(found, key=lambda each: (each.number, each.environment))


def test_short_episodes_count_no_more_often_than_long_ones():
  found = _play([_Lengths([2]), _Lengths([11]), _Lengths([5])], 7)
  assert [each.length for each in found] == [2, 11, 5, 2, 11, 5, 2]
  assert [each.number for each in found] == [0, 0, 0, 1, 1, 1, 2]
  assert all(each.returned == each.length for each in found)


def test_more_environments_than_episodes_play_one_each():
  assert [each.length for each in _play([_Lengths([4]), _Lengths([9])], 1)] == [
      4]


def test_each_episode_says_how_it_ended():
  found = _play([_Lengths([3]), _Lengths([4], True), _Lengths([50])], 3, 20)
  assert [each.end for each in found] == ['terminated', 'truncated', 'cut']
  assert [each.length for each in found] == [3, 4, 20]


def test_after_a_cut_the_others_end_theirs_and_all_begin_again():
  environments = [_Lengths([3, 4, 5, 6]), _Lengths([50, 7, 8])]
  found = _play(environments, 6, 10)
  # 1 is cut at its step 10, in the third episode of 0, which then waits.
  assert [(x.environment, x.length, x.end) for x in found] == [
      (0, 3, 'terminated'), (1, 10, 'cut'),
      (0, 4, 'terminated'), (1, 7, 'terminated'),
      (0, 5, 'terminated'), (1, 8, 'terminated')]


# A run ------------------------------------------------------------------------


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run that was evaluated twice, nine episodes each time."""
  folder = tmp_path_factory.mktemp('run') / 'run'
  gin.clear_config()
  config.register()
  gin.add_config_file_search_path(str(presets.folder()))
  gin.parse_config_files_and_bindings(
      ['quickstart.gin', 'debug.gin'],
      ['train.steps = 48', 'train.prefill = 24', 'train.steps_per_update = 6',
       'train.eager = False', 'train.eval_every = 24', 'train.log_every = 24',
       'train.eval_episodes = 9', 'Catch.balls = 2'],
  )
  train.train(str(folder), presets=['quickstart', 'debug'])
  gin.clear_config()
  tf.config.run_functions_eagerly(False)
  return folder


def _evaluate(run, **options):
  played, ended = evaluate.evaluate(
      evaluate.Options(root_dir=str(run), **options))
  assert ended is None and len(played.episodes) == played.wanted
  return episodes.summary(played)


def _rows(path):
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def _frames(path):
  video, found = cv2.VideoCapture(str(path)), []
  while True:
    ok, frame = video.read()
    if not ok:
      return found
    found.append(frame)


def test_the_mean_is_that_of_the_csv_file_and_of_the_run(run, tmp_path):
  found = _evaluate(run, episodes=5, csv=str(tmp_path / 'a.csv'))
  rows = _rows(tmp_path / 'a.csv')
  assert list(rows[0]) == list(episodes.FIELDS)
  assert [row['episode'] for row in rows] == list('01234')
  assert {row['seed'] for row in rows} == {'10000'}
  mean = np.mean([float(row['return']) for row in rows])
  assert found['return']['mean'] == np.float32(mean)
  assert found['ends'] == {'terminated': 5, 'truncated': 0, 'cut': 0}
  again = dreamerv2_tfa.Run(run).evaluate(5)
  assert again['eval_return'] == found['return']['mean']


def test_the_same_command_plays_the_same_and_writes_nothing_in_the_run(
    run, tmp_path):
  stamp = lambda: {p: p.stat().st_mtime_ns for p in run.rglob('*')}
  before = stamp()
  for name in 'ab':
    _evaluate(run, episodes=3, environments=2, sampled=True,
              csv=str(tmp_path / name))
  assert (tmp_path / 'a').read_text() == (tmp_path / 'b').read_text()
  assert stamp() == before
  _evaluate(run, episodes=3, environments=2, sampled=True, seed=4,
            csv=str(tmp_path / 'c'))
  assert (tmp_path / 'a').read_text() != (tmp_path / 'c').read_text()


@pytest.mark.parametrize('which', [0, -1])
def test_the_last_evaluation_is_played_again(run, which):
  lines = map(json.loads, (run / 'metrics.jsonl').read_text().splitlines())
  line = [x for x in lines if 'eval_return' in x][which]
  found = _evaluate(run, repeat_last=True, checkpoint=str(line['step']))
  assert found['episodes'] == 9
  assert found['return']['mean'] == line['eval_return']
  assert found['length']['mean'] == line['eval_length']


def test_a_video_changes_no_number_and_has_a_frame_an_observation(
    run, tmp_path):
  found = _evaluate(run, episodes=3, video=str(tmp_path / 'v.mp4'),
                    video_episodes=2)
  assert found == _evaluate(run, episodes=3)
  frames = _frames(tmp_path / 'v.mp4')
  assert len(frames) == 2 * (18 + 1)
  assert {frame.shape for frame in frames} == {(256, 256, 3)}
  assert os.listdir(tmp_path) == ['v.mp4']


def test_a_gif_lasts_as_long(run, tmp_path):
  from PIL import Image

  _evaluate(run, episodes=1, video=str(tmp_path / 'v.gif'))
  with Image.open(tmp_path / 'v.gif') as image:
    assert image.size == (256, 256)
    lasts = 0
    for index in range(image.n_frames):
      image.seek(index)
      lasts += image.info['duration']
  assert lasts == pytest.approx(1000 * 19 / 15, abs=5)


def test_what_an_evaluator_has_played_is_not_played_again(run, tmp_path):
  root = tmp_path / 'run'
  shutil.copytree(run, root)
  (root / 'evaluations').mkdir()
  with pytest.raises(checks.UserError, match='played by an evaluator'):
    _evaluate(root, repeat_last=True)


def test_an_export_plays_in_the_settings_that_it_is_given(run, tmp_path):
  export.export(run, tmp_path / 'out')
  played, _ = evaluate.evaluate(evaluate.Options(
      policy=str(tmp_path / 'out'), episodes=3, environments=2,
      bindings=('Catch.balls = 1',), csv=str(tmp_path / 'e.csv')))
  found = episodes.summary(played)
  assert found['length']['mean'] == 9.0 and found['task'] == 'catch'
  assert [row['environment'] for row in _rows(tmp_path / 'e.csv')] == [
      '0', '1', '0']


def test_ctrl_c_leaves_what_was_played(run, tmp_path, monkeypatch, capsys):
  play = evaluation.Evaluation.play

  def interrupted(self, played, stop, watch):
    def once():
      watch()
      if len(played) == 2 and not stop.requested:
        os.kill(os.getpid(), signal.SIGINT)
    play(self, played, stop, once)

  monkeypatch.setattr(evaluation.Evaluation, 'play', interrupted)
  played, ended = evaluate.evaluate(evaluate.Options(
      root_dir=str(run), episodes=10**6, csv=str(tmp_path / 'x.csv')))
  assert ended == signal.SIGINT and 2 <= len(played.episodes) < 99
  assert len(_rows(tmp_path / 'x.csv')) == len(played.episodes)
  assert 'SIGINT: stopping.' in capsys.readouterr().err


# Refusals ---------------------------------------------------------------------


@pytest.mark.parametrize('options, message', [
    (dict(root_dir=None), 'What shall play'),
    (dict(policy='out'), 'What shall play'),
    (dict(episodes=0), '--episodes must be a whole number'),
    (dict(environments=0), '--environments must be'),
    (dict(repeat_last=True, seed=3), '--repeat_last and --seed'),
    (dict(bindings=('x = 1',)), '--root_dir and --gin_bindings'),
    (dict(csv='nowhere/x.csv'), r'--csv = .* cannot be written \(No such'),
    (dict(csv='.'), r'--csv = .* \(it is a folder\)'),
    (dict(video='x.avi'), r'--video must end in .mp4 or .gif'),
    (dict(video='nowhere/x.mp4'), '--video = .* cannot be written'),
])
def test_a_mistake_is_refused_before_anything_is_loaded(options, message):
  given = {'root_dir': 'no run', **options}
  with pytest.raises(checks.UserError, match=message):
    evaluate.evaluate(evaluate.Options(**given))


def test_a_checkpoint_that_is_not_there_names_those_that_are(run):
  with pytest.raises(checks.UserError, match="no checkpoint '7'; it has .*48"):
    _evaluate(run, checkpoint='7')


def test_a_folder_without_a_run_is_refused(tmp_path):
  with pytest.raises(ValueError, match='There is no run in'):
    _evaluate(tmp_path)


def test_what_draws_nothing_and_shows_no_picture_is_not_filmed(tmp_path):
  environment = tf_py_environment.TFPyEnvironment(_Lengths([3]))
  made = film.Film(tmp_path / 'x.mp4', environment, 1)
  with pytest.raises(checks.UserError, match=(
      r'shows observation float32 \[3\]; wanted a render\(\)')):
    made.begin()


def test_crafter_plays_the_same_whether_it_draws_or_not():
  def play(draws):
    world = crafter.Game(reward=True, seed=3, length=400)
    world.reset()
    found = []
    for step in range(230):  # until night, whose noise is random
      if draws and step > 200:
        assert world.render().shape == (576, 576, 3)
      found.append(world.step(0)[0])
    return np.stack(found)

  np.testing.assert_array_equal(play(False), play(True))
