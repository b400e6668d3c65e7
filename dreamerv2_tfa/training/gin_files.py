"""Gin files as users have them: beside each other, with a byte-order mark."""

import codecs
import io
import logging
import pathlib
import re

import gin

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import presets

_INCLUDE = re.compile(r'''^(include\s+)(["'])(.+?)\2''', re.M)
MARK = 'gin-file:'  # before paths that are read here


def parse(names, bindings):
  """Reads gin files and bindings, a later one wins.

  An `include` is looked for beside the including file first, then as the files
  themselves are: from the working directory, then among the presets.

  Args:
    names: Paths or names of presets.
    bindings: Lines of gin.

  Raises:
    UserError: If a file is missing.
    ValueError: If a line names what does not exist, from gin.
    SyntaxError: If a line cannot be read, likewise.
  """
  paths = []
  for name in names:
    path = _find(name)
    if path is None:
      raise checks.UserError(
          f'There is no gin file {str(name)!r}. The presets in '
          f'{presets.folder()} are: {", ".join(presets.names())}.'
      )
    paths.append(_marked(path))
  gin.config.register_file_reader(_open, lambda path: path.startswith(MARK))
  # gin logs an error for each place where an included file is not.
  before = logging.root.manager.disable
  logging.disable(logging.CRITICAL)
  try:
    gin.parse_config_files_and_bindings(paths, list(bindings))
  finally:
    logging.disable(before)


def _find(name, *folders):
  """The file of this name in these folders, or where gin files are; or None."""
  package = presets.folder()
  for folder in (*folders, '', package, package.parent):
    for path in (pathlib.Path(folder, name), pathlib.Path(folder, f'{name}.gin')):
      if path.is_file():
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

  def mark(match):
    start, quote, name = match.groups()
    found = _find(name, path.parent)
    return f'{start}{quote}{_marked(found) if found else name}{quote}'

  file = io.StringIO(_INCLUDE.sub(mark, text))
  file.name = str(path)  # that gin tells of a mistake
  return file
