"""`loggers.json`: which run of a remote logger a folder's run is."""

import json
import pathlib
import re

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading

_ID = re.compile(r'[\w-]{1,64}', re.ASCII)  # part of paths and URLs


def read(path: pathlib.Path) -> dict[str, str]:
  """Ids by the names of the loggers; {} without a file.

  Raises:
    UserError: If the file is damaged.
  """
  if not path.exists():
    return {}
  try:
    found = reading.parsed(reading.text(path))
    if all(_ID.fullmatch(each) for each in (*found, *found.values())):
      return found
    reason = 'it is no object of names and ids'
  except (OSError, ValueError, TypeError, AttributeError) as error:
    reason = str(error)
  raise checks.UserError(
      f'{path} cannot be read ({reason}). Put it back from a copy, or move it '
      'away: W&B and MLflow then begin a new run.'
  )


def write(path: pathlib.Path, name: str, run_id: str) -> None:
  """Stores the id of a logger, beside those of others."""
  known = read(path)
  if known.get(name) != run_id:
    durable.write_text(
        path, json.dumps({**known, name: run_id}, indent=1) + '\n')
