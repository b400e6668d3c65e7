"""Cost against size: updates a second by batch, length and horizon.

  bin/python benchmarks/speed/sizes.py     # writes sizes.csv and sizes.png

The model is the quickstart's; each size is a `bin/bench update` of its own.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

_HERE = pathlib.Path(__file__).resolve().parent
_BENCH = _HERE.parents[1] / 'bin' / 'bench'
_SIZES = {
    'train.batch_size': (8, 16, 32, 64),
    'train.sequence_length': (25, 50, 100),
    'ActorCritic.horizon': (5, 10, 15, 30),
}
_USUAL = {'train.batch_size': 16, 'train.sequence_length': 50,
          'ActorCritic.horizon': 15}


def _seconds(sizes):
  with tempfile.NamedTemporaryFile(suffix='.json') as file:
    subprocess.run(
        [str(_BENCH), 'update', f'--json={file.name}', '--repeat=7',
         *(f'--gin_bindings={name} = {value}'
           for name, value in sizes.items())],
        check=True, stdout=sys.stderr)
    return json.load(file)['seconds_per_update']


def measure():
  """Measures every size: list of (name, value, seconds an update)."""
  return [
      (name, value, _seconds({**_USUAL, name: value}))
      for name, values in _SIZES.items() for value in values]


def plot(rows):
  """Draws them, with the line through the first point and zero."""
  figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout='constrained')
  for axis, name in zip(axes, _SIZES, strict=True):
    x, y = zip(*((value, seconds) for key, value, seconds in rows
                 if key == name), strict=True)
    axis.plot(x, y, marker='.')
    axis.plot([0, x[-1]], [0, y[0] / x[0] * x[-1]], ':', color='grey')
    axis.set(xlabel=name, ylim=(0, None), xlim=(0, None))
  axes[0].set(ylabel='seconds an update')
  figure.savefig(_HERE / 'sizes.png', dpi=80)


def main():
  """Measures, writes, draws."""
  rows = measure()
  with (_HERE / 'sizes.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['size', 'value', 'seconds_per_update'])
    writer.writerows(rows)
  plot(rows)


if __name__ == '__main__':
  main()
