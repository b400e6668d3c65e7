"""A disk that is full, or gone, said in one sentence."""

from collections.abc import Iterator
import contextlib
import errno
import pathlib

import tensorflow as tf

_REASONS = {
    errno.ENOSPC: 'No space left on device',
    errno.EDQUOT: 'Disk quota exceeded',
    errno.EROFS: 'Read-only file system',
    errno.EFBIG: 'File too large',
    errno.EIO: 'Input/output error',
}


# These may as well be about a file that is not the run's.
_OF_A_PATH = {
    errno.EACCES: 'Permission denied',
    errno.EPERM: 'Operation not permitted',
    errno.ENOENT: 'No such file or directory',
    errno.ESTALE: 'Stale file handle',
}


class DiskError(OSError):
  """A run that could not write; what it had saved before is whole."""


@contextlib.contextmanager
def named(root_dir: pathlib.Path) -> Iterator[None]:
  """Raises a `DiskError` where a file of a run cannot be written.

  TensorFlow has errors of its own for a full disk, of several types.

  Args:
    root_dir: The run's folder.

  Raises:
    DiskError: If the disk is full, read-only or fails.
  """
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    reason = _reason(error, root_dir)
    if reason is None or isinstance(error, DiskError):
      raise
    raise DiskError(
        f'{root_dir} cannot be written: {reason}. What was saved before is '
        'whole. Make room, then give the same command, which resumes from the '
        'last save.'
    ) from error


def _reason(error, root_dir):
  """What is wrong with the disk, or None where it is something else."""
  text = str(error)
  reasons = dict(_REASONS)
  if str(root_dir) in text:
    reasons |= _OF_A_PATH
  if isinstance(error, OSError):
    return reasons.get(error.errno or 0)
  return next((said for said in reasons.values() if said in text), None)
