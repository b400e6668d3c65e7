"""Tests of the one door to gin."""

import ast
import pathlib
import subprocess
import sys

import gin
import pytest

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.training import config

pytestmark = pytest.mark.usefixtures('clean')

_PACKAGE = pathlib.Path(dreamerv2_tfa.__file__).parent
# What modules may take from gin: to declare, and to build in a scope.
_DECLARING = {'configurable', 'external_configurable', 'config_scope',
              'get_bindings'}


def _taken(text):
  """Names that a module takes from gin."""
  tree = ast.parse(text)
  taken = {
      node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
      and isinstance(node.value, ast.Name) and node.value.id == 'gin'}
  return taken | {
      alias.name for node in ast.walk(tree)
      if isinstance(node, ast.ImportFrom) and node.module == 'gin'
      for alias in node.names}


def test_no_other_module_parses_gin_or_reads_its_configuration():
  found = {
      path.name: _taken(path.read_text()) - _DECLARING
      for path in _PACKAGE.rglob('*.py')
      if path.name not in ('config.py', 'recorded.py', 'late.py')}
  assert {name: taken for name, taken in found.items() if taken} == {}
  assert _taken('import gin\ngin.parse_config("")') == {'parse_config'}


def test_nothing_is_imported_for_its_side_effect_on_gin():
  root = _PACKAGE.parent
  texts = {
      path: path.read_text() for folder in ('dreamerv2_tfa', 'examples',
                                            'benchmarks', 'docs')
      for kind in ('*.py', '*.md') for path in (root / folder).rglob(kind)
      if 'node_modules' not in path.parts}
  texts[root / 'README.md'] = (root / 'README.md').read_text()
  assert [path for path, text in texts.items()
          if 'import train  # noqa' in text] == []


def test_a_preset_and_bindings_are_loaded_over_what_is_bound():
  gin.bind_parameter('MLP.units', 7)
  dreamerv2_tfa.load_config(['size_s'], ['RSSM.deter = 200'])
  assert gin.query_parameter('RSSM.deter') == 200
  assert gin.query_parameter('RSSM.hidden') == 200  # of the overlay
  dreamerv2_tfa.load_config(bindings=['RSSM.deter = 300'])
  assert gin.query_parameter('RSSM.deter') == 300
  gin.parse_config('RSSM.deter = 400')  # it is left unlocked


def test_a_locked_configuration_stays_locked():
  gin.parse_config('MLP.units = 7')
  gin.finalize()
  dreamerv2_tfa.load_config(bindings=['RSSM.deter = 300'])
  assert gin.config_is_locked()
  assert config.bound() == {'MLP.units': '7', 'RSSM.deter': '300'}


def test_after_it_gin_itself_finds_the_presets(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  dreamerv2_tfa.load_config()
  (tmp_path / 'mine.gin').write_text(
      "include 'defaults.gin'\nRSSM.deter = 77\n")
  gin.parse_config_file('mine.gin')
  assert config.value('RSSM.deter') == 77
  assert config.value('MLP.units') == 400


def test_a_mistake_is_shown_with_its_place():
  with pytest.raises(checks.UserError, match=r'mean RSSM.deter\?\n  binding 1'):
    dreamerv2_tfa.load_config(bindings=['RSSM.detr = 3'])


def test_what_is_not_bound_has_no_value():
  assert config.value('RSSM.deter') is None
  assert not config.is_bound('RSSM.deter')


def test_a_new_process_knows_what_any_suite_declares(tmp_path):
  path = tmp_path / 'operative_config.gin'
  path.write_text('load_gym.size = 32\nload_dmc.size = 32\nCatch.balls = 5\n'
                  'load_atari.sticky = False\nload_minigrid.tile_size = 4\n'
                  'load_crafter.length = 50\nRSSM.deter = 16\n')
  code = ('import pathlib, sys\nfrom dreamerv2_tfa.training import config\n'
          'config.parse_recorded(pathlib.Path(sys.argv[1]))\n'
          "assert config.value('load_gym.size') == 32")
  done = subprocess.run([sys.executable, '-c', code, str(path)], text=True,
                        stderr=subprocess.PIPE, check=False)
  assert done.returncode == 0, done.stderr


def test_a_recorded_value_is_the_one_that_gin_wrote(tmp_path):
  path = tmp_path / 'operative_config.gin'
  assert config.recorded(path) == {}
  path.write_text("train.steps = \\\n    100\ntrain.model_from = 'a'\n")
  assert config.recorded_value(path, 'train.steps') == 100
  assert config.recorded_value(path, 'train.model_from') == 'a'
  assert config.recorded_value(path, 'train.seed', 5) == 5
