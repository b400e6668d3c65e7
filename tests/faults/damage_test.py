"""A sweep of damage to a run's folder and to an export: never silent.

Each case damages a file in one way, at a place that its seed draws, and opens
the folder by a door that reads the file: resume, `load_agent`, `Run`, what an
export loads; `load_policy` and what `bin/serve` loads. It is refused in a
sentence that names the file and the way out, and nothing is written; or what
comes out is what comes out of a whole folder; or the file is named. In CI 200
cases, each by one door; `FAULTS=all` takes all cases by all doors. Replay alone
has a sweep of its own in `replay_test.py` beside this.
"""

import contextlib
import io
import os
import pathlib
import shutil
import zlib

import exported
import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import run as run_lib
from dreamerv2_tfa.deployment import server
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import policies
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('clean')]

_ALL = os.environ.get('FAULTS') == 'all'
_CASES = 200
# Checkpoints at 36 and 40 steps stay; every 15 rows are a file.
_RUN = (
    *small.SIZES, "train.task = 'catch'", 'train.eager = True',
    'train.precision = 32', 'train.prefill = 20', 'train.batch_size = 2',
    'train.sequence_length = 5', 'train.replay_capacity = 150',
    'train.steps = 40', 'train.steps_per_update = 8', 'train.save_every = 8',
    'train.log_every = 8', 'train.eval_every = 16', 'train.eval_episodes = 1',
    'train.eval_steps = 20',
)
_FILES = (  # patterns of one file
    'operative_config.gin', 'protocol.json', 'specs.pbtxt', 'metrics.jsonl',
    'sums.json', 'lock', 'checkpoints/checkpoint', 'checkpoints/ckpt-36.index',
    'checkpoints/ckpt-36.data*', 'checkpoints/ckpt-40.index',
    'checkpoints/ckpt-40.data*', 'checkpoints/best/checkpoint',
    'checkpoints/best/ckpt-40.index', 'checkpoints/best/ckpt-40.data*',
    'checkpoints/best/evaluation.json', 'policies/exported.json',
    'policies/greedy/saved_model.pb', 'train/events*', 'eval/events*',
    'replay/000000000000.tfrecord', 'replay/000000000015.tfrecord',
    'replay/000000000030.tfrecord',
)
_EXPORTED = (
    'policy.json', 'saved_model.pb', 'fingerprint.pb',
    'variables/variables.index', 'variables/variables.data*',
)


# Ways to damage a file --------------------------------------------------------


def _edit(change):
  """Damage that changes the bytes of a file."""
  def damage(path, rng, unused_other):
    path.write_bytes(change(bytearray(path.read_bytes()), rng))
  return damage


def _flip(data, rng):
  data[rng.integers(len(data))] ^= 1 << rng.integers(8)
  return data


def _zeros(data, rng):
  start = rng.integers(len(data) - 1)
  length = min(int(rng.integers(1, 512)), len(data) - start)
  return data[:start] + bytes(length) + data[start + length:]


def _foreign(path, unused_rng, other):
  path.unlink()
  shutil.copyfile(other, path)


def _folder(path, unused_rng, unused_other):
  path.unlink()
  path.mkdir()
  (path / 'file').touch()


_KINDS = {
    'deleted': lambda path, rng, other: path.unlink(),
    'emptied': _edit(lambda data, rng: b''),
    'cut': _edit(lambda data, rng: data[:rng.integers(1, len(data))]),
    'cut at a line': _edit(lambda data, rng: b''.join(
        data.splitlines(keepends=True)[:-1])),
    'a bit flipped': _edit(_flip),
    'another bit flipped': _edit(_flip),
    'a block of zeros': _edit(_zeros),
    "another run's": _foreign,
    'a folder': _folder,
    'text': _edit(lambda data, rng: b'no such file\n' * 20),
    'JSON': _edit(lambda data, rng: b'{"a": [1, {}]}\n'),
}


# Doors ------------------------------------------------------------------------


