"""Tests of `load_policy`: whose actions it takes, and what it refuses."""

import shutil
import sys

import exported
import numpy as np
import pytest
import small

import dreamerv2_tfa
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import recording


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """The folder of an export whose actions are a box, and its recording."""
  folder = tmp_path_factory.mktemp('export')
  agent, world = exported.write(folder, action=small.BOX)
  return folder, recording.record(world, agent.policy, seed=6)


@pytest.fixture(scope='module')
def pictures_folder(tmp_path_factory):
  """The folder of a policy that sees one image and takes one integer."""
  folder = tmp_path_factory.mktemp('pictures')
  exported.write(folder, observation=small.IMAGE)
  return folder


@pytest.fixture(scope='module')
def pictures(pictures_folder):
  return dreamerv2_tfa.load_policy(pictures_folder)


@pytest.fixture(scope='module')
def loaded(saved):
  return dreamerv2_tfa.load_policy(saved[0], seed=6)


@pytest.fixture
def policy(loaded):
  loaded.reset()
  return loaded


def rows_of(record, t, streams):
  """What the streams see at a step: observation, is_first and row numbers."""
  begins = np.cumsum(recording.LENGTHS) - recording.LENGTHS
  rows = begins[list(streams)] + t
  return {
      key: record[f'observation_{key}'][rows] for key in exported.MIXED
  }, record['is_first'][rows], rows


def observed(rows=None, seed=0):
  rng = np.random.default_rng(seed)
  prefix = [] if rows is None else [rows]
  return {
      'position': rng.normal(size=[*prefix, 3]).astype(np.float32),
      'level': rng.integers(0, 256, [*prefix, 2]).astype(np.uint8),
      'speed': np.float32(rng.normal(size=prefix)),
  }


def test_it_acts_as_the_agent_in_every_bit(saved, policy):
  record = saved[1]
  for t in range(min(recording.LENGTHS)):
    observation, is_first, rows = rows_of(record, t, range(3))
    action = policy.act(observation, is_first)
    np.testing.assert_array_equal(action, record['action'][rows])
  assert record['is_first'].sum() > 10


def test_one_environment_has_no_batch_axis(policy):
  action = policy.act(observed())
  assert isinstance(action, np.ndarray)
  assert action.shape == (6,) and action.dtype == np.float32
  assert (action >= small.BOX.minimum).all()
  assert (action <= small.BOX.maximum).all()


def test_a_batch_of_one_is_a_batch(policy):
  assert policy.act(observed(1)).shape == (1, 6)


def test_a_bare_array_is_enough_where_there_is_one_key(pictures):
  image = np.zeros([64, 64, 1], np.uint8)
  pictures.reset()
  bare = pictures.act(image)
  pictures.reset()
  assert bare == pictures.act({'image': image})
  assert bare.shape == () and bare.dtype == np.int32


def test_reset_begins_again_with_the_same_actions(policy):
  play_some = lambda: [policy.act(observed(seed=t)) for t in range(4)]
  first = play_some()
  policy.reset()
  np.testing.assert_array_equal(first, play_some())


def test_what_was_seen_before_matters_until_an_episode_begins(policy):
  def last(before, is_first):
    policy.reset()
    policy.act(observed(2, seed=before))
    return policy.act(observed(2, seed=9), is_first)

  going_on = last(1, None) != last(2, None)
  assert going_on.any(1).all()
  begun = last(1, [True, False]) != last(2, [True, False])
  assert begun.any(1).tolist() == [False, True]


_WRONG = {
    'a key is missing': (
        lambda x: x.pop('speed'), "must be a dict of ['level', 'position',"
    ),
    'a key is unknown': (
        lambda x: x.update(extra=1.0), "got ['extra', 'level',"
    ),
    'a shape': (
        lambda x: x.update(position=np.zeros(4, np.float32)),
        'observation_position must have shape [3]',
    ),
    'a rank': (
        lambda x: x.update(speed=np.zeros([1, 1, 1], np.float32)),
        'observation_speed must have shape []',
    ),
    'some with a batch axis': (
        lambda x: x.update(speed=np.zeros([1], np.float32)),
        'observation_speed must have shape []',
    ),
    'scaled pixels': (
        lambda x: x.update(level=np.array([0.5, 0.1], np.float32)),
        'observation_level must be uint8; got float32',
    ),
    'a number that uint8 does not hold': (
        lambda x: x.update(level=[3, 256]), 'got int64 from 3 to 256',
    ),
    'text': (
        lambda x: x.update(position=['a', 'b', 'c']), 'must be float32',
    ),
    'ragged lists': (
        lambda x: x.update(position=[[1.0], 2.0, 3.0]), 'is no array',
    ),
    'not finite': (
        lambda x: x.update(speed=np.nan), 'observation_speed must be finite',
    ),
    'too large for float32': (
        lambda x: x.update(speed=1e39), 'observation_speed must be finite',
    ),
}


@pytest.mark.parametrize('what', _WRONG)
def test_a_wrong_observation_is_refused(what, policy):
  spoil, message = _WRONG[what]
  observation = observed()
  spoil(observation)
  with pytest.raises(ValueError) as refusal:
    policy.act(observation)
  assert message in str(refusal.value)


