"""Packages that only some suites need."""

import importlib
import pathlib
import types
import warnings

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(module: str, extra: str) -> types.ModuleType:
  """Imports a module of a package that an extra installs.

  The filters of warnings are restored: dm_control's import shows all warnings.

  Args:
    module: Such as 'dm_control.suite'.
    extra: The extra of this package, such as 'dmc'.

  Raises:
    ValueError: If the package is not installed, with the command to do so.
  """
  try:
    with warnings.catch_warnings():
      return importlib.import_module(module)
  except ModuleNotFoundError as error:
    package = module.partition('.')[0]
    if (error.name or '').partition('.')[0] != package:
      package = f'{package} (for it, {error.name})'
    raise ValueError(
        f'The package {package} is not installed. Install it: '
        f'{install_line(extra)}'
    ) from error


def install_line(extra: str) -> str:
  """The command that installs an extra, in this checkout or from PyPI."""
  if (_ROOT / 'bin' / 'python').exists():
    return f"bin/python -m pip install -e '.[{extra}]'"
  return f"pip install 'dreamerv2_tfa[{extra}]'"
