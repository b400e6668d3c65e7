"""`benchmarks/gpu/run` by hand: it cannot be broken when a GPU is there."""

import json
import pathlib
import subprocess
import sys

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

_ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(_ROOT / 'benchmarks' / name) for name in ('gpu', 'speed')]
import kernels  # noqa: E402 - needs the path
import run as gpu_run  # noqa: E402


@pytest.mark.slow
def test_the_small_parts_write_both_files(tmp_path):
  done = subprocess.run(
      [_ROOT / 'benchmarks' / 'gpu' / 'run', '--small', f'--folder={tmp_path}'],
      capture_output=True, text=True, timeout=600)
  assert done.returncode == 0, done.stdout + done.stderr
  results = json.loads((tmp_path / 'gpu.json').read_text())
  assert [x['stage'] for x in results.values()] == [
      'update', 'policy', 'train', 'train']
  table = (tmp_path / 'gpu.md').read_text()
  assert '| update debug precision=32 |' in table
  assert 'ms at 8' in table and 'of the longer half' in table
  assert 'failed' not in table


def test_a_part_that_fails_says_why_and_costs_itself_alone(
    monkeypatch, tmp_path):
  monkeypatch.setattr(gpu_run, '_BENCH', tmp_path / 'none.py')
  part = gpu_run.Part('update', 'debug')
  assert 'none.py' in gpu_run.measure(part, tmp_path / 'x.json')['failed']
  (tmp_path / 'none.py').write_text('import time; time.sleep(60)')
  found = gpu_run.measure(part._replace(seconds=0.5), tmp_path / 'x.json')
  assert found == {'failed': 'took more than 0 s'}
  assert '**failed**: took more' in gpu_run.table({'update debug': found})


def test_kernels_are_those_of_the_streams_of_a_gpu():
  space = xplane_pb2.XSpace()
  for name, line in (('/device:GPU:0', 'Stream #7(Compute)'),
                     ('/device:GPU:0', 'XLA Ops'), ('/host:CPU', 'Stream #1')):
    added = space.planes.add(name=name).lines.add(name=line)
    for _ in range(6):
      added.events.add(duration_ps=2 * 10**9)
  found = kernels.totals(space.SerializeToString(), 3)
  assert found == {
      'kernels_per_update': 2.0,
      'device_seconds_per_update': pytest.approx(0.004)}
