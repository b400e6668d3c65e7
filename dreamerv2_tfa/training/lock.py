"""One run a folder: who writes there holds its lock as long as it lives."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket

_NAME = 'lock'
_UNKNOWN = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def held(root_dir):
  """Holds the lock of a run's folder, which is made if it does not exist.

  The lock is the kernel's, on an open file, so it ends with the process however
  that ends. The file stays, empty; only a folder that was made here and got
  nothing else is removed again.

  Args:
    root_dir: Path of the run's folder.

  Yields:
    Nothing.

  Raises:
    ValueError: If another run holds it.
  """
  root_dir = pathlib.Path(root_dir)
  made = _make(root_dir)
  path = root_dir / _NAME
  file = None
  try:
    file = _acquire(path)
    yield
  finally:
    if file is not None:
      file.truncate(0)
      if made and os.listdir(root_dir) == [_NAME]:
        path.unlink()
        _remove(made)
      file.close()


def _make(root_dir):
  """Makes a folder; returns those that were not there, the inmost first."""
  missing = [
      folder for folder in (root_dir, *root_dir.parents) if not folder.exists()
  ]
  root_dir.mkdir(parents=True, exist_ok=True)
  return missing


def _remove(folders):
  """Removes folders, the inmost first, up to one that is in use."""
  with contextlib.suppress(OSError):
    for folder in folders:
      folder.rmdir()


def _acquire(path):
  """The lock's open file."""
  while True:
    file = path.open('a+', encoding='utf-8')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      holder = _holder(file)
      file.close()
      raise ValueError(
          f'The folder {path.parent} is in use: {holder} trains there, and two '
          'runs in one folder would spoil each other. Wait for it, stop it, or '
          'give another --root_dir.'
      ) from error
    except OSError as error:
      if error.errno not in _UNKNOWN:
        raise
      print(
          f'Note: {path.parent} cannot be locked ({error.strerror}). Let no '
          'other run write there.'
      )
    # Whoever held it before may have removed the file.
    if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
      break
    file.close()
  file.truncate(0)
  file.write(json.dumps({'pid': os.getpid(), 'host': socket.gethostname()}))
  file.flush()
  return file


def _holder(file):
  """Who holds the lock, in words."""
  file.seek(0)
  try:
    facts = json.loads(file.read())
    return f'process {facts["pid"]} on {facts["host"]}'
  except (ValueError, KeyError, TypeError):
    return 'another process'
