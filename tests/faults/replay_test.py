"""A sweep of damage to replay folders: named, never silent, never fatal.

Each case damages a file of a run of 50 rows in a way of its own, at a place
that its seed draws, and opens the folder as a run that resumes does.
"""

import json
import os
import re
import shutil
import zlib

import numpy as np
import pytest
import stored
import tensorflow as tf

from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import segments
from dreamerv2_tfa.experience import store

pytestmark = pytest.mark.slow

_ROWS, _CAPACITY, _SEEDS = 50, 60, 7
_FORM = segments.Form(stored.SPEC, 1)
_SIZE = _FORM.record.itemsize


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """Rows of an earlier version, and of two processes of this one."""
  root = tmp_path_factory.mktemp('whole')
  process = stored.Process(root, capacity=_CAPACITY)
  process.add(range(10))
  (root / 'replay').mkdir()
  np.savez_compressed(
      root / 'replay' / '000000000000.npz',
      **{str(i): x for i, x in enumerate(process.buffer.rows(0, 10))})
  (root / 'replay.json').write_text('{"first": 0, "next": 10}')
  for first, end in ((10, 33), (33, _ROWS)):
    process = stored.Process(root, capacity=_CAPACITY)
    process.store.load(None if first == 10 else first)
    assert process.save(range(first, end)) == end
  assert list(stored.files(root)) == [0, 10, 16, 22, 28, 33, 39, 45]
  return root


# Ways to damage a file --------------------------------------------------------


def _edit(change):
  """Damage that changes the bytes of a file."""
  def damage(path, rng):
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data, rng))
  return damage


def _cut_anywhere(data, rng):
  return data[:rng.integers(len(data))]


def _cut_at_a_row(data, rng):
  return data[:-_SIZE * rng.integers(1, 4)]


def _cut_inside_the_last_row(data, rng):
  return data[:-rng.integers(1, _SIZE)]


def _cut_inside_the_header(data, rng):
  return data[:rng.integers(1, 60)]


def _flip(data, rng, count=1):
  for place in rng.integers(len(data), size=count):
    data[place] ^= 1 << rng.integers(8)
  return data


def _zero_the_tail(data, rng):
  length = rng.integers(1, len(data))
  return data[:-length] + bytes(length)


def _overwrite_a_part(data, rng):
  start = rng.integers(len(data) - 1)
  end = rng.integers(start + 1, len(data))
  return data[:start] + rng.bytes(end - start) + data[end:]


def _swap_rows(data, rng):
  one, two = rng.choice(4, 2, replace=False)
  begin = 12 + int.from_bytes(data[:8], 'little') + 4
  at = lambda i: slice(begin + i * _SIZE, begin + (i + 1) * _SIZE)
  data[at(one)], data[at(two)] = data[at(two)], data[at(one)]
  return data


def _bad_header(**changes):
  """A header that is whole, and says something else."""
  def damage(path, rng):
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    found = {**json.loads(records[0]), **changes}
    with tf.io.TFRecordWriter(str(path)) as writer:
      for record in (json.dumps(found).encode(), *records[1:]):
        writer.write(record)
  return damage


def _nested_header(path, rng):
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(b'[' * 500_000)


def _large_header(path, rng):
  length = (40 * 10**9).to_bytes(8, 'little')
  check = segments.checksums.masked(np.frombuffer(length, np.uint8)[None])
  path.write_bytes(length + check.tobytes() + b'{' * 100)


def _replaced_by(make):
  def damage(path, rng):
    path.unlink()
    make(path)
  return damage


def _renamed(to):
  return lambda path, rng: path.rename(path.with_name(to + path.suffix))


def _copied(to):
  return lambda path, rng: shutil.copy(path, path.with_name(to + path.suffix))


_ANY = {  # what may happen to any file
    'cut anywhere': _edit(_cut_anywhere),
    'empty': _edit(lambda data, rng: b''),
    'a flipped bit': _edit(_flip),
    'many flipped bits': _edit(lambda data, rng: _flip(data, rng, 30)),
    'a tail of zeros': _edit(_zero_the_tail),
    'all zeros': _edit(lambda data, rng: bytes(len(data))),
    'a part overwritten': _edit(_overwrite_a_part),
    'foreign': _edit(lambda data, rng: rng.bytes(len(data))),
    'text': _edit(lambda data, rng: b'no rows\n' * 100),
    'compressed': _edit(lambda data, rng: zlib.compress(data)),
    'missing': lambda path, rng: path.unlink(),
    'a FIFO': _replaced_by(os.mkfifo),
    'a folder': _replaced_by(os.mkdir),
    'a link to nothing': _replaced_by(lambda path: path.symlink_to('none')),
    'a link to a device': _replaced_by(
        lambda path: path.symlink_to('/dev/zero')),
    'named by a word': _renamed('rows'),
    'copied to a later row': _copied('000000000090'),
    'copied to a row that is there': _copied('000000000031'),
}
_SEGMENT = {  # and to a segment
    'cut at a row': _edit(_cut_at_a_row),
    'cut inside the last row': _edit(_cut_inside_the_last_row),
    'cut inside the header': _edit(_cut_inside_the_header),
    'swapped rows': _edit(_swap_rows),
    'garbage after the end': _edit(lambda data, rng: data + rng.bytes(99)),
    'named by another row': _renamed('000000000070'),
    'of a later version': _bad_header(version=2),
    'a header of text': _bad_header(first='none'),
    'a negative header': _bad_header(oldest=-3),
    'a header without columns': _bad_header(columns=None),
    'a nested header': _nested_header,
    'a header of 40 GB': _large_header,
}


