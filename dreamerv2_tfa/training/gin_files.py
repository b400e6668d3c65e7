"""Gin files as users have them: beside each other, with a byte-order mark."""

import codecs
from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import re

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import presets

_INCLUDE = re.compile(r'''^(include\s+)(["'])(.+?)\2''', re.M)
_IMPORT = re.compile(r'^\s*(import|from)\s', re.M)
_FRAME = re.compile(r'\s*In (call to configurable|bindings string|file)')
MARK = 'gin-file:'  # before a path, for `open_marked`
_sources = []  # what has been read since `begin`


def begin() -> list[bindings.Source]:
  """Starts a new record of what is read; returns it, filled by `read`."""
  _sources.clear()
  return _sources


def plain(error: Exception) -> str:
  """An error's text without the calls of configurables that gin adds to it."""
  text = str(error).replace(MARK, '').partition(' in config string:')[0]
  return '\n'.join(
      line for line in text.splitlines() if not _FRAME.match(line))


@contextlib.contextmanager
def without_frames() -> Iterator[None]:
  """Raises refusals without what gin adds to them.

  Raises:
    UserError: Where a `ValueError` refuses a setting.
    TypeError: Likewise.
  """
  try:
    yield
  except (ValueError, TypeError) as error:
    if not checks.is_refusal(error) or plain(error) == str(error):
      raise
    kind = checks.UserError if isinstance(error, ValueError) else TypeError
    raise kind(plain(error)).with_traceback(error.__traceback__) from None


def path(name: str | os.PathLike) -> pathlib.Path:
  """The file of this name, of a user's or among the presets.

  Raises:
    UserError: If there is none.
  """
  found = _find(name)
  if found is None and str(name) and pathlib.Path(name).is_dir():
    raise checks.UserError(
        f'{str(name)!r} is a folder; wanted a gin file. The folder of a run is '
        'given with --root_dir=DIR.')
  if found is None:
    raise checks.UserError(bindings.no_file(name))
  return found


def is_overlay(name: str | os.PathLike) -> bool:
  """Whether a gin file is no whole preset, and neither includes one.

  Args:
    name: Or name of a preset.

  Raises:
    UserError: If there is no such file.
  """
  file = path(name)
  if _is_preset(file):
    return presets.describe()[file.stem].overlay
  text = file.read_text(encoding='utf-8', errors='replace')
  return all(
      is_overlay(_find(found.group(3), file.parent) or found.group(3))
      for found in _INCLUDE.finditer(text))


def name(file: str | os.PathLike) -> str:
  """What a gin file is called in the record of a run.

  Args:
    file: Or name of a preset.

  Returns:
    Its name without '.gin'; with it where a file of the user's is called like a
    preset.

  Raises:
    UserError: If there is no such file.
  """
  found = path(file)
  shadows = f'{found.stem}.gin' in presets.names() and not _is_preset(found)
  return found.name if shadows else found.stem


def _is_preset(file):
  return file.parent.resolve() == presets.folder().resolve()


def _find(name, *folders):
  """The file of this name in these folders, or where gin files are; or None.

  A bare word such as 'debug' is the preset of that name where there is one.
  """
  package = presets.folder()
  if f'{name}.gin' in presets.names():
    return package / f'{name}.gin'
  for folder in (*folders, '', package, package.parent):
    for named in (name, f'{name}.gin'):
      if (path := pathlib.Path(folder, named)).is_file():
        return path
  return None


def marked(file: pathlib.Path) -> str:
  """A path that gin gives to `open_marked`."""
  return f'{MARK}{file}'


def open_marked(path: str) -> io.StringIO:
  """Opens a file whose path is marked.

  Args:
    path: Begins with `MARK`.

  Returns:
    A file of text without byte-order mark, whose includes bear the mark.
  """
  file = pathlib.Path(path.removeprefix(MARK))
  raw = file.read_bytes()
  wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
  try:
    text = raw.decode('utf-16' if wide else 'utf-8').lstrip('\ufeff')
  except UnicodeDecodeError as error:
    raise checks.UserError(
        f'The gin file {file} is no text in UTF-8 ({error.reason} at byte '
        f'{error.start}). Save it as such.') from error

  opened = io.StringIO(read(bindings.Source(str(file), 0, text), file.parent))
  opened.name = str(file)  # that gin tells of a mistake
  return opened


def read(source: bindings.Source, folder: str | pathlib.Path) -> str:
  """Records a text, checks its tokens and marks the includes in it.

  Modules that it imports are looked for in the working directory too.

  Args:
    source: The text.
    folder: Where its includes are looked for first.

  Raises:
    UserError: If a line cannot be read.
  """
  def mark(match):
    start, quote, name = match.groups()
    found = _find(name, folder)
    return f'{start}{quote}{marked(found) if found else name}{quote}'

  _sources.append(source)
  bindings.check(source)
  if _IMPORT.search(source.text):
    tasks.find_modules_here()
  return _INCLUDE.sub(mark, source.text)
