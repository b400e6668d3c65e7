"""Measures the project on a GPU, the most important figures first.

    benchmarks/gpu/run --folder=results            8 minutes
    PYTHONPATH=$PWD python benchmarks/gpu/run.py   with a Python of one's own

Each part is a process with a limit of its own: one that fails or takes too long
costs its own figures alone. After each, `gpu.json` and `gpu.md` are written. On
a processor the same parts run with their small sizes (`--small`).
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from absl import app
from absl import flags

_FOLDER = flags.DEFINE_string(
    'folder', '.', 'Where gpu.json and gpu.md are written.')
_SMALL = flags.DEFINE_bool(
    'small', False, 'Small sizes and few parts: whether all of it works.')
_MINUTES = flags.DEFINE_float(
    'minutes', 8.0, 'No part begins later than this.')

_BENCH = pathlib.Path(__file__).resolve().parents[1] / 'speed' / 'bench.py'
_SHOWN = {  # what the table has of each stage, and its factor and unit
    'update': [
        ('seconds_per_update', 1e3, 'ms'), ('kernels_per_update', 1, 'kernels'),
        ('device_seconds_per_update', 1e3, 'ms on the device'),
        ('fraction_of_peak', 100, '% of the product'),
        ('first_update_seconds', 1, 's the first'),
        ('peak_gpu_mb', 1, 'MB')],
    'policy': [
        (f'seconds_per_step_batch_{size}', 1e3, f'ms at {size}')
        for size in (1, 8, 16, 64)],
    'train': [
        ('seconds_apart', 1e3, 'ms apart'), ('seconds_beside', 1e3, 'beside'),
        ('frames_per_second_beside', 1, 'frames/s'),
        ('beside_over_longer_half', 1, 'of the longer half')],
    'peers': [('seconds', 1, 's'), ('ratio_updates', 1, 'times as fast')],
}


class Part(NamedTuple):
  """A stage of `bin/bench`, and how long it may take."""

  stage: str
  preset: str
  flags: tuple[str, ...] = ()
  seconds: float = 120.0

  @property
  def name(self):
    """As the table calls it: str."""
    said = [x.removeprefix('--gin_bindings=').lstrip('-') for x in self.flags]
    return ' '.join([self.stage, self.preset, *said])


def parts():
  """What is measured, in order: list of `Part`."""
  environments = lambda count: f'--gin_bindings=train.environments = {count}'
  batches = tuple(f'--batch={size}' for size in (1, 8, 16, 64))
  if _SMALL.value:
    return [
        Part('update', 'debug', ('--precision=32',)),
        Part('policy', 'debug', batches[:2]),
        Part('train', 'debug', (environments(1),)),
        Part('train', 'debug', (environments(2),)),
    ]
  return [
      Part('update', 'atari', ('--precision=16',)),
      Part('policy', 'atari', ('--precision=16', *batches), 60),
      *(Part('train', 'atari', ('--precision=16', environments(count)))
        for count in (16, 1, 4)),
      *(Part('update', 'atari', (f'--precision={bits}',))
        for bits in ('bf16', '32')),
      *(Part('update', preset, ('--precision=16',), 90)
        for preset in ('dmc_vision', 'dmc_proprio', 'crafter', 'atari_paper')),
      Part('peers', 'atari', ('--precision=16', '--peer=published'), 240),
  ]


def command(part, path):
  """The command line of a part: list of str."""
  files = ('quickstart', 'debug') if part.preset == 'debug' else (part.preset,)
  small = ['--gin_bindings=train.eager = False', '--repeat=1']
  return [
      sys.executable, str(_BENCH), part.stage,
      *(f'--gin_file={name}' for name in files),
      *(small if part.preset == 'debug' else []),
      '--gin_bindings=train.replay_capacity = 100000',
      *part.flags, f'--json={path}']


def measure(part, path):
  """Runs a part: dict of its numbers, or of `failed`, why."""
  begun = time.monotonic()
  try:
    done = subprocess.run(
        command(part, path), capture_output=True, text=True,
        timeout=part.seconds)
  except subprocess.TimeoutExpired:
    return {'failed': f'took more than {part.seconds:.0f} s'}
  took = {'wall_seconds': round(time.monotonic() - begun, 1)}
  if done.returncode:
    said = done.stderr.strip().splitlines() or ['no word']
    return {'failed': said[-1][:300], **took}
  return {**json.loads(path.read_text(encoding='utf-8')), **took}


def table(results):
  """The results as Markdown: str.

  Args:
    results: Dict from the name of each part to its numbers.
  """
  first = next((x for x in results.values() if 'device' in x), {})
  lines = [
      ', '.join(str(first.get(key, '?')) for key in (
          'device', 'driver', 'tensorflow', 'python', 'date')),
      '', '| part | found |', '|---|---|',
  ]
  for name, numbers in results.items():
    if failed := numbers.get('failed'):
      found = f'**failed**: {failed}'
    else:
      found = ', '.join(
          f'{_readable(numbers[key], factor)} {unit}'
          for key, factor, unit in _SHOWN[numbers['stage']] if key in numbers)
    lines.append(f'| {name} | {found} |')
  return '\n'.join(lines) + '\n'


def _readable(value, factor):
  if isinstance(value, dict):
    return ', '.join(f'{k} {_readable(v, factor)}' for k, v in value.items())
  return f'{factor * value:.4g}'


def run(argv):
  """Measures part after part, and writes what there is after each."""
  del argv
  folder = pathlib.Path(_FOLDER.value)
  folder.mkdir(parents=True, exist_ok=True)
  results, begun = {}, time.monotonic()
  for part in parts():
    if time.monotonic() - begun > 60 * _MINUTES.value:
      results[part.name] = {'failed': f'not begun in {_MINUTES.value:g} min'}
    else:
      with tempfile.TemporaryDirectory() as room:
        results[part.name] = measure(part, pathlib.Path(room) / 'part.json')
    (folder / 'gpu.json').write_text(
        json.dumps(results, indent=2) + '\n', encoding='utf-8')
    (folder / 'gpu.md').write_text(table(results), encoding='utf-8')
    print(table({part.name: results[part.name]}).splitlines()[-1], flush=True)
  return 1 if any('failed' in x for x in results.values()) else 0


if __name__ == '__main__':
  app.run(run)
