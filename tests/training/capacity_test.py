"""Tests of how much replay memory a run takes, and what it says of it."""

import contextlib
import io
import shutil
import types

import gin
import pytest
import small

from dreamerv2_tfa.experience import memory
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import capacity
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import train

_GB = 10**9
# A row of walker-walk: 64 x 64 x 3 bytes and 60 more, with TF-Agents' id.
_WALKER = {'image': small.tensor_spec.BoundedTensorSpec(
    (64, 64, 3), small.tf.uint8, 0, 255)}


@pytest.fixture(name='agent', scope='module')
def fixture_agent():
  return small.make_agent(observation=_WALKER, action=small.BOX)


def pretend(monkeypatch, free, total=24 * _GB, disk=10**15):
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: types.SimpleNamespace(
      total=disk, used=0, free=disk))
  monkeypatch.setattr(memory, 'free', lambda: free)
  monkeypatch.setattr(memory, 'total', lambda: total)


def take(agent, asked, root_dir='none', *, resumed=False, batch_size=16,
         storage='memory'):
  """What a run of this agent takes, and the line it prints."""
  parts = types.SimpleNamespace(
      agent=agent, environment=types.SimpleNamespace(batch_size=1))
  settings = types.SimpleNamespace(
      timetable=types.SimpleNamespace(prefill=1000), replay_capacity=asked,
      batch_size=batch_size, sequence_length=50, replay_from=None,
      replay_storage=storage)
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    found = capacity.take(
        parts, settings, runs.RunFolder(root_dir), resumed=resumed)
  return found, said.getvalue().removesuffix('\n')


def serve(agent, asked, overhead, resumed=False):
  """Rows that a replay server of this agent holds, and the line it prints."""
  parts = types.SimpleNamespace(
      agent=agent, environment=types.SimpleNamespace(batch_size=1))
  settings = types.SimpleNamespace(
      timetable=types.SimpleNamespace(prefill=1000), replay_capacity=asked,
      sequence_length=50)
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    rows = capacity.serve(parts, settings, overhead, resumed=resumed)
  return rows, said.getvalue().removesuffix('\n')


def test_a_replay_server_has_its_rows_in_memory_with_what_reverb_adds(
    agent, monkeypatch):
  pretend(monkeypatch, free=5 * _GB)  # and a disk with room for all
  row = 64 * 64 * 3 + 4 * (2 + 6 + 2) + 8
  rows, line = serve(agent, 2_000_000, 10_000)
  assert rows == pytest.approx(4 * _GB / (row + 10_000), rel=0.01)
  assert f'{rows:,} of the 2,000,000 steps' in line
  assert 'disk' not in line and 'replay/' not in line


def test_a_replay_server_refuses_a_number_of_ones_own_that_does_not_fit(
    agent, monkeypatch):
  pretend(monkeypatch, free=5 * _GB)
  with pytest.raises(ValueError, match='Lower it, for example'):
    serve(agent, 1_234_567, 10_000)
  assert serve(agent, 1_234_567, 10_000, resumed=True)[0] < 200_000
  assert serve(agent, 150_000, 10_000)[0] == 150_000


def test_walkers_preset_takes_what_fits_and_says_so(agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB))
  found, line = take(agent, 2_000_000)
  row = found.row_bytes
  assert row == 64 * 64 * 3 + 4 * (2 + 6 + 2) + 8
  needed = 1.0 * _GB + 16 * 8_000 + 1.6 * _GB  # 8,000 parameters, about
  assert found.rows == pytest.approx((9.1 * _GB - needed) / row, rel=0.01)
  assert found.rows % 1000 == 0
  assert line == (
      f'Replay memory: {found.rows:,} of the 2,000,000 steps that were asked '
      'for, 6.5 GB, because 9.1 GB of 24.0 GB are free, of which TensorFlow '
      f'and the updates need about 2.6 GB; older steps are forgotten after '
      f'{found.rows:,}. The folder replay/ takes up to 27.1 GB.')


def test_a_larger_batch_leaves_less(agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB))
  rows = [take(agent, 2_000_000, batch_size=n)[0].rows for n in (16, 32)]
  assert (rows[0] - rows[1]) * 12336 == pytest.approx(1.6 * _GB, rel=0.01)


def test_a_number_of_ones_own_is_refused_with_one_that_fits(
    agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB))
  with pytest.raises(ValueError) as refusal:
    take(agent, 1_500_000)
  advice = "--gin_bindings='train.replay_capacity = 526000'"
  assert advice in str(refusal.value)
  found, line = take(agent, 526_000)
  assert found.rows == 526_000 and '526,000 steps x' in line


def test_a_run_is_resumed_with_what_fits_whatever_it_asked_for(
    agent, monkeypatch, tmp_path):
  pretend(monkeypatch, free=int(9.1 * _GB))
  monkeypatch.setattr(store, 'rows', lambda path: 600_000)
  found, line = take(agent, 1_500_000, tmp_path, resumed=True)
  assert found.rows == 526_000
  assert line.endswith(
      'Of the 600,000 stored steps the oldest 74,000 do not fit and are not '
      'learned from; they stay on disk.')


