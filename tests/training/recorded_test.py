"""Tests that the settings in a run's folder cannot run code."""

import pathlib
import shutil
import sys

import gin
import pytest
import small

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import train

pytestmark = pytest.mark.usefixtures('clean')

_RUN = (
    *small.SIZES, "train.task = 'catch'", 'train.eager = True',
    'train.prefill = 20', 'train.batch_size = 2', 'train.sequence_length = 5',
    'train.replay_capacity = 200', 'train.steps = 20',
    'train.steps_per_update = 5', 'train.eval_episodes = 0',
)
_EVIL = "import pathlib\npathlib.Path('ran').touch()\n"
_RUNS = {  # what a line of gin could run, and what the message names
    'import evil\n': "line 2, says 'import evil'",
    'from evil import x\n': "line 2, says 'from evil import x'",
    'import evil as numpy\n': "line 2, says 'import evil as numpy'",
    "include 'evil.gin'\n": "line 2, includes the file 'evil.gin'",
    'from __gin__ import dynamic_registration\nimport os\n'
    "os.mkdir.path = 'ran'\nRSSM.stoch = @os.mkdir()\n":
        "line 2, says 'from __gin__ import dynamic_registration'",
    'RSSM.stoch = @SavedModelPyTFEagerPolicy()\n':
        'line 2, refers to @SavedModelPyTFEagerPolicy of tf_agents.',
    'RSSM.stoch = [1, {"a": @scope/suite_gym.load}]\n':
        'line 2, refers to @suite_gym.load of tf_agents.',
    'import evil; import os\n': 'damaged',
    'RSSM.stoch = __import__("evil")\n': 'damaged',
    'RSSM.stoch = @os.mkdir()\n': 'damaged',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder in which `evil` can be imported, and is not."""
  (tmp_path / 'evil.py').write_text(_EVIL)
  (tmp_path / 'evil.gin').write_text('import evil\n')
  monkeypatch.setattr(config, '_TRUSTED', set())
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  yield tmp_path
  sys.modules.pop('evil', None)


def _write(folder, text):
  path = folder / 'operative_config.gin'
  path.write_text(f'RSSM.deter = 16\n{text}')
  return path


@pytest.mark.parametrize('text', _RUNS)
def test_a_line_that_would_run_code_is_refused(folder, text):
  path = _write(folder, text)
  with pytest.raises(ValueError) as caught:
    config.parse_recorded(path)
  assert _RUNS[text] in str(caught.value)
  assert str(path) in str(caught.value)
  assert not pathlib.Path('ran').exists()


def test_values_and_our_own_functions_are_taken(folder):
  config.parse_recorded(_write(
      folder, 'size = 32\nRSSM.stoch = %size\n'
      'ActorCritic.entropy_scale = @linear_schedule()\n'
      'linear_schedule.start = 1.0\nmodel/Optimizer.clip_norm = 1.0\n'))
  assert config.value('RSSM.deter') == 16
  assert len(config.bound()) == 6


def test_an_import_of_what_is_loaded_is_taken(folder):
  (folder / 'evil.py').write_text('')
  import evil  # noqa: F401 - what a caller trusts

  config.parse_recorded(_write(folder, 'import evil\n'))
  assert config.value('RSSM.deter') == 16


def test_a_callers_own_file_trusts_the_line(folder):
  (folder / 'mine.gin').write_text(
      'from __gin__ import dynamic_registration\nimport evil\n')
  config.trust(['mine.gin'])
  assert pathlib.Path('ran').exists()  # by the caller's file
  assert config.bound() == {}
  config.parse_recorded(_write(
      folder, 'from __gin__ import dynamic_registration\nimport evil\n'))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run that has saved."""
  root = tmp_path_factory.mktemp('recorded') / 'run'
  with small.configured(*_RUN):
    train.train(root)
  return root


@pytest.mark.parametrize('use', [
    dreamerv2_tfa.load_agent,
    lambda root: run_settings.parse(root, [], []),
    lambda root: dreamerv2_tfa.Run(root).evaluate(1),
], ids=['load_agent', 'resume', 'evaluate'])
def test_every_door_refuses_it(run, folder, use):
  root = shutil.copytree(run, folder / 'run')
  path = root / 'operative_config.gin'
  path.write_text('import evil\n' + path.read_text())
  with pytest.raises(checks.UserError, match="says 'import evil'"):
    use(root)
  assert not pathlib.Path('ran').exists()
  assert not gin.config_is_locked()


def test_a_macro_that_nothing_binds_is_named_with_its_line(folder):
  path = _write(folder, 'size = 32\nRSSM.stoch = %size\nRSSM.deter = %NOPE\n')
  with pytest.raises(checks.UserError, match=r'line 4, takes the macro %NOPE'):
    config.parse_recorded(path)
