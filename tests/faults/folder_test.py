"""A run's folder is data: nothing in it runs, hangs or fills the memory.

One malicious folder of each kind, through every door: load, export, resume,
evaluate, report. Exports are in `policy_test.py` beside this.
"""

import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import train

pytestmark = pytest.mark.usefixtures('clean')

_RUN = (
    *small.SIZES, 'train.eager = True', 'train.prefill = 20',
    'train.batch_size = 2', 'train.sequence_length = 5',
    'train.replay_capacity = 200', 'train.steps = 20',
    'train.steps_per_update = 5', 'train.eval_episodes = 0',
    'train.eval_steps = 20', 'load_gym.max_steps = 6',
)
# A module that tells when it is run, with a world to train in.
_EVIL = '''
import pathlib
import gymnasium
import numpy as np
pathlib.Path('ran').touch()


class make(gymnasium.Env):
  observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(3)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    return np.zeros(2, np.float32), {}

  def step(self, action):
    return np.zeros(2, np.float32), 1.0, False, False, {}
'''
_TASK = 'evil:make'


def _resume(root, task=None):
  word = [] if task is None else [f'train.task = {task!r}']
  run_settings.parse(root, [], [*word, 'train.steps = 21'])
  train.train(root)


_DOORS = {  # of a folder, and the task that the user gives
    'load_agent': lambda root, task=None: dreamerv2_tfa.load_agent(
        root, task=task),
    'evaluate': lambda root, task=None: dreamerv2_tfa.Run(
        root, task).evaluate(1),
    'policy': lambda root, task=None: dreamerv2_tfa.Run(root, task).policy(),
    'export': lambda root, task=None: export.export(
        root, root.with_name('out'), task=task),
    'resume': _resume,
    'report': lambda root, unused_task=None: open_loop.report(
        root, context=1, horizon=1, windows=1),
}
_ACTS = ('evaluate', 'policy', 'export', 'resume')  # which make the environment


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A run on a task of somebody's own module, which is forgotten again."""
  here = tmp_path_factory.mktemp('trained')
  (here / 'evil.py').write_text(_EVIL)
  root = here / 'run'
  before, path = os.getcwd(), list(sys.path)
  os.chdir(here)
  config.register()
  try:
    with small.configured(*_RUN, f'train.task = {_TASK!r}'):
      train.train(root)
  finally:
    os.chdir(before)
    sys.path[:] = path
    sys.modules.pop('evil', None)
  return root


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
  """A copy of it in the working directory, where `evil` can be imported."""
  shutil.copytree(trained, tmp_path / 'run')
  (tmp_path / 'evil.py').write_text(_EVIL)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  yield tmp_path / 'run'
  sys.modules.pop('evil', None)


def _ran():
  return pathlib.Path('ran').exists()


# Modules ----------------------------------------------------------------------


@pytest.mark.parametrize('door', _ACTS)
@pytest.mark.parametrize(
    'task', [_TASK, 'gymnasium_evil:Env-v0', 'os:abort'])
def test_no_module_that_a_run_names_is_imported(run, door, task):
  for name in ('protocol.json', 'operative_config.gin'):
    text = (run / name).read_text()
    assert _TASK in text
    (run / name).write_text(text.replace(_TASK, task))
  with pytest.raises(checks.UserError) as caught:
    _DOORS[door](run)
  said = str(caught.value)
  assert f'{run}/' in said and f'has the task {task!r}' in said
  assert (f'--task={task}' if door in ('export', 'resume') else (
      f'Run(folder, {task!r})')) in said
  assert not _ran()


@pytest.mark.parametrize('value', [
    '%name\nname = "evil:make"', '"evil" ":make"', "'''evil:make'''",
    '@one()\none.value = 2'])
def test_no_other_spelling_of_a_task_in_its_settings_is_imported(run, value):
  path = run / 'operative_config.gin'
  text = path.read_text()
  assert f'train.task = {_TASK!r}' in text
  path.write_text(text.replace(f'train.task = {_TASK!r}',
                               f'train.task = {value}'))
  with pytest.raises(ValueError, match='operative_config.gin'):
    _resume(run)
  assert not _ran()


@pytest.mark.parametrize('door', ['load_agent', 'report'])
def test_what_makes_no_environment_needs_no_word(run, door):
  with small.configured():
    _DOORS[door](run)
  assert not _ran()


@pytest.mark.parametrize('door', [
    'evaluate', 'resume', pytest.param('export', marks=pytest.mark.slow)])
def test_a_task_that_the_user_gives_is_taken(run, door):
  _DOORS[door](run, _TASK)
  assert _ran()


def test_a_gin_file_of_the_users_gives_the_task_too(run):
  pathlib.Path('mine.gin').write_text(f'train.task = {_TASK!r}\n')
  run_settings.parse(run, ['mine.gin'], [])
  assert config.value('train.task') == _TASK