def test_where_all_is_free_the_preset_gets_what_it_asks(agent, monkeypatch):
  pretend(monkeypatch, free=64 * _GB, total=64 * _GB)
  found, line = take(agent, 2_000_000)
  assert found.rows == 2_000_000
  assert line == (
      'Replay memory: 2,000,000 steps x 12,336 bytes = 24.7 GB; 64.0 GB of '
      '64.0 GB are free. The folder replay/ takes up to 27.1 GB.')


# On disk ----------------------------------------------------------------------


def test_what_memory_cannot_hold_is_on_disk_where_there_is_room(
    agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB), disk=60 * _GB)
  found, line = take(agent, 2_000_000, storage='auto')
  assert found.on_disk and found.rows == 2_000_000
  assert line == (
      'Replay memory: 2,000,000 steps x 12,336 bytes = 24.7 GB on disk; 9.1 GB '
      'of 24.0 GB are free, of which TensorFlow and the updates need about '
      '2.6 GB, and 34.3 GB of the disk. The folder replay/ takes up to '
      '27.1 GB.')
  # A number of one's own is no reason to refuse then.
  assert take(agent, 1_500_000, storage='auto')[0].on_disk


def test_what_memory_holds_is_in_memory_unless_the_disk_is_asked_for(
    agent, monkeypatch):
  pretend(monkeypatch, free=64 * _GB, total=64 * _GB)
  assert not take(agent, 2_000_000, storage='auto')[0].on_disk
  found, line = take(agent, 2_000_000, storage='disk')
  assert found.on_disk and 'on disk' in line


@pytest.mark.parametrize('disk', [0, 30 * _GB])
def test_a_disk_without_room_leaves_what_fits_into_memory(
    agent, monkeypatch, disk):
  # 24.7 GB for the rows, as much for replay/ and 1 GB beside are 50 GB; for
  # 1.5 million steps, 38 GB.
  pretend(monkeypatch, free=int(9.1 * _GB), disk=disk)
  found, line = take(agent, 2_000_000, storage='auto')
  assert not found.on_disk and found.rows == 526_000
  with pytest.raises(ValueError, match='replay_capacity = 526000'):
    take(agent, 1_500_000, storage='auto')


def test_stored_rows_need_no_room_a_second_time(agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB), disk=45 * _GB)
  monkeypatch.setattr(store, 'rows', lambda path: 1_500_000)
  assert take(agent, 2_000_000, storage='auto', resumed=True)[0].on_disk


def test_a_disk_that_is_asked_for_takes_what_fits(agent, monkeypatch):
  pretend(monkeypatch, free=int(9.1 * _GB), disk=45 * _GB)
  found, line = take(agent, 2_000_000, storage='disk')
  # 45 GB less 24.7 for replay/ and 1 beside: 19.3 GB of 12,312 bytes a row.
  assert found.on_disk and found.rows == 1_569_000
  assert 'and 19.3 GB of the disk; older' in line


_RUN = (
    *small.SIZES, "train.task = 'catch'", "train.precision = '32'",
    'train.eager = True', 'train.prefill = 60', 'train.batch_size = 2',
    'train.sequence_length = 5', 'train.log_every = 100',
    'train.eval_episodes = 0', 'train.steps_per_update = 100',
    'train.save_every = 60', 'train.pretrain = 0',
    "train.replay_storage = 'memory'",
)


def _train(root_dir, *bindings):
  gin.clear_config()
  gin.parse_config([*_RUN, *bindings])
  with contextlib.ExitStack() as stack:
    stack.callback(gin.clear_config)
    stack.callback(small.tf.config.run_functions_eagerly, False)
    train.train(root_dir)


def test_a_run_on_a_full_machine_says_so_first_and_records_both(
    tmp_path, monkeypatch, capsys):
  root = tmp_path / 'run'
  pretend(monkeypatch, free=5_800_000)  # a tenth holds 140 rows of 4,132 bytes
  _train(root, 'train.steps = 130')
  folder, watch, line, *_ = capsys.readouterr().out.splitlines()
  assert folder.startswith('Run folder') and watch.startswith('Watch it')
  assert line.startswith(
      'Replay memory: 140 of the 2,000,000 steps that were asked for, 0.6 MB, '
      'because 5.8 MB of 24.0 GB are free')
  assert protocol.read(root / 'protocol.json')['replay_capacity'] == 140
  assert 'train.replay_capacity = 2000000.0' in (
      root / 'operative_config.gin').read_text()
  rows = store.rows(root / 'replay')
  assert 130 < rows <= 140  # every step, and the rows between episodes
  pretend(monkeypatch, free=4_600_000)
  _train(root, 'train.steps = 150')
  said = capsys.readouterr().out
  assert f'the oldest {rows - 111} do not fit' in said and 'skipped' not in said
  assert protocol.read(root / 'protocol.json')['replay_capacity'] == 111
  assert store.rows(root / 'replay') >= rows + 20
