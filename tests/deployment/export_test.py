"""Tests of exports: they act as the agent does, without this package."""

import json
import subprocess
import sys

import exported as exported_lib
import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.specs import tensor_spec

from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import model
from dreamerv2_tfa.deployment import player
from dreamerv2_tfa.deployment import recording

_FROM_3 = tensor_spec.BoundedTensorSpec((), tf.int64, 3, 8)
_EYE = small.IMAGE['image']
_GAUSSIAN = 'RSSM.classes = 0'
# Bindings, and what makes the agent.
_KINDS = {
    'vectors and a choice': ((), {}),
    'an image and a box': (
        (), dict(action=small.BOX, observation=small.IMAGE)
    ),
    'Gaussian latents, an ensemble, a box': (
        (_GAUSSIAN, 'RSSM.ensemble = 2'), dict(action=small.BOX)
    ),
    'integers from 3': ((), dict(action=_FROM_3)),
    'bfloat16': ((), dict(precision='mixed_bfloat16', action=small.BOX)),
    'action noise': ((), dict(eval_noise=0.3)),
    'a nested observation': (
        ("RSSM.norm = 'layer'",),
        dict(observation={'arm': exported_lib.MIXED, 'eye': _EYE}),
    ),
}
_CONVERTIBLE = [
    'vectors and a choice', 'an image and a box', 'integers from 3',
    'Gaussian latents, an ensemble, a box', 'a nested observation',
]


def make(kind):
  """An agent of a kind, and a world for it."""
  bindings, kwargs = _KINDS[kind]
  return exported_lib.make(*bindings, **kwargs)


def replayed(folder, agent, environment, form, tmp_path, capsys):
  """What replaying in this process finds."""
  record = recording.record(environment, export._policy(agent, form), seed=0)
  np.savez(tmp_path / 'record.npz', **record)
  player.main(folder, tmp_path / 'record.npz')
  return json.loads(capsys.readouterr().out.splitlines()[-1]), record


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  """An agent, its world, and its SavedModel."""
  folder = tmp_path_factory.mktemp('export')
  return *exported_lib.write(folder), folder


@pytest.fixture(scope='module')
def loaded(exported):
  return tf.saved_model.load(str(exported[2]))


# The same as the agent --------------------------------------------------------


_QUICK = ('vectors and a choice', 'an image and a box')
_slow = lambda kinds: [
    kind if kind in _QUICK else pytest.param(kind, marks=pytest.mark.slow)
    for kind in kinds
]


@pytest.mark.parametrize('kind', _slow(_KINDS))
def test_a_saved_model_acts_as_the_agent_in_every_bit(kind, tmp_path, capsys):
  agent, world = make(kind)
  folder = tmp_path / 'out'
  export.write(agent, 'saved_model', folder, {})
  found, record = replayed(folder, agent, world, 'saved_model', tmp_path,
                           capsys)
  assert found['differ'] == 0 and found['steps'] == sum(recording.LENGTHS)
  assert found['episodes'] > len(recording.LENGTHS)
  assert len(np.unique(record['action'], axis=0)) > 2


@pytest.mark.parametrize('form', ['tflite', 'onnx'])
@pytest.mark.parametrize('kind', _slow(_CONVERTIBLE))
def test_another_format_acts_as_the_agent_within_1e_5(
    kind, form, tmp_path, capsys):
  if form == 'onnx':
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
  agent, world = make(kind)
  folder = tmp_path / 'out'
  folder.mkdir()
  export.write(agent, form, folder, {})
  found, record = replayed(folder, agent, world, form, tmp_path, capsys)
  assert found['largest'] <= 1e-5 and found['steps'] == sum(recording.LENGTHS)
  assert np.ptp(record['state_deter'], 0).max() > 0.1


def test_in_a_fresh_process_it_needs_tensorflow_alone(exported):
  found = export.compare(*exported)
  assert found['differ'] == 0 and found['imported'] == []


@pytest.mark.slow
def test_another_agent_is_told_apart(exported):
  other, _ = make('vectors and a choice')
  other.actor_critic.actor.trainable_variables[-2].assign_add(
      tf.random.stateless_normal(
          other.actor_critic.actor.trainable_variables[-2].shape, [1, 2]
      )
  )
  with pytest.raises(ValueError, match='does not act as the agent does'):
    export.compare(other, *exported[1:])


def test_a_process_that_replays_cannot_import_what_it_must_do_without():
  code = (
      'import sys; sys.path.insert(0, sys.argv[1]); import player\n'
      'sys.meta_path.insert(0, player.Absent())\n'
      'for name in player.FORBIDDEN:\n'
      '  try: __import__(name)\n'
      '  except ModuleNotFoundError: print(name)\n'
  )
  folder = export._PLAYER.parent
  process = subprocess.run(
      [sys.executable, '-I', '-c', code, str(folder)], capture_output=True,
      text=True, check=True,
  )
  assert process.stdout.split() == list(player.FORBIDDEN)


# Rows -------------------------------------------------------------------------


def inputs_of(loaded, rows, seed=0):
  """Random inputs of `action` in the middle of episodes."""
  rng = np.random.default_rng(seed)
  state = loaded.signatures['get_initial_state'](
      batch_size=tf.constant(rows), seed=tf.constant(5)
  )
  draw = lambda x: tf.constant(rng.normal(size=x.shape), x.dtype)
  state = {k: v if k == 'state_seed' else draw(v) for k, v in state.items()}
  return {
      'observation_position': draw(tf.zeros([rows, 3])),
      'observation_level': tf.constant(
          rng.integers(0, 256, [rows, 2]), tf.uint8
      ),
      'observation_speed': draw(tf.zeros([rows])),
      'is_first': tf.constant(rng.uniform(size=rows) < 0.3), **state,
  }