def _resume(root):
  """Two steps more: what the run then has."""
  with config.isolated():
    presets = run_settings.parse(
        root, [], ['train.steps = 42', 'train.eval_episodes = 0'])
    train.train(root, presets=presets)
  reader = tf.train.load_checkpoint(str(root / 'checkpoints' / 'ckpt-42'))
  names = sorted(reader.get_variable_to_shape_map())
  folder = runs.RunFolder(root)
  return {
      'state': [reader.get_tensor(name) for name in names if not (
          'OBJECT_GRAPH' in name or 'save_counter' in name)],
      'best': (root / 'checkpoints/best/evaluation.json').read_text(),
      'rows': tf.nest.flatten(store.read(
          folder.replay, runs._read_specs(folder), at_least=10**6)),
      'metrics': [{key: x for key, x in row.items() if key != 'fps'}
                  for row in metrics.read(folder.metrics)],
      'files': [path.read_text() for path in (
          folder.protocol, folder.config, folder.specs)],
  }


def _load(root, best=False):
  agent = dreamerv2_tfa.load_agent(root, best=best)
  return {'state': small.values(agent)}


def _look(root):
  run = dreamerv2_tfa.Run(root)
  return {'run': repr(run).partition(' ')[2],
          'metrics': run.metrics.to_dict('list')}


def _export(root):
  with config.isolated():
    run = run_lib.load(root)
  return {'state': small.values(run.agent), 'described': run.described}


def _serve(folder):
  server.make(folder, port=0).close()
  return {}


_SETTINGS = {'operative_config.gin', 'protocol.json', 'specs.pbtxt'}
_LAST = {'checkpoints/checkpoint', *_FILES[9:11]}
_DOORS = {  # and which files each reads
    _resume: set(_FILES),
    _load: _SETTINGS | _LAST,
    _look: {'protocol.json', 'metrics.jsonl', 'sums.json', *_LAST},
    _export: _SETTINGS | _LAST | {'metrics.jsonl', 'sums.json'},
    lambda root: _load(root, best=True): {
        x for x in _FILES if x.startswith('checkpoints/best/c')},
    # What acts with a policy that is loaded in silence is in deployment/.
    lambda folder: {'manifest': dreamerv2_tfa.load_policy(folder).manifest}: (
        set(_EXPORTED)),
    _serve: set(_EXPORTED),
}


def _cases():
  """Names, kinds and doors; in CI so many, and each file in one door."""
  found = []
  for name in (*_FILES, *_EXPORTED):
    doors = [i for i, reads in enumerate(_DOORS.values()) if name in reads]
    for number, kind in enumerate(_KINDS):
      if name == 'lock' and any(
          word in kind for word in ('emptied', 'cut', 'bit', 'zeros')):
        continue  # it is empty
      of_case = doors if _ALL else [doors[number % len(doors)]]
      found.append([(name, kind, door) for door in of_case])
  if not _ALL:
    order = np.random.default_rng(0).permutation(len(found))[:_CASES]
    found = [found[i] for i in sorted(order)]
  return [case for cases in found for case in cases]


# What comes out ---------------------------------------------------------------


class _Saver:
  """Writes a folder in place of a SavedModel, which takes its time."""

  def save(self, path):
    pathlib.Path(path).mkdir()
    (pathlib.Path(path) / 'saved_model.pb').write_text('policy')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """Folder of two runs and two exports, named `True` and `False`."""
  here = tmp_path_factory.mktemp('whole')
  config.register()
  for is_ours in (True, False):
    with small.configured(*_RUN, f'train.seed = {int(is_ours)}'):
      train.train(here / 'run' / str(is_ours))
    exported.write(
        here / 'exported' / str(is_ours),
        *([] if is_ours else ['RSSM.stoch = 2']))
  return here


@pytest.fixture(scope='module')
def expected(whole, tmp_path_factory):
  """What comes out of each door of a whole folder, by its number."""
  found = {}

  def get(door):
    if door not in found:
      copy = tmp_path_factory.mktemp('expected') / 'copy'
      kind = 'run' if door < len(_DOORS) - 2 else 'exported'
      shutil.copytree(whole / kind / 'True', copy)
      found[door] = list(_DOORS)[door](copy)
      tf.config.run_functions_eagerly(False)
    return found[door]
  return get


def _contents(root):
  """What is in a folder; that of the lock is its owner's."""
  return {
      path: path.read_bytes() if path.is_file() else None
      for path in root.rglob('*') if path.name != 'lock'}