def test_keys_with_different_numbers_of_rows_are_refused(policy):
  observation = observed(3)
  observation['speed'] = observation['speed'][:2]
  with pytest.raises(ValueError, match='as many of each key'):
    policy.act(observation)


def test_other_numbers_of_environments_need_a_reset(policy):
  policy.act(observed(3))
  with pytest.raises(ValueError, match=r'of 2 environments.* reset\(\)'):
    policy.act(observed(2))
  with pytest.raises(ValueError, match=r'of one environment.* reset\(\)'):
    policy.act(observed())
  policy.reset()
  policy.act(observed(2))


@pytest.mark.parametrize('is_first', [[True], [True] * 4, 1, 'yes'])
def test_is_first_must_be_a_bool_of_each_row(is_first, policy):
  with pytest.raises(ValueError, match='is_first must be a bool'):
    policy.act(observed(3), is_first)


def test_an_observation_that_was_refused_changes_nothing(policy):
  policy.act(observed(seed=1))
  with pytest.raises(ValueError):
    policy.act({})
  kept = policy.act(observed(seed=2))
  policy.reset()
  policy.act(observed(seed=1))
  np.testing.assert_array_equal(kept, policy.act(observed(seed=2)))


def test_numbers_are_converted_where_they_keep_their_meaning(policy):
  wanted = policy.act(observed())
  policy.reset()
  lists = {key: np.asarray(x).tolist() for key, x in observed().items()}
  np.testing.assert_array_equal(policy.act(lists), wanted)


def test_a_folder_that_is_no_export_is_refused(tmp_path):
  with pytest.raises(ValueError, match='is no exported policy.*bin/export'):
    dreamerv2_tfa.load_policy(tmp_path)


# The other formats -----------------------------------------------------------


@pytest.fixture(scope='module', params=['tflite', 'onnx'])
def converted(request, tmp_path_factory):
  """The folder of an export in another format, and its agent's recording."""
  if request.param == 'onnx':
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
  folder = tmp_path_factory.mktemp(request.param)
  agent, world = exported.make(action=small.BOX)
  export.write(agent, request.param, folder, {'task': 'toy', 'updates': 7})
  mode = export._policy(agent, request.param)
  return folder, recording.record(world, mode, seed=6)


def test_another_format_acts_as_the_mode_of_the_agent(converted):
  folder, record = converted
  policy = dreamerv2_tfa.load_policy(folder, seed=3)
  for t in range(min(recording.LENGTHS)):
    observation, is_first, rows = rows_of(record, t, range(3))
    action = policy.act(observation, is_first)
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, record['action'][rows], atol=1e-5)
  assert np.ptp(record['action'], 0).min() > 0.01


def test_another_format_has_one_environment_or_many_and_forgets(converted):
  policy = dreamerv2_tfa.load_policy(converted[0])
  first = [policy.act(observed(seed=t)) for t in range(3)]
  assert first[0].shape == (6,)
  with pytest.raises(ValueError, match=r'reset\(\)'):
    policy.act(observed(2))
  policy.reset()
  again = [policy.act(observed(seed=t)) for t in range(3)]
  np.testing.assert_array_equal(first, again)
  policy.reset()
  assert not np.array_equal(policy.act(observed(seed=2)), first[2])
  with pytest.raises(ValueError, match='observation_speed must be finite'):
    policy.act({**observed(), 'speed': np.nan})


def test_a_file_that_is_damaged_is_one_message(converted, tmp_path):
  folder = tmp_path / 'copy'
  shutil.copytree(converted[0], folder)
  file, = folder.glob('policy.[!j]*')
  for damage in (lambda: file.write_bytes(file.read_bytes()[:1000]),
                 file.unlink):
    damage()
    with pytest.raises(ValueError, match=f'{file.name}. Export again, or copy'):
      dreamerv2_tfa.load_policy(folder)


def test_a_damaged_saved_model_is_one_message(saved, tmp_path):
  folder = tmp_path / 'copy'
  shutil.copytree(saved[0], folder)
  (folder / 'saved_model.pb').write_bytes(b'nothing')
  with pytest.raises(ValueError, match='changed .*: saved_model.pb') as one:
    dreamerv2_tfa.load_policy(folder)
  assert len(str(one.value).splitlines()) == 1


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  (tmp_path / 'policy.onnx').touch()
  manifest.write(tmp_path, {
      'format': 'onnx', 'inputs': {}, 'observation': {}, 'parts': None,
      'signature': 'environment'})
  with pytest.raises(ValueError, match=r'onnxruntime is not installed.*\[onnx'):
    dreamerv2_tfa.load_policy(tmp_path)


def test_an_unknown_format_is_refused(tmp_path):
  manifest.write(tmp_path, {
      'format': 'h5', 'inputs': {}, 'observation': {}, 'parts': None,
      'signature': 'environment'})
  with pytest.raises(
      ValueError, match="'h5'; .*'saved_model', 'onnx', 'tflite"):
    dreamerv2_tfa.load_policy(tmp_path)
