"""Tests of replay files of earlier versions, `*.npz`: read, never written."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
import stored

from dreamerv2_tfa.experience import store

Process, files = stored.Process, stored.files


@pytest.fixture(autouse=True)
def halves(monkeypatch):
  """A segment holds half of the capacity."""
  monkeypatch.setattr(store, '_SHARE', 2)


def archive(root_dir, first, count, environments=1, *, compressed=True):
  """What an earlier version saved."""
  number = np.arange(first, first + count)[:, None] + 1000 * np.arange(
      environments)
  columns = [
      np.stack([number, -number], -1).astype(np.float32),
      (number[..., None, None] % 256 + np.zeros((3, 4))).astype(np.uint8),
      number, number % 3 == 0]
  (root_dir / 'replay').mkdir(exist_ok=True)
  path = root_dir / 'replay' / f'{first:012d}.npz'
  save = np.savez_compressed if compressed else np.savez
  save(path, **{str(i): column for i, column in enumerate(columns)})
  return path


def span(root_dir, first, end):
  (root_dir / 'replay.json').write_text(
      json.dumps({'first': first, 'next': end}))


@pytest.mark.parametrize('compressed', [True, False])
@pytest.mark.parametrize('environments', [1, 3])
def test_rows_of_an_earlier_version_come_back(
    tmp_path, environments, compressed):
  wanted, process = (Process(tmp_path, environments) for _ in range(2))
  wanted.add(range(8))
  archive(tmp_path, 0, 5, environments, compressed=compressed)
  archive(tmp_path, 5, 3, environments, compressed=compressed)
  span(tmp_path, 0, 8)
  assert process.store.load() == 8
  stored.tf.nest.map_structure(
      np.testing.assert_array_equal, wanted.rows(), process.rows())
  assert process.store.missing == 0 and not process.store.notes
  rows = store.read(tmp_path / 'replay', stored.SPEC)
  assert rows['nested'][0][:, 0].tolist() == list(range(8))


def test_a_run_continues_in_segments_and_forgets_the_old_files(tmp_path):
  archive(tmp_path, 0, 5)
  archive(tmp_path, 5, 3)
  span(tmp_path, 0, 8)
  one, end = Process(tmp_path), None
  one.store.load(end)
  for start in range(8, 24, 4):
    end = one.save(range(start, start + 4))
    two = Process(tmp_path)
    two.store.load(end)
    assert two.numbers() == one.numbers() and two.store.missing == 0
    assert not (tmp_path / 'replay.json').exists()
  assert not list((tmp_path / 'replay').glob('*.npz'))


@pytest.mark.parametrize('gone, missing', [(0, 3), (3, 3), (6, 3)])
def test_rows_that_are_gone_are_counted_wherever_they_were(
    tmp_path, gone, missing):
  for first in (0, 3, 6):
    archive(tmp_path, first, 3)
  span(tmp_path, 0, 9)
  (tmp_path / 'replay' / f'{gone:012d}.npz').unlink()
  one, two = Process(tmp_path), Process(tmp_path)
  assert one.store.load() == 6 and one.store.missing == missing
  end = one.save([9])
  two.store.load(end)
  assert two.numbers() == one.numbers()
  # The oldest row that is left is the first that counts from then on.
  assert two.store.missing == (0 if gone == 0 else missing)


def test_a_damaged_count_is_named_and_all_rows_are_read(tmp_path):
  archive(tmp_path, 0, 4)
  for text in ('', '[]', '{"first": -1, "next": 4}', '[' * 900):
    (tmp_path / 'replay.json').write_text(text)
    process = Process(tmp_path)
    assert process.store.load() == 4
    note, = process.store.notes
    assert str(tmp_path / 'replay.json') in note


def header(shape, dtype='|u1'):
  text = repr({'descr': dtype, 'fortran_order': False, 'shape': shape})
  text = text.ljust(117) + '\n'
  return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text.encode()


def claim(path, shape, dtype='|u1', data=b'x' * 60):
  """Rewrites the second column with a header that claims this shape."""
  with zipfile.ZipFile(path) as file:
    columns = {name: file.read(name) for name in file.namelist()}
  columns['1.npy'] = header(shape, dtype) + data
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    for name, column in columns.items():
      file.writestr(name, column)


def pickled(path):
  stream = io.BytesIO()
  np.save(stream, np.array([[{}]] * 4, object), allow_pickle=True)
  with zipfile.ZipFile(path, 'a') as file:
    file.writestr('4.npy', stream.getvalue())


def flipped(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 3] ^= 8
  path.write_bytes(data)


_DAMAGES = {
    '40 GB': lambda path: claim(path, (40_000, 1, 1000, 1000)),
    '40 GB of rows': lambda path: claim(path, (4 * 10**9, 1, 3, 4)),
    'less than it holds': lambda path: claim(path, (1, 1, 3, 4)),
    'negative': lambda path: claim(path, (-4, 1, 3, 4)),
    'no shape': lambda path: claim(path, 'x'),
    'objects': lambda path: claim(path, (4, 1), '|O'),
    'another number of rows': lambda path: claim(path, (5, 1, 3, 4)),
    'pickles': pickled,
    'a flipped bit': flipped,
    'half': lambda path: path.write_bytes(path.read_bytes()[:300]),
    'nothing': lambda path: path.write_bytes(b''),
    'text': lambda path: path.write_text('no rows'),
}


@pytest.mark.parametrize('damage', _DAMAGES)
@pytest.mark.parametrize('compressed', [True, False])
def test_a_damaged_file_is_named_and_the_others_are_read(
    tmp_path, damage, compressed):
  archive(tmp_path, 0, 3)
  path = archive(tmp_path, 3, 4, compressed=compressed)
  archive(tmp_path, 7, 2)
  span(tmp_path, 0, 9)
  _DAMAGES[damage](path)
  process = Process(tmp_path)
  assert process.store.load() == 5 and process.store.missing == 4
  assert process.numbers() == [[0, 1, 2, 7, 8]]
  note, *gaps = process.store.notes
  assert gaps in ([], [
      f'Rows 3 to 6 are in no file of {path.parent}: one is missing, or was '
      'cut.'])
  assert note.startswith(f'{path} cannot be read (') and '\n' not in note
  assert path.exists()
  assert process.save([9]) == 10
  assert not path.exists()
  assert path.with_name(f'{path.name}.damaged').exists()
  again = Process(tmp_path)
  again.store.load(10)
  assert again.numbers() == process.numbers() and again.store.missing == 4


def test_what_a_file_claims_takes_no_memory(tmp_path, monkeypatch):
  path = archive(tmp_path, 0, 4)
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as file:
    file.writestr('0.npy', header((4 * 10**10, 1)))
  data = bytearray(path.read_bytes())
  # The directory of the zip makes the same claim, of bytes that are not there.
  place = data.rindex(b'PK\x01\x02')
  size = 2**32 - 2
  data[place + 20:place + 28] = struct.pack('<II', size, size)
  path.write_bytes(data)
  with pytest.raises(ValueError, match=f'{path} cannot be read'):
    Process(tmp_path).store.load()


def test_rows_of_another_form_are_refused_by_name(tmp_path):
  path = archive(tmp_path, 0, 4, 3)
  with pytest.raises(ValueError, match='by 3 environments; got 2'):
    Process(tmp_path, 2).store.load()
  np.savez(path, **{'0': np.zeros([4, 1, 2])})
  with pytest.raises(ValueError, match=f'{path} are of another form: got flo'):
    Process(tmp_path).store.load()


def test_an_archive_after_the_checkpoint_is_renamed_and_not_removed(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  end = one.save(range(4))
  path = archive(tmp_path, 100, 3)
  two.store.load(end)
  assert two.numbers() == [[0, 1, 2, 3]] and two.store.cut == 0
  note, = two.store.notes
  assert str(path) in note
  two.save([4])
  assert path.with_name(f'{path.name}.damaged').exists()
