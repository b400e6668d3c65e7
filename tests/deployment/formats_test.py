"""A format is one file: the ones that are there, and a made-up one."""

import shutil

import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import formats
from dreamerv2_tfa.deployment import player

# TensorFlow Lite under another name, with a number before its bytes.
_FILE = '''
import pathlib
from dreamerv2_tfa.deployment.formats import tflite

FILE = FILES = 'policy.numbered'
EXACT, PRECISION, DRAWS = False, '32', False
PACKAGES = (), None


def write(agent, policy, folder, parts):
  described = tflite.write(agent, policy, folder, parts)
  made = folder / tflite.FILE
  (folder / FILE).write_bytes(b'7' + made.read_bytes())
  made.unlink()
  return described


def check(unused_folder):
  pass


def load(folder, signature, zeros):
  made = folder / tflite.FILE
  made.write_bytes((folder / FILE).read_bytes()[1:])
  try:
    return tflite.load(folder, signature, zeros)
  finally:
    made.unlink()
'''


@pytest.fixture
def numbered(tmp_path, monkeypatch):
  """Puts the file beside the others, in a folder of its own."""
  folder = tmp_path / 'formats'
  shutil.copytree(player._FORMATS, folder)
  (folder / 'numbered.py').write_text(_FILE)
  monkeypatch.setattr(formats, '__path__', [str(folder)])
  monkeypatch.setattr(player, '_FORMATS', folder)


def test_the_formats_are_files_and_the_first_takes_every_policy():
  files = {path.stem for path in player._FORMATS.glob('[a-z]*.py')}
  assert set(formats.names()) == files
  assert formats.names()[0] == 'saved_model'


@pytest.mark.parametrize('name', formats.names())
def test_a_format_says_all_that_is_asked_of_it(name):
  module = formats.get(name)
  assert {'FILES', 'EXACT', 'PRECISION', 'DRAWS', 'PACKAGES'} <= set(
      vars(module))
  assert all(map(callable, (module.write, module.check, module.load)))
  assert module.EXACT == (module.PRECISION is None)


@pytest.mark.usefixtures('numbered')
def test_a_policy_is_exported_loaded_and_acts_in_a_new_format(tmp_path):
  agent = small.make_agent(observation={'speed': tf.TensorSpec([2])})
  for name in ('numbered', 'tflite'):
    (tmp_path / name).mkdir()
    export.write(agent, name, tmp_path / name, {'task': 'made_up'})
  assert (tmp_path / 'numbered' / 'policy.numbered').is_file()
  new, known = (
      dreamerv2_tfa.load_policy(tmp_path / name)
      for name in ('numbered', 'tflite'))
  assert new.manifest['format'] == 'numbered'
  for value in np.linspace(-3, 3, 8, dtype=np.float32):
    seen = {'speed': np.float32([value, -value])}
    assert new.act(seen) == known.act(seen)


def test_a_format_that_there_is_not_is_refused_with_those_there_are():
  with pytest.raises(checks.UserError, match="'saved_model', .*'tflite'"):
    formats.get('pickle')
