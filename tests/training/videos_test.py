"""Films of what the world model foresees."""

import io
import json

import numpy as np
from PIL import Image
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import dream
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import windows
from dreamerv2_tfa.training import videos

_SETTINGS = {
    'prefill': 200, 'steps': 300, 'steps_per_update': 20, 'batch_size': 2,
    'sequence_length': 6, 'log_every': 100, 'eval_every': 100,
    'save_every': 100, 'precision': '32', 'preset': ['quickstart', 'debug'],
    'eager': False,
}


def _train(root, **settings):
  return dreamerv2_tfa.train('catch', root_dir=root, **_SETTINGS, **settings)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('videos') / 'run'
  _train(root)
  return root


def _lines(root):
  lines = map(json.loads, (root / 'metrics.jsonl').read_text().splitlines())
  return [{k: v for k, v in line.items() if k != 'fps'} for line in lines]


def test_each_evaluation_is_in_tensorboard_and_the_last_in_a_file(root):
  events = event_accumulator.EventAccumulator(str(root / 'eval'))
  events.Reload()
  steps = [e.step for e in events.Tensors('open_loop/image')]
  evaluated = [x['step'] for x in _lines(root) if 'eval_return' in x]
  assert steps == evaluated
  last = events.Tensors('open_loop/image')[-1]
  width, height, data = last.tensor_proto.string_val
  assert data == (root / 'videos' / 'open_loop_image.gif').read_bytes()
  with Image.open(io.BytesIO(data)) as film:
    assert film.size == (int(width), int(height)) == (3 * 64, 3 * 64)
    assert film.n_frames == 25


def test_a_run_without_videos_is_the_same_run(root, tmp_path):
  _train(tmp_path / 'run', videos=False)
  assert not (tmp_path / 'run' / 'videos').exists()
  assert _lines(tmp_path / 'run') == _lines(root)


def test_a_film_has_what_happened_what_is_foreseen_and_the_error(root):
  agent = dreamerv2_tfa.load_agent(root)
  stored = dreamerv2_tfa.load_rows(root, agent.collect_data_spec)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 1000, None)
  buffer.append(stored)
  films = videos.Videos(agent, buffer).films(None, 0)
  film = films['open_loop/image'].astype(np.int32)
  truth, model, error = np.split(film, 3, 2)
  np.testing.assert_array_equal(error, (model - truth + 255) // 2)
  starts = windows.newest(np.asarray(stored.step_type).T, 26, 3)
  index = starts[:, 1:] + np.arange(26)
  rows = tf.nest.map_structure(
      lambda x: tf.constant(np.asarray(x)[index, 0]), stored)
  posterior, _ = dream.recall(agent, rows, (0, 0))
  looked = dream.foresee(agent, agent.world_model.rssm.feature(posterior))
  for k in range(3):  # one below the other, the newest above
    part = slice(64 * k, 64 * (k + 1))
    np.testing.assert_array_equal(
        truth[:, part], rows.observation['image'][k, 1:])
    np.testing.assert_allclose(
        model[:videos.CONTEXT, part],
        looked.observation['image'][k, :videos.CONTEXT], atol=1)
  assert (model[videos.CONTEXT:, :64] != np.asarray(
      looked.observation['image'][0, videos.CONTEXT:])).any()


def test_films_of_other_numbers_of_windows_follow_one_another(root):
  agent = dreamerv2_tfa.load_agent(root)
  stored = dreamerv2_tfa.load_rows(root, agent.collect_data_spec)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 1000, None)
  filmed, sizes, done = videos.Videos(agent, buffer), [], 0
  for rows in (20, 30, 100, 200):
    buffer.append(tf.nest.map_structure(
        lambda x, done=done, rows=rows: np.asarray(x)[done:rows], stored))
    sizes.append(filmed.films(None, 0)['open_loop/image'].shape[:2])
    done = rows
  assert sizes == [(10, 64), (25, 64), (25, 128), (25, 192)]


def test_nothing_is_filmed_where_no_episode_is_long_enough(root):
  agent = dreamerv2_tfa.load_agent(root)
  stored = dreamerv2_tfa.load_rows(root, agent.collect_data_spec)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 1000, None)
  buffer.append(tf.nest.map_structure(lambda x: np.asarray(x)[:8], stored))
  assert videos.Videos(agent, buffer).films(None, 0) == {}


@pytest.mark.parametrize('channels', [1, 3])
def test_a_gif_is_the_film(channels):
  film = np.random.default_rng(0).integers(
      0, 8, [4, 6, 9, channels]).astype(np.uint8) * 32
  with Image.open(io.BytesIO(videos.gif(film))) as read:
    assert read.n_frames == 4
    for k in range(4):
      read.seek(k)
      frame = np.asarray(read.convert('L' if channels == 1 else 'RGB'))
      np.testing.assert_allclose(
          frame.reshape(film[k].shape), film[k],
          atol=0 if channels == 1 else 40)  # 256 colours of 512


def test_the_policy_is_filmed_beside_what_the_model_draws_of_each_row(root):
  agent = dreamerv2_tfa.load_agent(root)
  stored = dreamerv2_tfa.load_rows(root, agent.collect_data_spec)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 1000, None)
  kept = recorder_lib.Recorder()
  kept.rows = [tf.nest.map_structure(lambda x, i=i: np.asarray(x)[i, 0], stored)
               for i in range(46)]
  episode = kept.episode()
  films = videos.Videos(agent, buffer).films(episode, 46)
  assert set(films) == {'open_loop_eval/image', 'policy/image'}
  film = films['policy/image']
  np.testing.assert_array_equal(
      film[:, :, :64], np.asarray(stored.observation['image'])[:46, 0])
  posterior, _ = dream.recall(agent, episode, (0, 0))
  drawn = dream.foresee(agent, agent.world_model.rssm.feature(posterior))
  np.testing.assert_allclose(
      film[:, :, 64:].astype(int),
      np.asarray(drawn.observation['image'])[0, :46].astype(int), atol=1)
