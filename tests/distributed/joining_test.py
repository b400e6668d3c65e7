"""Tests of what may join a distributed run, with Reverb or without."""

import subprocess
import sys
import types

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import reverb as reverb_lib
from dreamerv2_tfa.distributed import roles
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.training import capacity
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib

_THERE = {
    'task': 'catch', 'precision': 'float32',
    'observation': {'image': {'shape': [64, 64, 1], 'dtype': 'uint8'}},
    'versions': {'dreamerv2_tfa': '0.1.0', 'tensorflow': '2.15.1'},
    'settings': {'RSSM.deter': '600', 'train.batch_size': '16'},
}


def changed(*path, value):
  found = dict(_THERE)
  inner = found
  for name in path[:-1]:
    inner[name] = dict(inner[name])
    inner = inner[name]
  inner[path[-1]] = value
  return found


def test_a_process_of_the_same_run_joins():
  description.check('collector', _THERE, _THERE)


@pytest.mark.parametrize('path, value, said', [
    (['precision'], 'mixed_float16',
     'precision: here mixed_float16, there float32'),
    (['versions', 'dreamerv2_tfa'], '0.2.0',
     'versions.dreamerv2_tfa: here 0.2.0, there 0.1.0'),
    (['settings', 'RSSM.deter'], '200',
     'settings.RSSM.deter: here 200, there 600'),
    (['observation', 'image', 'shape'], [32, 32, 1],
     r'observation.image.shape: here \[32, 32, 1\], there \[64, 64, 1\]'),
    (['observation', 'speed'], {'dtype': 'float32'},
     'observation.speed.dtype: only here'),
])
def test_another_run_is_refused_by_its_difference(path, value, said):
  with pytest.raises(checks.UserError, match=said):
    description.check('collector', changed(*path, value=value), _THERE)


def test_a_setting_that_one_has_not_read_is_no_difference():
  description.check(
      'collector', changed('settings', 'Crafter.x', value='1'), _THERE)


def test_a_run_that_has_ended_is_no_other_run():
  description.check(
      'evaluator', _THERE, {**_THERE, description.ENDED: 100})


def test_what_a_process_shows_is_its_own():
  shows = {'callbacks', 'loggers', 'videos', 'diagnostics'}
  assert shows <= {name.removeprefix('train.') for name in description._OWN}
  assert shows <= set(settings_lib.Settings._fields)


@pytest.mark.parametrize('address', [
    None, '', 'host', 'host:', ':8008', 'host:port', 'host:0', 'host:70000'])
def test_an_address_that_is_none_is_refused(address):
  with pytest.raises(checks.UserError, match='wanted HOST:PORT'):
    address_lib.parse(address)


def test_an_address_is_host_and_port():
  assert address_lib.parse('10.0.0.7:8008') == ('10.0.0.7', 8008)
  assert address_lib.parse('[::1]:8008') == ('::1', 8008)
  assert address_lib.text('::1', 8008) == '[::1]:8008'


@pytest.mark.parametrize('change, said', [
    ({'sampling': 'episodes'}, "train.sampling = 'episodes'"),
    ({'replay_storage': 'disk'}, "train.replay_storage = 'disk'"),
    ({'replay_from': 'runs/a'}, 'train.replay_from')])
def test_what_several_processes_cannot_do_is_refused(change, said):
  settings = settings_lib.read()._replace(**change)
  with pytest.raises(checks.UserError, match=said):
    roles.check(settings)


def test_collectors_may_be_an_update_and_a_ticket_ahead():
  settings = settings_lib.read()
  every = lambda count: settings._replace(
      timetable=settings.timetable._replace(steps_per_update=count))
  assert tables.ahead(every(4)) == 1 + 1
  assert tables.ahead(every(40)) == 1 + 3


def test_another_stack_is_told_which_one_has_reverb(monkeypatch):
  monkeypatch.setattr(reverb_lib, '_version', lambda package: '2.21.0')
  with pytest.raises(checks.UserError, match='Python 3.11 with TensorFlow 2.1'):
    reverb_lib.check()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason='of another stack')
def test_without_reverb_the_line_that_installs_it_is_told(monkeypatch):
  versions = {'tensorflow': '2.15.1'}
  monkeypatch.setattr(reverb_lib, '_version', versions.get)
  with pytest.raises(checks.UserError, match=r'pip install .*\[reverb\]'):
    reverb_lib.load()


def test_a_role_is_refused_in_a_line_where_reverb_is_missing():
  """On a stack that has it, it is hidden; on another one it is missing."""
  program = (
      'import sys\n'
      'from dreamerv2_tfa.distributed import reverb\n'
      'found = reverb._version\n'
      'reverb._version = lambda x: None if x == "dm-reverb" else found(x)\n'
      'from dreamerv2_tfa.commands import train\n'
      'sys.argv = ["train", "catch", "--role=all", "--root_dir=unused"]\n'
      'train.main()')
  ended = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      check=False)
  assert ended.returncode == 1
  assert ended.stderr.startswith('Error: --role needs Reverb')
  assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize('flags, said', [
    (['--num_collectors=2'], 'Got --num_collectors without a role'),
    (['--role=collector', '--replicas=2'],
     '--role=collector does not read --replicas, which is of --role=learner '
     'and --role=all'),
    (['--role=all', '--collector=2'], '--role=all does not read --collector'),
])
def test_flags_of_several_processes_need_the_role_that_reads_them(flags, said):
  ended = subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.train', 'catch',
       '--root_dir=unused', *flags], capture_output=True, text=True,
      check=False)
  assert ended.returncode == 1
  assert ended.stderr.startswith(f'Error: {said}')


def test_a_run_of_one_process_is_not_continued_in_several(
    tmp_path, monkeypatch):
  folder = runs.RunFolder(tmp_path)
  folder.replay.mkdir()
  (folder.replay / '0.tfrecord').touch()
  built = types.SimpleNamespace(folder=folder, settings=settings_lib.read())
  monkeypatch.setattr(
      roles.train, 'train', lambda *unused, join, **named: join(built))
  monkeypatch.setattr(
      roles.connection_lib, 'Connection', lambda *unused: types.SimpleNamespace(
          rest=lambda: None))
  with pytest.raises(checks.UserError, match='was trained in one process'):
    roles._learn(tmp_path, [], '127.0.0.1:1', built.settings, None)


def test_a_run_of_several_processes_is_not_continued_in_one(tmp_path):
  folder = runs.RunFolder(tmp_path)
  folder.replay_server.mkdir()
  with pytest.raises(checks.UserError, match='Add a role, such as --role=all'):
    capacity.check_rows(0, settings_lib.read(), 10**6, folder)
