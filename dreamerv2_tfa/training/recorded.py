"""What the settings in a run's folder may say: values, and nothing that runs.

Run folders travel between people. From a file gin would import any module, and
call any function that is registered with it or, by dynamic registration, any.
"""

from collections.abc import Collection
import pathlib
import sys
from typing import Any

from gin import config as gin_config
from gin import config_parser

from dreamerv2_tfa import checks

# Their functions write files, read pickles and start servers; no setting of
# this package takes one.
_LIBRARIES = (
    'absl', 'gin', 'keras', 'reverb', 'tensorflow', 'tensorflow_probability',
    'tf_agents', 'tf_keras',
)


class _References(config_parser.ParserDelegate):
  """Notes the references of a text, and makes none."""

  def __init__(self):
    self.names: list[str] = []
    self.macros: list[str] = []

  def configurable_reference(
      self, scoped_configurable_name: str, evaluate: bool) -> Any:
    del evaluate
    self.names.append(scoped_configurable_name.rpartition('/')[2])

  def macro(self, macro_name: str) -> Any:
    self.macros.append(macro_name)


def check(
    path: pathlib.Path, text: str, trusted: Collection[str] = (),
) -> None:
  """Refuses settings of a run that would run code which is not loaded.

  Allowed are values, and references to what this package and the caller's own
  modules declare. An import is allowed if the module is imported already, or if
  a file that the caller gave has the same line.

  Args:
    path: Where the text is from, for the message.
    text: Lines of gin.
    trusted: Import lines of gin files that the caller gave.

  Raises:
    UserError: If a line imports, includes or refers to something else.
    SyntaxError: If a line cannot be read, from gin.
  """
  references = _References()
  bound, used = set(), []
  for statement in config_parser.ConfigParser(text, references):
    if isinstance(statement, config_parser.BindingStatement):
      bound.add(_macro(statement))
    used += [(statement, name) for name in references.macros]
    references.macros.clear()
    if isinstance(statement, config_parser.IncludeStatement):
      raise checks.UserError(
          f'{_place(path, statement)} includes the file {statement.filename!r}.'
          " A run's settings are in one file. Delete the line."
      )
    if isinstance(statement, config_parser.ImportStatement):
      _check_import(path, statement, trusted)
    while references.names:
      _check_reference(path, statement, references.names.pop())
  for statement, name in used:
    if name not in bound and not gin_config._CONSTANTS.matching_selectors(name):
      raise checks.UserError(
          f'{_place(path, statement)} takes the macro %{name}, which nothing '
          f'binds. Write a value in its place, or a line {name} = VALUE.')


def _macro(binding):
  """The macro that a line binds; None where it binds a setting."""
  if binding.selector == 'gin.macro':
    return binding.scope
  if binding.arg_name:
    return None
  return '/'.join(filter(None, (binding.scope, binding.selector)))


def _check_import(path, statement, trusted):
  line = statement.format()
  changes_gin = statement.module.partition('.')[0] == '__gin__'
  loaded = statement.module in sys.modules and not changes_gin
  if not (loaded or line in trusted):
    raise checks.UserError(
        f'{_place(path, statement)} says {line!r}, which would run code that '
        "is not this package's. If you trust it, import the module first, or "
        'give a gin file of yours that has the line: --gin_file=FILE.'
    )


def _check_reference(path, statement, name):
  try:
    found = gin_config._REGISTRY.get_match(name)  # None: gin will say so
  except KeyError:  # gin will say that it is ambiguous
    return
  module = getattr(getattr(found, 'wrapped', None), '__module__', None) or ''
  if module.partition('.')[0] in _LIBRARIES:
    raise checks.UserError(
        f'{_place(path, statement)} refers to @{name} of {module}. The '
        'settings of a run may refer to what this package or your own code '
        'declares. Delete the line.'
    )


def _place(path, statement):
  return f'{path}, line {statement.location.line_num},'
