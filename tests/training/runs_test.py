"""Tests of a run's folder: its paths, and the agent that is loaded from it."""

import ast
import pathlib
import shutil

import gin
import pytest
import small

import dreamerv2_tfa
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import train

_PACKAGE = pathlib.Path(dreamerv2_tfa.__file__).parent
_RUN = (
    *small.SIZES, "train.task = 'catch'", "train.precision = '32'",
    'train.eager = True', 'train.prefill = 20', 'train.batch_size = 2',
    'train.sequence_length = 5', 'train.replay_capacity = 200',
    'train.steps = 60', 'train.save_every = 10', 'train.eval_every = 1000',
    'train.steps_per_update = 5', 'train.explore_until = 24',
    "DreamerV2Agent.exploration = 'random'", 'train.seed = 9',
)


def _cut(*unused):
  raise KeyboardInterrupt


@pytest.fixture(scope='module')
def young(tmp_path_factory):
  """A run that was killed after a save and before its first evaluation."""
  root = tmp_path_factory.mktemp('young') / 'run'
  with small.configured(*_RUN), pytest.MonkeyPatch.context() as patch:
    patch.setattr(train.reporter_lib.Reporter, 'report', _cut)
    gin.bind_parameter('train.log_every', 35)
    with pytest.raises(KeyboardInterrupt):
      train.train(root)
  assert not (root / 'policies').exists()
  return root


def test_every_path_lies_in_the_folder(tmp_path):
  folder = runs.RunFolder(tmp_path / 'run')
  paths = {name: path for name, path in vars(folder).items() if name != 'root'}
  assert {path.parent for path in paths.values()} == {folder.root}
  assert len(set(paths.values())) == len(paths)
  assert all(f'\n    {name}: ' in runs.RunFolder.__doc__ for name in paths)


def _names_in_code(text):
  """Strings of a module that are no docstring."""
  tree = ast.parse(text)
  docs = {
      id(node.body[0].value) for node in ast.walk(tree)
      if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
      and node.body and isinstance(node.body[0], ast.Expr)}
  return {node.value for node in ast.walk(tree)
          if isinstance(node, ast.Constant) and id(node) not in docs}


def test_no_other_module_names_a_file_of_a_run():
  known = {path.name for path in vars(runs.RunFolder('x')).values()}
  # Words of other meanings.
  known -= {'x', 'train', 'eval', 'lock', 'replay', 'wandb'}
  found = [
      (path.name, name) for path in _PACKAGE.rglob('*.py')
      if path.name != 'runs.py'
      for name in known & _names_in_code(path.read_text())]
  assert found == []
  assert 'protocol.json' in _names_in_code("'''x'''\nopen('protocol.json')")


def test_a_young_run_is_loaded_and_makes_no_environment(young, monkeypatch):
  monkeypatch.setattr(tasks, 'load', None)
  agent = dreamerv2_tfa.load_agent(young)
  assert int(agent.train_step_counter) == 4  # 2 at step 20, 1 each at 25, 30
  assert int(agent._schedule_step) == 30
  assert agent._seed == 9


def test_a_loaded_agent_explores_as_long_as_the_run(young):
  agent = dreamerv2_tfa.load_agent(young)
  assert agent.collect_policy._steps == 24
  assert agent.collect_policy._step is agent._schedule_step


def test_a_loaded_agent_computes_in_the_precision_that_is_asked_for(young):
  dtype = lambda **kwargs: dreamerv2_tfa.load_agent(
      young, **kwargs).world_model.rssm.initial(1).deter.dtype.name
  assert dtype() == 'float32' and dtype(precision='bf16') == 'bfloat16'


@pytest.mark.parametrize('text, said', [
    (None, 'specs.pbtxt is missing'), ('x {', 'specs.pbtxt is damaged'),
])
def test_specs_that_are_gone_or_damaged_are_refused(
    young, tmp_path, text, said):
  root = tmp_path / 'run'
  shutil.copytree(young, root)
  (root / 'specs.pbtxt').unlink()
  if text:
    (root / 'specs.pbtxt').write_text(text)
  with pytest.raises(ValueError, match=said):
    dreamerv2_tfa.load_agent(root)


def test_specs_of_an_earlier_version_lie_beside_the_policy(young, tmp_path):
  root = tmp_path / 'run'
  shutil.copytree(young, root)
  (root / 'policies' / 'collect').mkdir(parents=True)
  (root / 'specs.pbtxt').rename(
      root / 'policies' / 'collect' / 'policy_specs.pbtxt')
  assert int(dreamerv2_tfa.load_agent(root).train_step_counter) == 4


def test_settings_that_an_earlier_version_recorded_are_read(young, tmp_path):
  path = tmp_path / 'operative_config.gin'
  path.write_text(
      'train.adopt = None\ntrain.adopt_keys = None\ntrain.seed = 9\n')
  with config.isolated():
    config.parse_recorded(path)
    assert config.bound() == {'train.seed': '9'}


def test_rows_of_a_run_are_loaded(young):
  agent = dreamerv2_tfa.load_agent(young)
  rows = dreamerv2_tfa.load_rows(young, agent.collect_data_spec)
  assert rows.reward.shape == (30, 1)
  with pytest.raises(ValueError, match='no stored rows'):
    dreamerv2_tfa.load_rows(young / 'none', agent.collect_data_spec)
