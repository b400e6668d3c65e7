"""`bin/report`: writes what runs are, and how they do, as one HTML page."""

from collections.abc import Sequence
import os
import pathlib

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa.reports import overview
from dreamerv2_tfa.reports import page

NAME = 'report.html'


def write(
    places: Sequence[str | os.PathLike], out: str | os.PathLike | None = None,
) -> pathlib.Path:
  """Writes the page of runs, and nothing else.

  Args:
    places: Folders of runs, which may be training.
    out: File to write; None: `report.html` in the folder of the one run.

  Returns:
    Path that was written.

  Raises:
    UserError: If there is no run, or no place for the page of several.
    ValueError: If a file of a run is damaged.
  """
  if not places:
    raise checks.UserError(
        'Got no folder of a run; wanted one or more. Give bin/report RUN.')
  if out is None and len(places) > 1:
    raise checks.UserError(
        f'Got {len(places)} runs and no --out; wanted the file to write. Give '
        f'--out={NAME}.')
  folder = checks.folder('RUN', places[0])
  path = folder / NAME if out is None else checks.folder('--out', out)
  path = path.expanduser()
  if path.is_dir() or not path.parent.is_dir():
    raise checks.UserError(
        f'The page cannot be written to {path}: '
        + ('it is a folder. ' if path.is_dir() else
           f'there is no folder {path.parent}. ')
        + f'Give --out=FILE, such as --out={NAME}.')
  text = page.render(_named([overview.gather(place) for place in places],
                            places))
  # Where others may have put a link, nothing is written through it.
  partial = path.with_name(f'{path.name}.part')
  partial.unlink(missing_ok=True)
  with partial.open('x', encoding='utf-8') as file:
    file.write(text)
  durable.replace(partial, path)
  return path


def _named(runs, places):
  """The runs, by their paths where folders of two have one name."""
  names = [run.name for run in runs]
  return [
      run if names.count(run.name) == 1 else run._replace(name=str(place))
      for run, place in zip(runs, places, strict=True)]
