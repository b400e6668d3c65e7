"""Tests of damaged and changed folders: every reader says what is wrong."""

import contextlib
import io
import json
import pathlib
import shutil

import gin
import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import metrics

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('clean')]

_SETTINGS = {
    'prefill': 24, 'steps': 40, 'steps_per_update': 8, 'save_every': 16,
    'log_every': 8, 'eval_every': 1000,
}


class Show(gymnasium.Env):
  """Shows two vectors by these names; ends after five steps."""

  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, names=('pos', 'vel'), high=1.0):
    box = gymnasium.spaces.Box(-1, high, (2,), np.float32)
    self.observation_space = gymnasium.spaces.Dict(dict.fromkeys(names, box))

  def _look(self):
    return {name: np.zeros(2, np.float32) for name in self.observation_space}

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._time = 0
    return self._look(), {}

  def step(self, action):
    self._time += 1
    return self._look(), 1.0, self._time == 5, False, {}


def make_show(seed):
  del seed
  return Show()


def train(root_dir, environment=make_show, **settings):
  """Trains in this process: what it prints."""
  output = io.StringIO()
  with contextlib.redirect_stdout(output):
    dreamerv2_tfa.train(
        environment, root_dir=root_dir, preset=['gym', 'debug'],
        **{**_SETTINGS, **settings})
  return output.getvalue()


@pytest.fixture(scope='module')
def done(tmp_path_factory):
  """A run to its end, with checkpoints at 32 and 40 steps."""
  root = tmp_path_factory.mktemp('done') / 'run'
  train(root)
  yield root
  gin.clear_config()
  tf.config.run_functions_eagerly(False)


@pytest.fixture
def copy(done, tmp_path):
  shutil.copytree(done, tmp_path / 'copy')
  return tmp_path / 'copy'


def contents(root):
  return {path.relative_to(root): path.read_bytes()
          for path in root.rglob('*') if path.is_file()}


# Damaged files ----------------------------------------------------------------


def cut(pattern, left=60):
  def damage(root):
    path, = root.glob(pattern)
    path.write_bytes(path.read_bytes()[:left])
    return path
  return damage


def write(name, text):
  def damage(root):
    (root / name).write_text(text)
    return root / name
  return damage


def append(name, text):
  def damage(root):
    (root / name).write_text((root / name).read_text() + text)
    return root / name
  return damage


def remove(name):
  def damage(root):
    (root / name).unlink()
    return root / name
  return damage


_DAMAGES = {
    'cut rows': cut('replay/000000000000.tfrecord'),
    'empty rows': cut('replay/000000000000.tfrecord', 0),
    'cut checkpoint': cut('checkpoints/ckpt-40.data-00000-of-00001'),
    'cut index': cut('checkpoints/ckpt-40.index'),
    'no index': remove('checkpoints/ckpt-40.index'),
    'no data': remove('checkpoints/ckpt-40.data-00000-of-00001'),
    'empty protocol': write('protocol.json', ''),
    'list as protocol': write('protocol.json', '[]'),
    'protocol without a task': write('protocol.json', '{"seed": 0}'),
    'metrics': append('metrics.jsonl', 'no JSON\n'),
    'no settings': remove('operative_config.gin'),
    'cut settings': write('operative_config.gin', 'train.steps = (1,\n'),
    'other settings': write('operative_config.gin', 'nothing.known = 1\n'),
    'cut specs': cut('specs.pbtxt'),
}
_CHECKPOINT = ('cut checkpoint', 'cut index', 'no index', 'no data')
_PROTOCOL = ('empty protocol', 'list as protocol', 'protocol without a task')
_CONFIG = ('no settings', 'cut settings', 'other settings')
_ROWS = ('cut rows', 'empty rows')


def export_to(root):
  export.export(root, root.parent / 'out', task=None)