def test_the_working_directory_is_searched_for_a_task_alone(
    tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  tasks.load('catch')
  assert str(tmp_path) not in sys.path
  with pytest.raises(checks.UserError, match="no task 'absent:make'"):
    tasks.load('absent:make')
  assert sys.path[-1] == str(tmp_path)


def test_a_gin_file_of_the_users_imports_from_the_working_directory(
    tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.setattr(config, '_TRUSTED', set())
  (tmp_path / 'own_networks.py').touch()
  pathlib.Path('mine.gin').write_text('train.seed = 3\nimport own_networks\n')
  config.load_config(['mine.gin'])
  assert sys.modules.pop('own_networks')


# Files ------------------------------------------------------------------------


def _huge(path):
  path.unlink(missing_ok=True)
  with path.open('wb') as file:
    file.truncate(40 * 10**9)  # on disk it has no block


def _pipe(path):
  path.unlink(missing_ok=True)
  os.mkfifo(path)


def _device(path):
  path.unlink(missing_ok=True)
  path.symlink_to('/dev/zero')


def _deep(path):
  if path.suffix == '.gin':
    path.write_text('train.seed = ' + '[' * 100_000 + ']' * 100_000)
  elif path.suffix == '.pbtxt':
    path.write_text('dict_value { ' * 100_000)
  else:
    path.write_text('[' * 100_000 + ']' * 100_000 + '\n')


def _no_text(path):
  path.write_bytes(b'\xff\xfe\x00 no text\n')


_FILES = {  # and which doors read it
    'protocol.json': tuple(_DOORS),
    'operative_config.gin': tuple(_DOORS),
    'specs.pbtxt': ('load_agent', 'report'),
    'metrics.jsonl': ('export', 'evaluate'),
}


@pytest.mark.parametrize('spoil', [_huge, _pipe, _device, _deep, _no_text])
@pytest.mark.parametrize('name, door', [
    (name, door) for name, doors in _FILES.items() for door in doors])
def test_a_file_that_is_none_is_refused_and_not_waited_for(
    run, name, door, spoil):
  spoil(run / name)
  with pytest.raises(ValueError) as caught:
    _DOORS[door](run, _TASK)
  assert str(run / name) in str(caught.value)


def test_metrics_that_are_none_stop_a_resume_before_it_writes(run):
  _huge(run / 'metrics.jsonl')
  before = (run / 'protocol.json').stat().st_mtime_ns
  with pytest.raises(ValueError, match='metrics.jsonl cannot be read: it has'):
    _resume(run, _TASK)
  assert (run / 'protocol.json').stat().st_mtime_ns == before


@pytest.mark.parametrize('name', [
    'checkpoints/ckpt-20.data-00000-of-00001', 'replay/0.npz'])
@pytest.mark.parametrize('door', ['load_agent', 'resume', 'export', 'report'])
def test_a_pipe_among_checkpoints_and_replay_is_not_waited_for(
    run, name, door):
  _pipe(run / name)
  with pytest.raises(checks.UserError, match=f'{name} is no file'):
    _DOORS[door](run, _TASK)


@pytest.mark.parametrize('name, value', [
    ('task', 7), ('task', 'a\x1b[2Jb'), ('seed', '0'), ('presets', 'atari'),
    ('presets', [1]), ('precision', None), ('precision', 'evil')])
def test_a_protocol_that_says_something_else_is_damaged(run, name, value):
  path = run / 'protocol.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
  with pytest.raises(ValueError, match='protocol.json is damaged') as caught:
    dreamerv2_tfa.load_agent(run)
  assert str(caught.value).isprintable()


def test_rows_are_read_without_pickle(run):
  agent = dreamerv2_tfa.load_agent(run)

  class Evil:
    def __reduce__(self):
      return pathlib.Path.touch, (pathlib.Path('ran'),)

  # As an earlier version stored them.
  rows = dreamerv2_tfa.load_rows(run, agent.collect_data_spec)
  columns = {
      str(i): np.asarray(x) for i, x in enumerate(tf.nest.flatten(rows))}
  columns['0'] = np.array([Evil()], object)
  for file in (run / 'replay').iterdir():
    file.unlink()
  file = run / 'replay' / '000000000000.npz'
  np.savez(file, **columns)
  with pytest.raises(ValueError, match=file.name):
    dreamerv2_tfa.load_rows(run, agent.collect_data_spec)
  assert not _ran()


# Links ------------------------------------------------------------------------


@pytest.mark.parametrize('name', [
    'lock', 'metrics.jsonl', 'protocol.json.part', 'replay', 'open_loop.json',
    'policies/greedy'])
def test_nothing_is_written_through_a_link_out_of_the_folder(
    run, tmp_path, name):
  target = tmp_path / 'mine'
  if name in ('replay', 'policies/greedy'):
    shutil.copytree(run / name, target)
    shutil.rmtree(run / name)
  else:
    target.write_text('precious')
    (run / name).unlink(missing_ok=True)
  (run / name).symlink_to(target)
  files = lambda: {
      path: path.stat().st_mtime_ns for path in [target, *target.rglob('*')]}
  before = files()
  for write in (lambda: _resume(run, _TASK),
                lambda: _DOORS['report'](run)):
    with pytest.raises(checks.UserError, match=f'{name} is a link to {target}'):
      write()
  assert files() == before


def test_a_link_to_the_whole_folder_and_one_inside_it_are_followed(
    run, tmp_path):
  (run / 'latest').symlink_to('checkpoints')
  (tmp_path / 'linked').symlink_to(run)
  with small.configured():
    _DOORS['report'](tmp_path / 'linked')
