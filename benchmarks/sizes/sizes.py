"""What the small presets and the sizes over them take; see docs/sizes.md.

  bin/python benchmarks/sizes/sizes.py     # writes sizes.csv, prints the table

Each row is a `bin/bench update` of its own: parameters, the most memory that
the process had, and seconds an update on made-up data.
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

_HERE = pathlib.Path(__file__).resolve().parent
_BENCH = _HERE.parents[1] / 'bin' / 'bench'
_SEEN = {  # preset and task, by what the agent observes
    'vectors (CartPole)': ('gym_small', 'gymnasium_CartPole-v1'),
    '64x64x1 pixels (Catch)': ('gym_pixels_small', 'catch'),
}
_OVERLAYS = (None, 'size_s', 'size_m', 'size_l')
_FIELDS = ('observed', 'preset', 'overlay', 'parameters', 'peak_rss_mb',
           'seconds_per_update')


def measure(observed, overlay):
  """A row of the table: dict by `_FIELDS`."""
  preset, task = _SEEN[observed]
  files = [f'--gin_file={name}.gin' for name in (preset, overlay) if name]
  with tempfile.NamedTemporaryFile(suffix='.json') as file:
    subprocess.run(
        [str(_BENCH), 'update', *files, f'--task={task}', '--repeat=5',
         f'--json={file.name}'], check=True, stdout=sys.stderr)
    found = json.load(file)
  return {
      'observed': observed, 'preset': preset, 'overlay': overlay or '',
      'parameters': sum(found['parameters'].values()),
      'peak_rss_mb': round(found['peak_rss_mb']),
      'seconds_per_update': round(found['seconds_per_update'], 4),
  }


def read():
  """The rows of sizes.csv: list of dicts of str."""
  with (_HERE / 'sizes.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def table(rows):
  """The rows as Markdown: str."""
  lines = [
      '| observed | files | parameters | memory | seconds an update, two cores '
      '| GPU |', '|---|---|---|---|---|---|']
  for row in rows:
    files = ' + '.join(
        f'`{name}`' for name in (row['preset'], row['overlay']) if name)
    lines.append(
        f'| {row["observed"]} | {files} | {int(row["parameters"]):,} | '
        f'{float(row["peak_rss_mb"]) / 1000:.2f} GB | '
        f'{float(row["seconds_per_update"]):.3f} | not measured |')
  return '\n'.join(lines)


def main():
  """Measures every row, writes them and prints the table."""
  rows = [measure(observed, overlay)
          for observed in _SEEN for overlay in _OVERLAYS]
  with (_HERE / 'sizes.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, _FIELDS)
    writer.writeheader()
    writer.writerows(rows)
  print(table(read()))


if __name__ == '__main__':
  main()
