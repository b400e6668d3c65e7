"""`bin/report`: writes what runs are, and how they do, as one HTML page."""

from collections.abc import Sequence
import os
import pathlib
import time

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa.reports import overview
from dreamerv2_tfa.reports import page
from dreamerv2_tfa.training import callbacks
from dreamerv2_tfa.training import runs

NAME = 'report.html'
# A page takes 0.05 s, and 0.09 s a megabyte of metrics, of one core. Pages
# this far apart are 1 % of a run, however often it evaluates.
_APART = 10.0  # seconds, and as many more a megabyte of metrics


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
        + f'Give bin/report another file, such as --out=~/{NAME}.')
  text = page.render(_named([overview.gather(place) for place in places],
                            places))
  # Where others may have put a link, nothing is written through it.
  partial = path.with_name(f'{path.name}.part')
  partial.unlink(missing_ok=True)
  with partial.open('x', encoding='utf-8') as file:
    file.write(text)
  durable.replace(partial, path)
  return path


def write_after(event: callbacks.Event) -> None:
  """Writes the page of a run while it trains; a callback of `train.train`.

  At an evaluation, unless the last page is so young that pages would take more
  than 1 % of the run's time, and at the end. Where the page cannot be written,
  that is printed and the run continues.

  Args:
    event: What the run has done.
  """
  if event.kind == 'save' or (
      event.kind == 'evaluation' and _is_young(event.root_dir)):
    return
  try:
    write([event.root_dir])
  except (OSError, ValueError) as error:
    print(f'Note: {NAME} was not written: {error}')


def _is_young(root):
  """Whether a page was written so lately that another one can wait."""
  try:
    age = time.time() - (root / NAME).stat().st_mtime
    size = runs.RunFolder(root).metrics.stat().st_size
  except OSError:
    return False
  return 0.0 <= age < _APART * (1.0 + size / 1e6)


def _named(found, places):
  """The runs, by their paths where folders of two have one name."""
  names = [run.name for run in found]
  return [
      run if names.count(run.name) == 1 else run._replace(name=str(place))
      for run, place in zip(found, places, strict=True)]