_READERS = {
    'resume': (train, (*_PROTOCOL, *_ROWS, 'metrics')),
    'export': (export_to, (*_CHECKPOINT, *_PROTOCOL, *_CONFIG[1:], 'metrics')),
    'load_agent': (dreamerv2_tfa.load_agent, (
        *_CHECKPOINT, *_PROTOCOL, *_CONFIG, 'cut specs')),
    'replay_from': (
        lambda root: train(root.parent / 'new', replay_from=str(root)),
        (*_PROTOCOL, *_ROWS)),
    'model_from': (
        lambda root: train(root.parent / 'new', model_from=str(root)),
        (*_CHECKPOINT, *_PROTOCOL)),
    'open_loop': (
        lambda root: open_loop.report(root, context=2, horizon=1, windows=2),
        (*_CHECKPOINT, *_PROTOCOL, *_CONFIG, *_ROWS)),
}


@pytest.mark.parametrize('reader, damage', [
    (reader, damage) for reader, (_, damages) in _READERS.items()
    for damage in damages])
def test_a_damaged_file_is_named_with_reason_and_way_out(copy, reader, damage):
  path = _DAMAGES[damage](copy)
  before = contents(copy)
  with pytest.raises(ValueError) as refusal:
    _READERS[reader][0](copy)
  message = str(refusal.value).partition('\n  In call to configurable')[0]
  assert str(path) in message, message
  assert '\n' not in message
  assert any(word in message for word in (
      'Put it back', 'Put the file back', 'Repair or remove'))
  assert contents(copy) == before
  assert not (copy.parent / 'new').exists()
  assert not (copy.parent / 'out').exists()


