"""An export in which something else is put in place of the policy.

Whoever does that writes `policy.json` again, so its hashes say nothing. Each
kind goes through every door: `load_policy`, `bin/serve`, `bin/export --verify`.
"""

import inspect
import json
import pathlib
import shutil

import exported
import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import operations
from dreamerv2_tfa.deployment import server

_SEEN = {
    'position': np.zeros(3, np.float32), 'level': np.zeros(2, np.uint8),
    'speed': np.float32(0),
}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
  """The folder of an export of this package."""
  folder = tmp_path_factory.mktemp('written')
  exported.write(folder)
  return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
  """A copy of it; the working directory is beside it."""
  monkeypatch.chdir(tmp_path)
  return shutil.copytree(written, tmp_path / 'exported')


def _ran():
  return pathlib.Path('ran').exists()


def _write_file():
  tf.raw_ops.WriteFile(filename='ran', contents='x')


def _python():
  tf.py_function(lambda: pathlib.Path('ran').touch(), [], [])


def _save():
  tf.raw_ops.SaveV2(
      prefix='ran', tensor_names=['x'], shape_and_slices=[''],
      tensors=[tf.constant(1.0)])


def _nested():
  tf.cond(tf.constant(True), lambda: tf.map_fn(  # pyright: ignore[reportCallIssue]
      lambda x: (_write_file(), x)[1], tf.constant([1.0]))[0],
          lambda: tf.constant(0.0))


_PAYLOADS = {
    'WriteFile': _write_file, 'EagerPyFunc': _python, 'SaveV2': _save,
    'WriteFile in a loop in a branch': _nested,
}


def _put_in_place(folder, payload):
  """A model with the policy's signatures that does something beside."""
  module = tf.saved_model.load(str(folder))
  described = json.loads((folder / 'policy.json').read_text())
  signature = module.signatures['action']

  @tf.function(autograph=False)
  def action(**inputs):
    payload()
    return signature(**inputs)

  inputs = signature.structured_input_signature[1]
  fake = tf.Module()
  fake.kept = module
  shutil.rmtree(folder)
  tf.saved_model.save(fake, str(folder), signatures={
      'action': action.get_concrete_function(**inputs),
      'get_initial_state': module.signatures['get_initial_state']})
  manifest.write(folder, described)


@pytest.mark.parametrize('payload', _PAYLOADS)
def test_a_model_that_does_more_than_compute_is_refused(folder, payload):
  _put_in_place(folder, _PAYLOADS[payload])
  for door in (dreamerv2_tfa.load_policy,
               lambda path: server.make(path, port=0),
               lambda path: export.verify('nowhere', path)):
    with pytest.raises(checks.UserError) as caught:
      door(folder)
    said = str(caught.value)
    assert str(folder) in said and "trust='any'" in said
    assert f'the operation {payload.partition(" ")[0]!r}' in said
  assert not _ran()


@pytest.mark.parametrize('trust', [
    lambda folder: 'any', manifest.fingerprint], ids=['any', 'its hash'])
def test_the_users_own_word_lets_it_through(folder, trust):
  _put_in_place(folder, _write_file)
  policy = dreamerv2_tfa.load_policy(folder, trust=trust(folder))
  assert not _ran()
  policy.act(_SEEN)
  assert _ran()


def test_another_export_than_the_trusted_one_is_refused(folder):
  trusted = manifest.fingerprint(folder)
  dreamerv2_tfa.load_policy(folder, trust=trusted.upper())
  _put_in_place(folder, _write_file)
  with pytest.raises(checks.UserError, match=f'wanted {trusted}'):
    dreamerv2_tfa.load_policy(folder, trust=trusted)


@pytest.mark.parametrize('trust', [True, '', 'yes', 'ab' * 31])
def test_a_trust_that_is_no_hash_is_refused(folder, trust):
  with pytest.raises(checks.UserError, match="must be 'any' or the SHA-256"):
    dreamerv2_tfa.load_policy(folder, trust=trust)


def _initialized(folder):
  """A table that reads a file when the model is loaded."""
  pathlib.Path('words').write_text('a\n')
  index = tf.lookup.TextFileIndex
  module = tf.Module()
  module.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
      'words', tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER), 0)
  shutil.rmtree(folder / 'variables')
  tf.saved_model.save(module, str(folder))
  shutil.rmtree(folder / 'assets')


def _of_version_1(folder):
  """A model of TensorFlow 1, whose main operation runs when it is loaded."""
  shutil.rmtree(folder / 'variables')
  (folder / 'saved_model.pb').unlink()
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    write = tf.raw_ops.WriteFile(filename='ran', contents='x')
    builder = tf.compat.v1.saved_model.Builder(str(folder / 'one'))
    builder.add_meta_graph_and_variables(session, ['serve'], main_op=write)
    builder.save()
  shutil.move(folder / 'one' / 'saved_model.pb', folder)
  shutil.rmtree(folder / 'one')


@pytest.mark.parametrize('put, said', [
    (_initialized, "an object of the kind 'tf.StaticHashTable'"),
    (_of_version_1, 'has not one graph with its objects'),
    (lambda folder: (folder / 'saved_model.pbtxt').touch(),
     "the file 'saved_model.pbtxt'"),
    (lambda folder: (folder / 'assets' / 'x').touch(), "the file 'assets/x'"),
    (lambda folder: (folder / 'saved_model.pb').write_bytes(b'\xff' * 99),
     'is no SavedModel'),
], ids=['table', 'version 1', 'text', 'assets', 'no model'])
def test_what_runs_or_is_read_at_loading_is_refused(folder, put, said):
  put(folder)
  manifest.write(folder, json.loads((folder / 'policy.json').read_text()))
  with pytest.raises(checks.UserError, match=said):
    dreamerv2_tfa.load_policy(folder)
  assert not _ran()