def _there(process):
  """Numbers of the rows in the buffer, which all are as they were."""
  rows = process.rows()
  numbers = rows['nested'][0].numpy()[0]
  assert rows['action'].numpy()[0].tolist() == [[n, -n] for n in numbers]
  assert (rows['image'].numpy()[0] == numbers[:, None, None] % 256).all()
  assert (rows['nested'][1].numpy()[0] == (numbers % 3 == 0)).all()
  assert (np.diff(numbers) > 0).all()
  return numbers.tolist()


def _resume(root, end):
  process = stored.Process(root, capacity=_CAPACITY)
  process.store.load(end)
  return process


@pytest.mark.parametrize('seed', range(_SEEDS))
@pytest.mark.parametrize('kind', [*_ANY, *_SEGMENT])
def test_damage_is_named_and_what_is_whole_is_resumed_from(
    whole, tmp_path, kind, seed):
  rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
  root = tmp_path / 'run'
  shutil.copytree(whole, root)
  paths = folder.files(root / 'replay')
  damage = _SEGMENT.get(kind)
  if damage:
    paths = [path for path in paths if path.suffix == segments.SUFFIX]
  path = paths[rng.integers(len(paths))]
  (damage or _ANY[kind])(path, rng)

  process = _resume(root, _ROWS)
  numbers, said = _there(process), '\n'.join(process.store.notes)
  assert set(numbers) <= set(range(_ROWS))
  lost = _ROWS - len(numbers)
  assert process.store.missing == lost
  copies = root.glob('replay/0000000000[39][01].*')
  names = [str(path), *map(str, copies), 'replay/rows.', '000000000070']
  if kind in ('missing', 'cut at a row'):  # no file says what is missing
    assert re.search(r'Rows \d+ to \d+ are in no file of ', said)
  elif lost or path.suffix == segments.SUFFIX:
    # What follows the last row is as a kill leaves it; an archive has bytes
    # that mean nothing.
    assert any(name in said for name in names) or process.store.cut, 'silent'
  if kind == 'garbage after the end':
    assert not lost
  assert not any(word in said for word in ('Traceback', 'Error ', '\n\n'))

  # The run continues, and is resumed once more, with the same rows.
  assert process.save(range(50, 57)) == 57
  again = _resume(root, 57)
  assert _there(again) == [*numbers, *range(50, 57)]
  assert re.sub(r'\D', '', str(again.store.missing)) in (str(lost), '0')


def test_a_word_in_place_of_the_folder_is_named(whole, tmp_path):
  for make in (lambda path: path.write_text('no folder'), os.mkfifo):
    make(tmp_path / 'replay')
    with pytest.raises(ValueError, match=f'{tmp_path}/replay is no folder'):
      _resume(tmp_path, _ROWS)
    (tmp_path / 'replay').unlink()


def test_rows_of_another_run_are_refused_by_name(whole, tmp_path):
  root = tmp_path / 'run'
  shutil.copytree(whole, root)
  path = root / 'replay' / '000000000016.tfrecord'
  writer = segments.Writer(path, segments.Form(stored.SPEC, 2), 16, 0)
  writer.commit()
  with pytest.raises(ValueError, match=f'{path} was collected by 2 environ'):
    _resume(root, _ROWS)


def test_a_folder_of_damaged_files_alone_is_refused_by_name(whole, tmp_path):
  root = tmp_path / 'run'
  shutil.copytree(whole, root)
  for path in folder.files(root / 'replay'):
    path.write_bytes(b'')
  with pytest.raises(ValueError, match='replay/0.* cannot be read .*Put it b'):
    _resume(root, _ROWS)


@pytest.mark.parametrize('seed', range(5))
def test_several_files_are_damaged_at_once(whole, tmp_path, seed):
  rng = np.random.default_rng(seed)
  root = tmp_path / 'run'
  shutil.copytree(whole, root)
  paths = folder.files(root / 'replay')
  for path in rng.choice(paths, 3, replace=False):
    kind = rng.choice(sorted(set(_ANY) - {
        'copied to a later row', 'copied to a row that is there'}))
    _ANY[kind](path, rng)
  process = _resume(root, _ROWS)
  numbers = _there(process)
  assert process.store.missing == _ROWS - len(numbers)
  process.save(range(50, 54))
  assert _there(_resume(root, 54)) == [*numbers, *range(50, 54)]


def test_reports_read_what_is_whole_and_print_the_rest(
    whole, tmp_path, capsys):
  root = tmp_path / 'run'
  shutil.copytree(whole, root)
  path = root / 'replay' / '000000000022.tfrecord'
  _edit(lambda data, rng: data[:-3])(path, None)
  rows = store.read(root / 'replay', stored.SPEC)
  assert len(rows['action']) == _ROWS - 1
  said = capsys.readouterr().out
  assert f'Note: Rows 27 to 27 are in no file of {path.parent}' in said
