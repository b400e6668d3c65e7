"""Gin files as users have them: beside each other, with a byte-order mark."""

import codecs
import contextlib
import io
import logging
import pathlib
import re

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import presets

_INCLUDE = re.compile(r'''^(include\s+)(["'])(.+?)\2''', re.M)
MARK = 'gin-file:'  # before paths that are read here
_sources = []  # what the last `parse` has read so far


def parse(names, lines):
  """Reads gin files and bindings, a later one wins.

  An `include` is looked for beside the including file first, then as the files
  themselves are: from the working directory, then among the presets.

  Args:
    names: Paths or names of presets, with '.gin' or without it.
    lines: Bindings, lines of gin.

  Raises:
    UserError: If a file is missing, or a line cannot be read or names what does
      not exist; with the place of the mistake.
  """
  paths = [_path(name) for name in names]
  _sources.clear()
  gin.config.register_file_reader(_open, lambda path: path.startswith(MARK))
  # gin logs an error for each place where an included file is not.
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    for path in paths:
      gin.parse_config_file(_marked(path))
    for number, line in enumerate(lines, 1):
      gin.parse_config(_read(bindings.Source(None, number, line), ''))
    bindings.check_macros(_sources)
    gin.finalize()
  except (SyntaxError, ValueError, ImportError, OSError) as error:
    if isinstance(error, checks.UserError):
      raise
    raise bindings.explain(error, _sources) from error
  finally:
    logging.disable(before)


_FRAME = re.compile(r'\s*In (call to configurable|bindings string|file)')


def plain(error):
  """An error's text without the calls of configurables that gin adds to it."""
  text = str(error).replace(MARK, '').partition(' in config string:')[0]
  return '\n'.join(
      line for line in text.splitlines() if not _FRAME.match(line))


@contextlib.contextmanager
def without_frames():
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


def _path(name):
  """The file of this name, of a user's or among the presets."""
  path = _find(name)
  if path is None and str(name) and pathlib.Path(name).is_dir():
    raise checks.UserError(
        f'{str(name)!r} is a folder; wanted a gin file. The folder of a run is '
        'given with --root_dir=DIR.')
  if path is None:
    raise checks.UserError(bindings.no_file(name))
  return path


def is_overlay(name):
  """Whether a gin file is no whole preset, and neither includes one.

  Args:
    name: Path, or name of a preset.

  Raises:
    UserError: If there is no such file.
  """
  path = _path(name)
  if _is_preset(path):
    return presets.describe()[path.stem].overlay
  text = path.read_text(encoding='utf-8', errors='replace')
  return all(
      is_overlay(_find(found.group(3), path.parent) or found.group(3))
      for found in _INCLUDE.finditer(text))


def name(file):
  """What a gin file is called in the record of a run.

  Args:
    file: Path, or name of a preset.

  Returns:
    Its name without '.gin'; with it where a file of the user's is called like a
    preset.

  Raises:
    UserError: If there is no such file.
  """
  path = _path(file)
  shadows = f'{path.stem}.gin' in presets.names() and not _is_preset(path)
  return path.name if shadows else path.stem


def _is_preset(path):
  return path.parent.resolve() == presets.folder().resolve()


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


def _marked(path):
  return f'{MARK}{path}'


def _open(path):
  """Opens a file that `parse` or an include in it has named.

  Args:
    path: Python string that begins with `MARK`.

  Returns:
    A file of text without byte-order mark, whose includes bear the mark.
  """
  path = pathlib.Path(path.removeprefix(MARK))
  raw = path.read_bytes()
  wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
  try:
    text = raw.decode('utf-16' if wide else 'utf-8').lstrip('\ufeff')
  except UnicodeDecodeError as error:
    raise checks.UserError(
        f'The gin file {path} is no text in UTF-8 ({error.reason} at byte '
        f'{error.start}). Save it as such.') from error

  file = io.StringIO(_read(bindings.Source(str(path), 0, text), path.parent))
  file.name = str(path)  # that gin tells of a mistake
  return file


def _read(source, folder):
  """Notes a text, checks its tokens and marks the includes in it."""
  def mark(match):
    start, quote, name = match.groups()
    found = _find(name, folder)
    return f'{start}{quote}{_marked(found) if found else name}{quote}'

  _sources.append(source)
  bindings.check(source)
  return _INCLUDE.sub(mark, source.text)
