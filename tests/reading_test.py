"""Tests of files that others may have written: what is read, and how much."""

import os
import pathlib
import socket
import zipfile

import numpy as np
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa import reading


def test_a_file_is_read_up_to_its_bound_and_not_beyond(tmp_path):
  path = tmp_path / 'file'
  path.write_bytes(b'12345')
  assert reading.data(path, 5) == b'12345'
  with pytest.raises(ValueError, match='it has 5 bytes, and at most 4'):
    reading.data(path, 4)


def test_what_says_nothing_of_its_size_is_bounded_too():
  with pytest.raises(ValueError, match='it has 4 bytes, and at most 3'):
    reading.data(_proc('self/status'), 3)  # of size 0 to those who ask


def _proc(name):
  path = pathlib.Path('/proc') / name
  if not path.exists():
    pytest.skip('no /proc')
  return path


def test_a_link_to_a_file_is_read_and_one_to_a_device_is_not(tmp_path):
  (tmp_path / 'file').write_text('ä', encoding='utf-8')
  (tmp_path / 'link').symlink_to('file')
  assert reading.text(tmp_path / 'link') == 'ä'
  (tmp_path / 'zero').symlink_to('/dev/zero')
  with pytest.raises(ValueError, match='it is no regular file'):
    reading.data(tmp_path / 'zero')


def test_a_text_of_another_encoding_is_refused(tmp_path):
  (tmp_path / 'file').write_bytes(b'\xff')
  with pytest.raises(ValueError):
    reading.text(tmp_path / 'file')


def test_json_is_read_up_to_the_depth_that_python_reads():
  assert reading.parsed('[' * 50 + ']' * 50)
  for begin, end in ('[]', ('{"a":', '}')):
    with pytest.raises(ValueError, match='it is nested too deep'):
      reading.parsed(begin * 100_000 + '1' + end * 100_000)


def test_arrays_are_read_by_name(tmp_path):
  np.savez(tmp_path / 'a.npz', x=np.arange(3), y=np.ones((2, 2)))
  arrays = reading.arrays(tmp_path / 'a.npz')
  assert list(arrays) == ['x', 'y']
  np.testing.assert_array_equal(arrays['x'], [0, 1, 2])


def test_arrays_that_are_larger_unpacked_are_refused(tmp_path):
  path = tmp_path / 'bomb.npz'
  np.savez_compressed(path, x=np.zeros(10**6))
  assert path.stat().st_size < 10**4
  with pytest.raises(ValueError, match='it has 8,000,128 bytes'):
    reading.arrays(path, 10**6)


def _header(shape):
  return (b'\x93NUMPY\x01\x00v\x00' + f"{{'descr': '<f8', 'fortran_order': "
          f"False, 'shape': {shape}, }}".encode().ljust(117) + b'\n')


def test_an_array_that_claims_more_than_there_is_is_refused(tmp_path):
  path = tmp_path / 'a.npz'
  for shape in ((10**14,), (10**9, 10**9), (7,)):
    with zipfile.ZipFile(path, 'w') as packed:
      packed.writestr('x.npy', _header(shape))
    with pytest.raises(ValueError):
      reading.arrays(path)


def test_an_array_of_objects_and_a_file_that_is_no_zip_are_refused(tmp_path):
  np.savez(tmp_path / 'a.npz', x=np.array([None]))
  with pytest.raises(ValueError, match='allow_pickle'):
    reading.arrays(tmp_path / 'a.npz')
  (tmp_path / 'b.npz').write_bytes(b'no zip')
  with pytest.raises(ValueError, match='zip'):
    reading.arrays(tmp_path / 'b.npz')


def test_a_folder_has_files_and_folders_alone(tmp_path):
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'file').touch()
  (tmp_path / 'broken').symlink_to('nowhere')
  reading.check_kinds(tmp_path)
  reading.check_kinds(tmp_path / 'absent', writes=True)
  os.mkfifo(tmp_path / 'in' / 'pipe')
  with pytest.raises(checks.UserError, match='in/pipe is no file'):
    reading.check_kinds(tmp_path)


def test_a_socket_and_a_link_to_a_device_are_neither(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # the path of a socket is short
  with socket.socket(socket.AF_UNIX) as made:
    made.bind('socket')
    with pytest.raises(checks.UserError, match='socket is no file'):
      reading.check_kinds(tmp_path)
  (tmp_path / 'socket').unlink()
  (tmp_path / 'zero').symlink_to('/dev/zero')
  with pytest.raises(checks.UserError, match='zero is no file'):
    reading.check_kinds(tmp_path)


def test_links_that_lead_out_are_refused_where_it_will_be_written(tmp_path):
  home = tmp_path / 'home'
  (home / 'in').mkdir(parents=True)
  (home / 'inside').symlink_to('in')
  (home / 'loop').symlink_to('loop')
  reading.check_kinds(home, writes=True)
  for target in (tmp_path, tmp_path / 'home-other', '../../new'):
    (home / 'in' / 'out').symlink_to(target)
    reading.check_kinds(home)
    reading.check_kinds(home, writes=True, deep=False)
    with pytest.raises(checks.UserError, match='in/out is a link to'):
      reading.check_kinds(home, writes=True)
    (home / 'in' / 'out').unlink()
