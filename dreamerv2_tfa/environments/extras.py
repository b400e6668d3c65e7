"""Packages that only some suites need."""

import importlib
import pathlib
import warnings

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(module, extra):
  """Imports a module of a package that an extra installs.

  Which warnings are shown stays as it was: dm_control would show all.

  Args:
    module: Python string, such as 'dm_control.suite'.
    extra: Python string, the extra of this package, such as 'dmc'.

  Returns:
    The module.

  Raises:
    ValueError: If the package is not installed, with the line that does it.
  """
  try:
    with warnings.catch_warnings():
      return importlib.import_module(module)
  except ModuleNotFoundError as error:
    package = module.partition('.')[0]
    if (error.name or '').partition('.')[0] != package:
      package = f'{package} (for it, {error.name})'
    raise ValueError(
        f'The package {package} is not installed. To mend it: '
        f'{install_line(extra)}'
    ) from error


def install_line(extra):
  """Returns the command that installs an extra, here or from PyPI."""
  if (_ROOT / 'bin' / 'python').exists():
    return f"bin/python -m pip install -e '.[{extra}]'"
  return f"pip install 'dreamerv2_tfa[{extra}]'"