def test_a_row_acts_the_same_in_any_company(loaded):
  action = loaded.signatures['action']
  inputs = inputs_of(loaded, 13)
  together = action(**inputs)
  for rows in ([4], [12, 4, 0], range(2, 11)):
    some = action(**{k: tf.gather(v, list(rows)) for k, v in inputs.items()})
    for name, value in some.items():
      wanted = tf.gather(together[name], list(rows))
      np.testing.assert_array_equal(value, wanted)


def test_a_row_that_begins_forgets_all_but_its_seed(loaded):
  action = loaded.signatures['action']
  inputs = inputs_of(loaded, 2)
  inputs['is_first'] = tf.constant([True, True])
  other = {k: v + 1.0 if k.startswith('state_') and v.dtype == tf.float32
           else v for k, v in inputs.items()}
  one, two = action(**inputs), action(**other)
  for name in one:
    np.testing.assert_array_equal(one[name], two[name])
  assert not np.array_equal(one['state_seed'], inputs['state_seed'])


def test_rows_of_an_initial_state_have_seeds_of_their_own(loaded):
  initial = loaded.signatures['get_initial_state']
  seeds = lambda seed: initial(
      batch_size=tf.constant(6), seed=tf.constant(seed)
  )['state_seed'].numpy()
  assert len(np.unique(np.concatenate([seeds(0), seeds(1)]), axis=0)) == 12
  np.testing.assert_array_equal(seeds(1), seeds(1))


# The world model --------------------------------------------------------------


def latent_of(loaded, rows):
  inputs = inputs_of(loaded, rows)
  return loaded.encode(
      observation={'position': inputs['observation_position'],
                   'level': inputs['observation_level'],
                   'speed': inputs['observation_speed']},
      is_first=inputs['is_first'],
      state={k[6:]: v for k, v in inputs.items() if k.startswith('state_')},
  ), inputs


def test_encode_is_what_the_policy_believes(loaded):
  latent, inputs = latent_of(loaded, 3)
  after = loaded.signatures['action'](**inputs)
  assert set(latent) == {'deter', 'stoch', 'logits'}
  for name, value in latent.items():
    np.testing.assert_array_equal(value, after[f'state_{name}'])


def test_imagine_follows_the_environments_actions(exported, loaded):
  agent = exported[0]
  latent, _ = latent_of(loaded, 2)
  action = tf.constant([[1, 0, 5, 2], [4, 4, 3, 0]])
  future = loaded.imagine(
      latent=latent, action=action, seed=tf.constant([3, 4])
  )
  assert future['stoch'].shape == (2, 4, 3, 4)
  # The first step by hand: h does not depend on what is drawn.
  state = model.Functions(agent, agent.policy)._latent(latent)
  step = agent.world_model.rssm.img_step(
      state, tf.one_hot(action[:, 0], small.A), tf.constant([0, 0])
  )
  np.testing.assert_allclose(future['deter'][:, 0], step.deter, atol=1e-6)


def test_decode_and_value_take_rows_and_what_imagine_gives(exported, loaded):
  agent = exported[0]
  now, _ = latent_of(loaded, 2)
  future = loaded.imagine(
      latent=now, action=tf.zeros([2, 5], tf.int32),
      seed=tf.constant([0, 0]),
  )
  for latent, prefix in ((now, (2,)), (future, (2, 5))):
    flat = tf.reshape(latent['stoch'], [*prefix, 12])
    feature = tf.concat([flat, latent['deter']], -1)
    decoded = loaded.decode(latent=latent)
    np.testing.assert_allclose(
        decoded['reward'], agent.world_model.reward(feature), atol=1e-5
    )
    np.testing.assert_allclose(
        decoded['discount'], agent.world_model.discount(feature), atol=1e-5
    )
    np.testing.assert_allclose(
        loaded.value(latent=latent),
        agent.actor_critic.critic(feature).mode(), atol=1e-5,
    )
    assert decoded['observation']['position'].shape == (*prefix, 3)
    assert decoded['observation']['speed'].shape == prefix


# policy.json ------------------------------------------------------------------


def test_policy_json_says_what_goes_in_and_out(exported, loaded):
  facts = manifest.read(exported[2])
  assert facts['task'] == 'toy' and facts['format'] == 'saved_model'
  assert facts['observation']['position']['shape'] == [3]
  assert facts['action'] == {
      'shape': [], 'dtype': 'int32', 'minimum': 0, 'maximum': 5,
  }
  signature = loaded.signatures['action']
  _, arguments = signature.structured_input_signature
  assert facts['inputs'] == {
      name: {'shape': spec.shape[1:].as_list(), 'dtype': spec.dtype.name}
      for name, spec in arguments.items()
  }
  assert facts['outputs'] == sorted(signature.structured_outputs)


def test_the_files_are_those_of_the_hashes(exported, tmp_path):
  folder = exported[2]
  facts = manifest.read(folder)
  manifest.check_files(folder, facts)
  assert 'saved_model.pb' in facts['files']
  changed = {**facts, 'files': {**facts['files'], 'saved_model.pb': '0'}}
  with pytest.raises(ValueError, match=r'changed .*: saved_model.pb\.'):
    manifest.check_files(folder, changed)


@pytest.mark.parametrize('text, message', [
    (None, 'No such file'), ('{', 'cannot be read'), ('[]', 'version None'),
    ('{"version": 99}', 'version 99'),
])
def test_a_folder_that_is_no_export_is_refused(text, message, tmp_path):
  if text is not None:
    (tmp_path / 'policy.json').write_text(text)
  with pytest.raises(ValueError, match=message):
    manifest.read(tmp_path)