@pytest.mark.parametrize('spoil', [
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.with_name('new').touch(), pathlib.Path.unlink])
def test_files_that_are_not_those_of_the_export_are_named(folder, spoil):
  path = folder / 'variables' / 'variables.index'
  spoil(path)
  with pytest.raises(ValueError, match='since the export: variables/(v|new)'):
    dreamerv2_tfa.load_policy(folder)


def test_a_new_file_is_not_read(folder):
  with (folder / 'huge').open('wb') as file:
    file.truncate(40 * 10**9)
  with pytest.raises(ValueError, match='since the export: huge'):
    dreamerv2_tfa.load_policy(folder)


@pytest.mark.parametrize('text', [
    '[' * 100_000 + ']' * 100_000, '{"version": 2}', '{"version": 2, "format": '
    '1, "files": [], "inputs": 0, "observation": {}}', ''])
def test_a_policy_json_that_says_something_else_is_one_message(folder, text):
  (folder / 'policy.json').write_text(text)
  with pytest.raises(ValueError, match='policy.json'):
    dreamerv2_tfa.load_policy(folder)


def test_a_policy_json_of_any_size_is_not_read(folder):
  with (folder / 'policy.json').open('r+b') as file:
    file.truncate(40 * 10**9)
  with pytest.raises(ValueError, match='40,000,000,000 bytes, and at most'):
    dreamerv2_tfa.load_policy(folder)


# The other formats ------------------------------------------------------------


def test_tensorflows_operations_in_tensorflow_lite_are_refused(folder):
  shutil.rmtree(folder)
  folder.mkdir()

  @tf.function(input_signature=[tf.TensorSpec([1])])
  def action(x):
    _write_file()
    return x + 1.0

  converter = tf.lite.TFLiteConverter.from_concrete_functions(
      [action.get_concrete_function()], tf.Module())
  converter.target_spec.supported_ops = [
      tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
  (folder / 'policy.tflite').write_bytes(converter.convert())
  _describe(folder, 'tflite')
  with pytest.raises(checks.UserError, match="the operation 'FlexWriteFile'"):
    dreamerv2_tfa.load_policy(folder)
  assert not _ran()


@pytest.mark.parametrize('place', ['{0}/secret', '../secret', 'link'])
def test_onnx_reads_no_file_out_of_its_folder(folder, tmp_path, place):
  onnx = pytest.importorskip('onnx')
  shutil.rmtree(folder)
  folder.mkdir()
  (tmp_path / 'secret').write_bytes(b'12345678')
  weights = onnx.TensorProto(
      name='w', data_type=onnx.TensorProto.UINT8, dims=[8],
      data_location=onnx.TensorProto.EXTERNAL)
  weights.external_data.add(key='location', value=place.format(tmp_path))
  graph = onnx.helper.make_graph(
      [onnx.helper.make_node('Identity', ['w'], ['action'])], 'policy', [],
      [onnx.helper.make_tensor_value_info(
          'action', onnx.TensorProto.UINT8, [8])], [weights])
  model = onnx.helper.make_model(
      graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
  (folder / 'policy.onnx').write_bytes(model.SerializeToString())
  if place == 'link':
    (folder / 'link').symlink_to(tmp_path / 'secret')
  _describe(folder, 'onnx')
  with pytest.raises(ValueError, match="cannot be read|the file 'link'"):
    dreamerv2_tfa.load_policy(folder)


def _describe(folder, form):
  manifest.write(folder, {
      'format': form, 'inputs': {}, 'observation': {}, 'parts': None,
      'signature': 'environment'})


# This package's own -----------------------------------------------------------


_NORMS = tuple(
    f"{part}.norm = 'layer'" for part in ('RSSM', 'Encoder', 'Decoder', 'MLP'))
_LIKE_NONE = tuple(
    f'{part}.activation = {{0!r}}'
    for part in ('RSSM', 'Encoder', 'Decoder', 'MLP'))


def _activations(name):
  return tuple(line.format(name) for line in _LIKE_NONE)


@pytest.mark.slow
@pytest.mark.parametrize('bindings, options', [
    ((), {'action': small.BOX}),
    (_NORMS, {'observation': small.IMAGE}),
    (("ActorCritic.actor_distribution = 'tanh_normal'",),
     {'action': small.BOX}),
    ((), {'precision': 'mixed_float16'}),
    ((), {'precision': 'mixed_bfloat16', 'observation': small.IMAGE}),
    (('RSSM.classes = 0', "RSSM.std_activation = 'softplus'"), {}),
    (('RSSM.classes = 0', "RSSM.std_activation = 'sigmoid'"), {}),
    (('RSSM.ensemble = 3', 'WorldModel.continue_head = False'), {}),
    (('DreamerV2Agent.eval_mode_latent = True',
      'DreamerV2Agent.eval_noise = 0.1'), {}),
    (('DreamerV2Agent.eval_noise = 0.1',), {'action': small.BOX}),
    (("DreamerV2Agent.exploration = 'plan2explore'",), {}),
    *((_activations(name), {}) for name in (
        'gelu', 'relu', 'relu6', 'leaky_relu', 'selu', 'silu', 'softplus',
        'softsign', 'tanh')),
])
def test_every_policy_of_this_package_is_loaded(tmp_path, bindings, options):
  exported.write(tmp_path, *bindings, **options)
  operations.check(tmp_path / 'saved_model.pb')


def test_the_known_operations_are_of_tensorflow_and_take_no_names_of_files():
  for name in operations._COMPUTING:
    arguments = inspect.signature(getattr(tf.raw_ops, name)).parameters
    assert not {'filename', 'filenames', 'prefix', 'token'} & set(arguments)
