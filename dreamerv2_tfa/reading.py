"""Files that others may have written, read within bounds.

A run's folder and an export travel between people. In place of a file there may
be a pipe, which never ends, or a file that is larger than memory.
"""

import json
import os
import pathlib
import stat
from typing import Any
import zipfile

import numpy as np

from dreamerv2_tfa import checks

SMALL = 8 * 2**20  # bytes at most of settings, specs and descriptions
LINES = 256 * 2**20  # bytes at most of the metrics of a long run
LARGE = 2**32  # bytes at most of weights, or of an episode


def data(path: pathlib.Path, at_most: int = SMALL) -> bytes:
  """The bytes of a file.

  Args:
    path: Of a regular file, or of a link to one.
    at_most: Bytes that are read.

  Raises:
    OSError: If it cannot be read, such as where there is none.
    ValueError: If it is no regular file, or larger: the reason alone, to be
      put into a message that names the file and the way out.
  """
  _check_size(_size(path), at_most)
  with path.open('rb') as file:
    read = file.read(at_most + 1)
  _check_size(len(read), at_most)
  return read


def _size(path):
  found = path.stat()
  if not stat.S_ISREG(found.st_mode):
    raise ValueError('it is no regular file')
  return found.st_size


def _check_size(size, at_most):
  if size > at_most:
    raise ValueError(f'it has {size:,} bytes, and at most {at_most:,} are read')


def text(path: pathlib.Path, at_most: int = SMALL) -> str:
  """The text of a file in UTF-8.

  Args:
    path: As in `data`.
    at_most: Bytes that are read.

  Raises:
    OSError: If it cannot be read.
    ValueError: As in `data`, or if it is no UTF-8.
  """
  return data(path, at_most).decode('utf-8')


def parsed(text: str | bytes) -> Any:
  """What a text in JSON says.

  Raises:
    ValueError: If it is no JSON, or nested deeper than Python reads.
  """
  try:
    return json.loads(text)
  except RecursionError as error:
    raise ValueError('it is nested too deep') from error


def arrays(path: pathlib.Path, at_most: int = LARGE) -> dict[str, np.ndarray]:
  """The arrays of an `.npz` file by name, without pickle.

  Args:
    path: As in `data`.
    at_most: Bytes of all of them, unpacked.

  Raises:
    OSError: If it cannot be read.
    ValueError: As in `data`, or if it holds something else.
  """
  _size(path)
  try:
    with zipfile.ZipFile(path) as packed:
      size = sum(each.file_size for each in packed.infolist())
    _check_size(size, at_most)
    with np.load(path, allow_pickle=False) as found:
      return dict(found)
  except (zipfile.BadZipFile, EOFError, MemoryError, KeyError) as error:
    raise ValueError(str(error) or 'it claims more than there is') from error


def check_kinds(
    root: pathlib.Path, *, writes: bool = False, except_in: str = '',
    deep: bool = True,
) -> None:
  """Refuses a folder with something else in it than files and folders.

  Args:
    root: The folder, which need not exist. A link to it is followed.
    writes: Whether it will be written: then links that lead out of it are
      refused too.
    except_in: Name of a folder in it whose links may lead out: another program
      makes new ones and follows none.
    deep: Whether to look into the folders in it as well.

  Raises:
    UserError: If there is a pipe, a socket or a device, or such a link.
  """
  home = os.path.realpath(root.expanduser())
  for folder, folders, files in os.walk(home):
    for name in (*folders, *files):
      path = os.path.join(folder, name)
      target = os.path.realpath(path)
      within = os.path.relpath(folder, home).partition(os.sep)[0]
      if writes and within != except_in and (
          os.path.commonpath([home, target]) != home):
        raise checks.UserError(
            f'{path} is a link to {target}, where training would write. Put '
            'what it leads to in its place; to train on another disk, move '
            'the whole folder there. A link to the whole folder is followed.'
        )
      if os.path.exists(target) and not (
          os.path.isfile(target) or os.path.isdir(target)):
        raise checks.UserError(
            f'{path} is no file and no folder, but a pipe, a socket or a '
            'device. No run has one: remove it, if you trust the others.'
        )
    if not deep:
      break