@pytest.mark.parametrize('damage', _CHECKPOINT)
def test_a_resume_sets_a_damaged_checkpoint_aside(copy, damage):
  path = _DAMAGES[damage](copy)
  lines = len((copy / 'metrics.jsonl').read_text().splitlines())
  output = train(copy)
  assert f'Note: the last checkpoint is damaged: {path}' in output
  assert 'ckpt-40.*.damaged, and the run resumes from ckpt-32' in output
  assert 'Resumed at 32 frames' in output and 'Done: 40 frames' in output
  assert list(copy.glob('checkpoints/ckpt-40.*.damaged'))
  rows = (copy / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(rows[lines]) == {'step': 32, 'resumed': 32}
  steps = [row['step'] for row in metrics.read(copy / 'metrics.jsonl')]
  assert steps == sorted(steps) and steps[-1] == 40


def test_the_way_out_of_a_damaged_protocol_is_one(copy):
  (copy / 'protocol.json').unlink()
  output = train(copy, steps=48)
  assert 'Resumed at 40 frames' in output
  assert f'Note: there is no protocol.json in {copy}' in output
  assert json.loads((copy / 'protocol.json').read_text())['task']


def test_a_row_that_is_cut_is_named_and_the_run_resumes(copy):
  path = copy / 'replay' / '000000000000.tfrecord'
  path.write_bytes(path.read_bytes()[:-10])
  output = train(copy, steps=48)
  # Of a checkpoint that does not count its rows, it is one after the last.
  assert f'Note: {path} ends inside row' in output or (
      'Note: 1 rows in replay/ are beyond the checkpoint' in output)
  assert 'Resumed at 40 frames' in output


def test_rows_that_are_gone_are_missed_before_training(copy):
  shutil.rmtree(copy / 'replay')
  with pytest.raises(ValueError, match='replay holds 0 rows of a run that has '
                     'taken 40 steps'):
    train(copy, steps=48)


# The state file ---------------------------------------------------------------


def test_every_reader_finds_the_checkpoint_without_its_state_file(copy):
  (copy / 'checkpoints' / 'checkpoint').unlink()
  assert int(dreamerv2_tfa.load_agent(copy).train_step_counter) > 0
  train(copy.parent / 'new', model_from=str(copy))
  assert 'Resumed at 40 frames' in train(copy, steps=48)
  folder = copy / 'checkpoints'
  assert checkpoint_files.find(folder) == str(folder / 'ckpt-48')


def test_a_run_killed_before_its_first_save_begins_again_over_nothing(copy):
  for name in ('replay', 'checkpoints'):
    shutil.rmtree(copy / name)
  lines = (copy / 'metrics.jsonl').read_text().splitlines()
  output = train(copy)
  assert 'saved no checkpoint; a new one begins at step 0' in output
  assert 'Done: 40 frames' in output
  rows = (copy / 'metrics.jsonl').read_text().splitlines()
  assert rows[:len(lines)] == lines
  assert json.loads(rows[len(lines)]) == {'step': 0, 'resumed': 0}
  assert len(metrics.read(copy / 'metrics.jsonl')) == len(rows) - len(lines) - 1


def test_a_run_without_its_checkpoints_is_not_written_over(copy):
  shutil.rmtree(copy / 'checkpoints')
  before = contents(copy)
  with pytest.raises(ValueError, match='has no checkpoint, but replay/'):
    train(copy)
  assert contents(copy) == before


# What is resumed must be the same ---------------------------------------------


def change(root, **facts):
  path = root / 'protocol.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def test_the_protocol_says_what_is_stored(done):
  facts = json.loads((done / 'protocol.json').read_text())
  assert facts['environments'] == 1
  assert list(facts['observation']) == ['pos', 'vel']
  assert facts['observation']['pos'] == {
      'shape': [2], 'dtype': 'float32', 'minimum': -1.0, 'maximum': 1.0}
  assert facts['action'] == {
      'shape': [], 'dtype': 'int32', 'minimum': 0, 'maximum': 1}


@pytest.mark.parametrize('facts, words', [
    (dict(action_repeat=4), 'action repeat 1, and 4 there'),
    (dict(environments=2), 'train.environments 1, and 2 there'),
    (dict(action={'shape': [1], 'dtype': 'float32', 'minimum': -1,
                  'maximum': 2}), 'float32 [1] from -1 to 2 there'),
])
def test_what_changes_the_meaning_of_stored_steps_is_refused(
    copy, facts, words):
  change(copy, **facts)
  before = contents(copy)
  with pytest.raises(ValueError) as refusal:
    train(copy, steps=48)
  assert words in str(refusal.value) and str(copy) in str(refusal.value)
  assert contents(copy) == before


@pytest.mark.parametrize('environment, words', [
    (lambda seed: Show(('alpha', 'beta')),
     'observations alpha, beta, and pos, vel there'),
    (lambda seed: Show(('pos', 'vem')), 'pos, vem, and pos, vel there'),
    (lambda seed: Show(high=2.0), 'from -1.0 to 2.0, and float32 [2] from -1.0 '
     'to 1.0 there'),
])
def test_other_observations_of_the_same_shapes_are_refused(
    done, copy, environment, words):
  environment.__name__ = 'make_show'
  for call in (
      lambda: train(copy, environment, steps=48),
      lambda: train(copy.parent / 'a', environment, model_from=str(done)),
      lambda: train(copy.parent / 'b', environment, replay_from=str(done)),
  ):
    with pytest.raises(ValueError) as refusal:
      call()
    assert words in str(refusal.value)
  assert not (copy.parent / 'a').exists()
  assert not (copy.parent / 'b').exists()


def test_a_report_on_rows_of_other_observations_is_refused(done, copy):
  facts = json.loads((copy / 'protocol.json').read_text())
  box = facts['observation']['pos']
  change(copy, observation={'alpha': box, 'beta': box})
  with pytest.raises(ValueError, match='pos, vel, and alpha, beta there'):
    open_loop.report(done, copy, context=2, horizon=1, windows=2)


def test_an_older_protocol_that_says_less_is_resumed(copy):
  path = copy / 'protocol.json'
  facts = json.loads(path.read_text())
  for key in ('observation', 'action', 'environments'):
    del facts[key]
  path.write_text(json.dumps(facts))
  assert 'Resumed at 40 frames' in train(copy, steps=48)
  assert 'observation' in json.loads(path.read_text())


def test_what_may_change_is_noted_a_line_each(copy):
  output = train(copy, steps=48, seed=3, **{'MLP.units': 16, 'batch_size': 2,
                 'DreamerV2Agent.model_learning_rate': 1e-5})
  notes = [line for line in output.splitlines() if 'Note: resumed' in line]
  assert notes[0] == 'Note: resumed with seed 3; the run had 0.'
  assert any('model_learning_rate = 1e-05; the run had' in x for x in notes)
  assert 'Note: resumed with train.batch_size = 2; the run had 3.' in notes
  assert 'Note: resumed with train.steps = 48; the run had 40.' in notes
  assert len(notes) == 4
  assert 'Note: resumed' not in train(copy, steps=48, seed=3, **{
      'batch_size': 2, 'DreamerV2Agent.model_learning_rate': 1e-5})


def test_another_precision_is_noted(copy):
  assert (
      'Note: resumed with precision mixed_bfloat16; the run had float32.'
  ) in train(copy, steps=48, precision='bf16').splitlines()


# One folder, one run ----------------------------------------------------------


def test_a_folder_that_is_in_use_is_read_but_not_written(copy):
  with lock.locked(copy / 'lock'):
    before = contents(copy)
    with pytest.raises(ValueError, match='is in use: process'):
      train(copy, steps=48)
    dreamerv2_tfa.load_agent(copy)
    assert contents(copy) == before
    train(copy, steps=48, dry_run=True)
    assert contents(copy) == before
  train(copy, steps=48)


# Paths ------------------------------------------------------------------------


def _link(tmp_path):
  (tmp_path / 'there').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'there')
  return 'link'


