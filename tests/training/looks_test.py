"""Tests of what a run shows at an evaluation."""

import io
import json
import math

import disturbed
import numpy as np
from PIL import Image
from PIL import ImageSequence
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa.diagnostics import findings
from dreamerv2_tfa.training import stopwatch

_SETTINGS = {
    'prefill': 200, 'steps': 400, 'steps_per_update': 20, 'batch_size': 2,
    'sequence_length': 6, 'log_every': 100, 'eval_every': 100,
    'save_every': 100, 'precision': '32', 'preset': ['quickstart', 'debug'],
    'eager': False, 'eval_episodes': 2,
}


def _train(root, **settings):
  return dreamerv2_tfa.train('catch', root_dir=root, **_SETTINGS, **settings)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('looks') / 'run'
  _train(root)
  return root


@pytest.fixture(scope='module')
def events(root):
  found = event_accumulator.EventAccumulator(
      str(root / 'eval'), size_guidance={event_accumulator.TENSORS: 0})
  found.Reload()
  return found


def _last(root):
  """The diagnostics of the last evaluation."""
  return _lines(root / 'diagnostics.jsonl')[-1]


def _lines(path):
  return list(map(json.loads, path.read_text().splitlines()))


def test_an_evaluation_has_its_diagnostics_in_both_places(root, events):
  last = _last(root)
  names = set(last) - {'step'}
  assert len(names) > 20
  assert all(name.startswith(findings.PREFIX) for name in names)
  played = [row['step'] for row in disturbed.metrics(root)
            if 'eval_return' in row]
  assert [row['step'] for row in _lines(root / 'diagnostics.jsonl')] == played
  tags = set(events.Tags()['tensors'])
  assert names <= tags
  for name in names:
    point = events.Tensors(name)[-1]
    assert point.step == last['step']
    assert float(tf.make_ndarray(point.tensor_proto)) == pytest.approx(
        last[name], rel=1e-5)
  assert {'histograms/actions', 'histograms/values', 'histograms/returns',
          'histograms/latent_kl', 'histograms/latent_entropy'} <= tags


def test_the_curves_are_those_of_the_last_evaluation(root):
  curves = json.loads((root / 'diagnostic_curves.json').read_text())
  last = _last(root)
  assert curves['step'] == last['step']
  each = curves['horizon']['image']['open_loop']
  assert each[0] == pytest.approx(last['diagnostics/image_error_1'])
  real = curves['imagined']['real']
  assert np.mean(real) == pytest.approx(last['diagnostics/real_return'])
  assert len(curves['value']['realised']) == 46  # an episode of Catch


def test_films_are_those_of_replay_and_of_an_evaluation_episode(root, events):
  for name, frames, size in (
      ('open_loop', 25, (192, 192)), ('open_loop_eval', 25, (192, 192)),
      ('policy', 46, (128, 64))):
    assert f'{name}/image' in events.Tags()['tensors']
    with Image.open(root / 'videos' / f'{name}_image.gif') as film:
      assert (film.n_frames, film.size) == (frames, size)


def test_a_run_without_diagnostics_is_the_same_run(root, tmp_path):
  other = tmp_path / 'run'
  _train(other, diagnostics=False, videos=False)
  assert not (other / 'diagnostic_curves.json').exists()
  assert not (other / 'diagnostics.jsonl').exists()
  assert disturbed.metrics(other) == disturbed.metrics(root)


def test_a_line_is_a_report_or_an_evaluation(root):
  for row in disturbed.metrics(root):
    assert 'model_loss' in row or set(row) == {
        'step', 'eval_return', 'eval_length'}


def test_time_and_memory_are_apart_from_what_a_repeated_run_equals(root):
  rows = _lines(root / 'machine.jsonl')
  for row in rows:
    shares = [row[f'time/{name}'] for name in (*stopwatch.PARTS, 'other')]
    assert math.isclose(sum(shares), 1.0, rel_tol=1e-6)
    assert 0.1 < row['memory/process'] < 100
  reported = [row['step'] for row in disturbed.metrics(root)
              if 'model_loss' in row]
  assert [row['step'] for row in rows] == reported
  assert not any('/' in key and key.startswith(('time', 'memory'))
                 for row in disturbed.metrics(root) for key in row)


def test_replay_says_how_old_its_rows_are(root):
  last = [row for row in disturbed.metrics(root) if 'replay/age' in row][-1]
  rows = last['replay/rows']
  assert rows >= 400  # and those between episodes
  assert last['replay/age'] == (rows - 1) / 2


def test_a_line_of_the_machine_that_a_kill_cut_short_is_removed(tmp_path):
  _train(tmp_path / 'run', diagnostics=False, videos=False)
  path = tmp_path / 'run' / 'machine.jsonl'
  path.write_bytes(path.read_bytes() + b'{"step": 4')
  dreamerv2_tfa.train('catch', root_dir=tmp_path / 'run', **{
      **_SETTINGS, 'steps': 500}, diagnostics=False, videos=False)
  assert [row['step'] for row in _lines(path)][-2:] == [400, 500]


def test_each_evaluation_shows_an_episode_of_its_own(events):
  played = []
  for point in events.Tensors('policy/image'):
    with Image.open(io.BytesIO(point.tensor_proto.string_val[2])) as film:
      played.append([
          np.asarray(frame.convert('L'))[:, :64]  # what was seen
          for frame in ImageSequence.Iterator(film)])
  assert len(played) == 2
  assert not np.array_equal(*played)
