"""One run a folder: a process locks it as long as it trains there."""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket

_UNKNOWN = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(
    path: pathlib.Path, what: str = 'run', flag: str = '--root_dir',
) -> Iterator[None]:
  """Locks a run's folder, which is made if it does not exist.

  The lock is the kernel's, on an open file, so it ends with the process however
  that ends. The file stays, empty; only a folder that was made here and got
  nothing else is removed again.

  Args:
    path: Of the lock file in it.
    what: What the folder is of, as an error calls it.
    flag: That names the folder.

  Raises:
    ValueError: If another run trains there.
  """
  root_dir = path.parent
  made = _make(root_dir)
  file = None
  try:
    file = _acquire(path, what, flag)
    yield
  finally:
    if file is not None:
      file.truncate(0)
      if made and os.listdir(root_dir) == [path.name]:
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


def _acquire(path, what, flag):
  """The lock's open file."""
  while True:
    file = path.open('a+', encoding='utf-8')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      owner = _owner(file)
      file.close()
      raise ValueError(
          f'The folder {path.parent} is in use: {owner} trains there, and two '
          f'{what}s in one folder would spoil each other. Wait for it, stop '
          f'it, or give another {flag}.'
      ) from error
    except OSError as error:
      if error.errno not in _UNKNOWN:
        raise
      print(
          f'Note: {path.parent} cannot be locked ({error.strerror}). Let no '
          'other run write there.'
      )
    # The process that locked it before may have removed the file.
    if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
      break
    file.close()
  file.truncate(0)
  file.write(json.dumps({'pid': os.getpid(), 'host': socket.gethostname()}))
  file.flush()
  return file


def _owner(file):
  """Which process has locked it, in words."""
  file.seek(0)
  try:
    owner = json.loads(file.read())
    return f'process {owner["pid"]} on {owner["host"]}'
  except (ValueError, KeyError, TypeError):
    return 'another process'
