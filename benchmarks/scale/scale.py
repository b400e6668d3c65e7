"""How a run in several processes scales: measures, and writes scale.csv.

    bin/python benchmarks/scale/scale.py            # at most eight minutes
    bin/python benchmarks/scale/scale.py --quick    # one minute, writes nothing

Each part is a process of its own; README.md says what they measure.
"""

import csv
import os
import sys
import time

from absl import app
from absl import flags
import figures
import processes

_QUICK = flags.DEFINE_bool('quick', False, 'Measures the least, and prints it.')
_ALL = (  # program and its arguments; the preset is that of the row
    ('catch', 'costs.py', '{preset}', '1'),
    ('atari', 'costs.py', '{preset}', '1'),
    ('catch', 'points.py', 'rows', '{preset}', '1,4', '4'),
    ('catch', 'points.py', 'stub', '{preset}', '1,2,4,8', '4'),
    ('atari', 'points.py', 'stub', '{preset}', '1,2', '4'),
    ('catch', 'points.py', 'collector', '{preset}', '1,2,4,8', '6'),
    ('catch', 'whole.py', '{preset}', '1,4', '12'))
_LEAST = (
    ('catch', 'costs.py', '{preset}', '0.1'),
    ('catch', 'points.py', 'stub', '{preset}', '1', '1'),
    ('catch', 'points.py', 'collector', '{preset}', '1', '1'))


def measure(parts):
  """Yields rows of `figures.FIELDS`, one part after the other."""
  for preset, program, *arguments in parts:
    start, load = time.monotonic(), os.getloadavg()[0]
    arguments = [each.format(preset=preset) for each in arguments]
    with processes.Child(program, *arguments) as child:
      found = child.wait()
    print(f'{program} {" ".join(arguments)}: {time.monotonic() - start:.0f} s',
          file=sys.stderr, flush=True)
    for line in found:
      yield {'preset': preset, 'collectors': '', **line,
             'value': f'{line["value"]:.6g}', 'load': f'{load:.1f}'}


def main(unused_argv):
  """Measures, prints, and writes unless it is quick."""
  rows = list(measure(_LEAST if _QUICK.value else _ALL))
  for row in rows:
    print(*(row[name] for name in figures.FIELDS))
  if not _QUICK.value:
    with figures.PATH.open('w', newline='') as file:
      writer = csv.DictWriter(file, figures.FIELDS, lineterminator='\n')
      writer.writeheader()
      writer.writerows(rows)


if __name__ == '__main__':
  app.run(main)