@pytest.mark.parametrize('path', [
    'a run', 'größe 日本', '~/home', 'sub/../up', "it's #1 {x} $y %20", '-run',
    _link,
])
def test_a_run_at_a_strange_path_trains_resumes_and_is_read(
    path, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path / 'person'))
  root = path(tmp_path) if callable(path) else path
  train(root)
  assert 'Resumed at 40 frames' in train(root, steps=48)
  dreamerv2_tfa.load_agent(root)
  assert not (tmp_path / '~').exists()
  real = pathlib.Path(root).expanduser()
  names = sorted(path.name for path in (real / 'checkpoints').glob('*.index'))
  assert names == ['ckpt-40.index', 'ckpt-48.index']


def test_an_export_of_a_run_at_a_strange_path_is_loaded_from_another(
    done, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setattr(
      tasks, 'load', lambda name: custom.from_factory(name, make_show))
  shutil.copytree(done, "größe #1 it's")
  export.export("größe #1 it's", '~/日本 out')
  policy = dreamerv2_tfa.load_policy('~/日本 out')
  assert policy.manifest['evaluation']['frames'] == 40
  assert (tmp_path / '日本 out' / 'policy.json').exists()


@pytest.mark.parametrize('path', ['out[1]', 'gs://bucket/out'])
def test_an_export_at_a_path_that_cannot_be_is_refused_at_once(done, path):
  for call in (lambda: export.export(done, path),
               lambda: dreamerv2_tfa.load_policy(path)):
    with pytest.raises(ValueError, match='pattern|path of a folder of this'):
      call()


def test_a_run_in_a_folder_whose_parent_is_a_pattern_is_refused_at_once(
    tmp_path):
  with pytest.raises(ValueError, match='takes for a pattern'):
    train(tmp_path / 'runs[1]' / 'x')
  assert not list(tmp_path.iterdir())


# One number that is not finite ------------------------------------------------


def test_a_run_that_met_a_nan_resumes_once_it_is_fixed(
    tmp_path, monkeypatch):
  # After the checkpoint at 32 steps; rows are poisoned as the driver stores
  # them, whatever the environment's own checks are.
  guard, count = collection._Guard.__call__, [0]

  def poisoned(self, row):
    count[0] += 1
    if count[0] == 43:
      bad = {**row.observation, 'pos': row.observation['pos'] * np.nan}
      row = row._replace(observation=bad)
    return guard(self, row)

  with monkeypatch.context() as patch:
    patch.setattr(collection._Guard, '__call__', poisoned)
    with pytest.raises(FloatingPointError, match="observation 'pos' is not fi"):
      train(tmp_path / 'run')
  output = train(tmp_path / 'run')
  assert 'Resumed at 32 frames' in output and 'Done: 40 frames' in output
