"""Files and folders that are whole or not there, whatever ends the process.

They are written aside, flushed to the disk and renamed, in this order, so a
power cut leaves the old or the new one.

    name.part, name.new     being written
    name.old                replaced, not yet deleted
"""

import os
import pathlib
import shutil


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file, or replaces it.

  Args:
    path: Its folder exists.
    text: Of the file; UTF-8.
  """
  write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, data: bytes) -> None:
  """Writes a file, or replaces it.

  Args:
    path: Its folder exists.
    data: Of the file.
  """
  partial = path.with_name(f'{path.name}.part')
  # A link that lies there, such as in a stranger's folder, is not followed.
  partial.unlink(missing_ok=True)
  with partial.open('xb') as file:
    file.write(data)
  replace(partial, path)


def replace(fresh: pathlib.Path, final: pathlib.Path) -> None:
  """Flushes a file or folder to the disk and gives it its final name.

  Args:
    fresh: Written and closed, in the folder of `final`.
    final: If it exists, it is replaced.
  """
  if fresh.is_dir():
    for folder, _, files in os.walk(fresh):
      for name in files:
        sync(pathlib.Path(folder, name))
      sync(pathlib.Path(folder))
    _replace_folder(fresh, final)
  else:
    sync(fresh)
    fresh.replace(final)
  sync(final.parent)


def _replace_folder(fresh, final):
  # No rename replaces a folder that is not empty; `recover` undoes the first.
  old = _old(final)
  if final.exists():
    shutil.rmtree(old, ignore_errors=True)
    final.rename(old)
  fresh.rename(final)
  shutil.rmtree(old, ignore_errors=True)


def recover(final: pathlib.Path) -> None:
  """Puts back a folder whose replacement was cut off; removes what is left.

  Args:
    final: The folder, of `replace`; `<name>.new` is a fresh one of it.
  """
  old = _old(final)
  if old.is_dir() and not final.exists():
    old.rename(final)
  for left in (old, final.with_name(f'{final.name}.new')):
    shutil.rmtree(left, ignore_errors=True)


def sync(path: pathlib.Path) -> None:
  """Flushes a file, or the names in a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _old(final):
  return final.with_name(f'{final.name}.old')
