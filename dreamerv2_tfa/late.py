"""Imports at the first use."""

import importlib
import types


def imported(module: str) -> types.ModuleType:
  """A module, imported where it has not been.

  It adds its settings to gin, even where a program has finalized its own.

  Args:
    module: Its whole name.

  Raises:
    Exception: What the module raises.
  """
  import gin  # slow to import

  with gin.unlock_config():
    return importlib.import_module(module)
