"""`metrics.csv`: a table of one number a line, `step,kind,name,value`.

    step,kind,name,value
    80,train,model_loss,3.5
    100,eval,eval_return,-1.25

It is long and not wide, since which metrics there are is not known before: an
episode ends, an explorer begins to learn. `kind` is 'train' for a report and
'eval' for an evaluation. In pandas, `pivot_table(values='value', index='step',
columns='name')` makes it wide.
"""

import csv
import os

import numpy as np

from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training.loggers import logger

EXTRA = None
_HEADER = 'step,kind,name,value'


class Table:
  """Appends to the table; see `logger.Logger`."""

  def __init__(self, start: logger.Start):
    """Opens the table, without what the run that is resumed does not know of.

    Such lines of a session that was killed are removed, as they are from
    TensorBoard's events; `metrics.jsonl` keeps them, with a mark.

    Args:
      start: Of the session.

    Raises:
      ValueError: If a line is damaged, other than the last one cut short.
    """
    path = start.folder.table
    before = _data(path)
    kept = '\n'.join([_HEADER, *_kept(path, before, start)]) + '\n'
    if kept.encode() != before:
      durable.write_text(path, kept)
    self._file = path.open('a', encoding='utf-8', newline='')
    self._table = csv.writer(self._file, lineterminator='\n')

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes a line for each number, such as 'nan' and 'inf' too."""
    kind = metrics_lib.kind(metrics)
    self._table.writerows(
        (step, kind, _one_line(name), repr(float(value)))
        for name, value in metrics.items())
    self._file.flush()

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Does nothing."""

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Does nothing."""

  def text(self, name: str, markdown: str) -> None:
    """Does nothing."""

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Does nothing."""

  def sync(self) -> None:
    """Flushes the file to the disk."""
    os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


def _data(path):
  """The bytes of the file; none where there is no file."""
  try:
    return reading.data(path, reading.LINES) if path.exists() else b''
  except ValueError as error:
    raise ValueError(
        f'{path} cannot be read: {error}. Move it away: training writes a new '
        'one.'
    ) from error


def _one_line(name):
  """A name without line ends, so that a line of the file is a row."""
  return ' '.join(name.splitlines())


def _kept(path, data, start):
  """Lines of the file that a session which starts there keeps."""
  last = {'train': start.reported, 'eval': start.evaluated}
  text = data.decode('utf-8', errors='replace')
  lines = text.split('\n')
  lines.pop()  # what a killed process has left of a line, or nothing
  kept = []
  for number, line in enumerate(lines, 1):
    if number == 1 and line == _HEADER:
      continue
    try:
      (step, kind, _, value), = csv.reader([line])
      float(value)
      if int(step) <= last[kind]:
        kept.append(line)
    except (ValueError, KeyError, csv.Error) as error:
      raise ValueError(
          f'Line {number} of {path} is not {_HEADER} with kind train or eval. '
          'Repair or remove this line, or move the file away.'
      ) from error
  return kept


OPEN = Table