def _same(one, other):
  if isinstance(one, dict):
    return one.keys() == other.keys() and all(
        _same(one[key], other[key]) for key in one)
  if isinstance(one, list) and one and isinstance(
      one[0], np.ndarray | np.generic | bytes):
    return len(one) == len(other) and all(map(np.array_equal, one, other))
  return str(one) == str(other)


def _judge(root, path, door, expected):
  """Opens a damaged folder: what is wrong with the outcome, or None."""
  before, output = _contents(root), io.StringIO()
  name = path.name
  try:
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
      got = list(_DOORS)[door](root)
  except Exception as error:
    text = output.getvalue() + str(error).partition('\n  In call')[0]
    if not checks.is_refusal(error):
      raise
    assert name in text, f'refused without naming it: {text}'
    assert any(word in text for word in (
        'back', 'again', 'ove ', 'another', 'Give', 'Make')), text
    after = _contents(root)
    assert {x: after.get(x) for x in before} == before, 'a file was touched'
    return 'refused'
  said = [line for line in output.getvalue().splitlines() if 'Note' in line]
  # Of rows that no file has, the note names the folder.
  words = [name, 'are in no file of'] if 'replay' in str(path) else [name]
  if any(word in line for line in said for word in words):
    return 'named'
  assert _same(got, expected), f'silent: {said}'
  return 'nothing lost'


@pytest.fixture(autouse=True)
def quick(whole, monkeypatch):
  """The runs of `whole` have real policies; what resumes them has not."""
  del whole
  monkeypatch.setattr(policies, '_saver', lambda *unused: _Saver())


@pytest.mark.parametrize('name, kind, door', _cases())
def test_damage_is_named_or_costs_nothing(
    whole, expected, tmp_path, name, kind, door):
  there = 'exported' if name in _EXPORTED else 'run'
  root = shutil.copytree(whole / there / 'True', tmp_path / 'copy')
  path, = root.glob(name)
  other, = (whole / there / 'False').glob(name)
  rng = np.random.default_rng(zlib.crc32(f'{name} {kind}'.encode()))
  _KINDS[kind](path, rng, other)
  outcome = _judge(root, path, door, expected(door))
  print(f'{outcome}: {name}, {kind}, door {door}')


# More than one file -----------------------------------------------------------


def _file_for_folder(name):
  def damage(root, unused_other):
    shutil.rmtree(root / name)
    (root / name).write_text('no folder')
  return damage


def _gone(*patterns):
  def damage(root, unused_other):
    for pattern in patterns:
      for path in root.glob(pattern):
        path.unlink()
  return damage


def _all_cut(root, unused_other):
  for path in root.glob('checkpoints/ckpt-*.data*'):
    path.write_bytes(path.read_bytes()[:-1])


def _foreign_checkpoint(root, other):
  for path in root.glob('checkpoints/ckpt-40.*'):
    shutil.copyfile(other / path.relative_to(root), path)


@pytest.mark.parametrize('damage, said, outcome', [
    *((_file_for_folder(name), name, 'refused') for name in (
        'checkpoints', 'checkpoints/best', 'replay', 'policies',
        'policies/greedy', 'train', 'eval')),
    (_gone('checkpoints/ckpt-40.*'), 'ckpt-40.index', 'named'),
    (_gone('checkpoints/ckpt-40.*', 'checkpoints/checkpoint'),
     'rows in replay', 'named'),
    (_gone('checkpoints/c*'), 'checkpoint', 'refused'),
    (_gone('replay/*'), 'replay', 'refused'),
    (_all_cut, 'ckpt-40.data', 'refused'),
    (_foreign_checkpoint, 'ckpt-40.index', 'refused'),
])
def test_damage_to_several_files_at_once_is_named(
    whole, tmp_path, capsys, damage, said, outcome):
  root = shutil.copytree(whole / 'run' / 'True', tmp_path / 'copy')
  damage(root, whole / 'run' / 'False')
  before = _contents(root)
  if outcome == 'named':
    _resume(root)
    notes = [x for x in capsys.readouterr().out.splitlines() if 'Note' in x]
    assert any(said in note for note in notes), notes
    return
  with pytest.raises(ValueError) as refusal:
    _resume(root)
  assert checks.is_refusal(refusal.value)
  assert f'{root}' in str(refusal.value) and said in str(refusal.value)
  after = _contents(root)
  assert {x: after.get(x) for x in before} == before
