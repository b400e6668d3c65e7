"""What a run is, out of its folder, as loggers show it."""

import ast

from dreamerv2_tfa import reading
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import runs


def texts(folder: runs.RunFolder) -> dict[str, str]:
  """Texts in Markdown by name: the settings, and the protocol.

  Args:
    folder: Of the run. A file that is missing, or damaged, is left out: its
      readers say so.
  """
  found = {}
  for name, path in (
      ('operative_config', folder.config), ('protocol', folder.protocol)):
    try:
      found[name] = f'```\n{reading.text(path)}```\n'
    except (OSError, ValueError):
      continue
  return found


def hparams(folder: runs.RunFolder) -> dict[str, bool | int | float | str]:
  """The settings that are a plain value each, by name.

  Args:
    folder: Of the run.
  """
  found = {}
  for name, text in config.recorded(folder.config).items():
    try:
      value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a function, such as a schedule
      continue
    if isinstance(value, bool | int | float | str):
      found[name] = value
  return found
