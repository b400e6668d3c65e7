"""A disk that cannot be written is named, whoever has noticed it."""

import errno
import os

import pytest
import tensorflow as tf

from dreamerv2_tfa.training import disk

_OF_A_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
_OF_A_PATH = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESTALE)


def _python(number, path):
  raise OSError(number, os.strerror(number), str(path))


def _tensorflow(number, path):
  raise tf.errors.UnknownError(None, None, f'{path}; {os.strerror(number)}')


@pytest.mark.parametrize('number', _OF_A_DISK + _OF_A_PATH)
@pytest.mark.parametrize('fails', [_python, _tensorflow])
def test_what_cannot_be_written_is_said_in_one_line(tmp_path, fails, number):
  with pytest.raises(disk.DiskError) as caught, disk.named(tmp_path):
    fails(number, tmp_path / 'metrics.jsonl')
  said = str(caught.value)
  assert said.startswith(
      f'{tmp_path} cannot be written: {os.strerror(number)}.')
  assert 'give the same command' in said and '\n' not in said


@pytest.mark.parametrize('number', _OF_A_PATH)
@pytest.mark.parametrize('fails', [_python, _tensorflow])
def test_a_path_outside_the_run_is_not_blamed_on_it(tmp_path, fails, number):
  with pytest.raises((OSError, tf.errors.OpError)) as caught, (
      disk.named(tmp_path / 'run')):
    fails(number, tmp_path / 'roms')
  assert not isinstance(caught.value, disk.DiskError)


def test_it_is_named_once(tmp_path):
  with pytest.raises(disk.DiskError) as caught, disk.named(tmp_path):
    with disk.named(tmp_path):
      _python(errno.ENOSPC, tmp_path)
  assert str(caught.value).count('cannot be written') == 1
