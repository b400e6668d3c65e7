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
  """The settings that gin has bound to a plain value each, by name.

  Args:
    folder: Of the run. What is recorded there and not bound is a default of
      TF-Agents' parts, such as a name.
  """
  found, bound = {}, config.bound()
  for name, text in config.recorded(folder.config).items():
    if name not in bound:
      continue
    try:
      value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a function, such as a schedule
      continue
    if isinstance(value, bool | int | float | str):
      found[name] = value
  return found
