"""`bin/bench` by hand: every stage reports what its users rely on."""

import json
import pathlib
import subprocess

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TINY = (
    '--gin_file=gin/quickstart.gin', '--gin_file=gin/debug.gin',
    '--gin_bindings=train.eager = False', '--precision=32', '--repeat=1',
)
_NUMBERS = {
    'update': ('seconds_per_update', 'gflop_per_update', 'matrix_peak_gflops',
               'fraction_of_peak', 'first_update_seconds'),
    'policy': ('seconds_per_step_batch_1', 'seconds_per_step_batch_8'),
    'collect': ('steps_per_second', 'bare_steps_per_second',
                'fraction_of_bare'),
    'replay': ('seconds_per_batch', 'bytes_per_step', 'fraction_of_update'),
    'train': ('seconds_per_loop', 'seconds_of_update_and_environment',
              'beside_over_longer_half', 'frames_per_second_beside'),
}


def bench(*arguments):
  return subprocess.run(
      [str(_ROOT / 'bin' / 'bench'), *arguments], cwd=_ROOT, text=True,
      capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize('stage', _NUMBERS)
def test_a_stage_writes_its_numbers_and_what_they_belong_to(stage, tmp_path):
  path = tmp_path / 'result.json'
  done = bench(stage, *_TINY, f'--json={path}')
  assert done.returncode == 0, done.stderr
  result = json.loads(path.read_text())
  for name in (*_NUMBERS[stage], 'peak_rss_mb'):
    assert result[name] > 0, name
    assert f'{name}: ' in done.stdout
  assert result['presets'] == ['quickstart', 'debug']
  assert result['precision'] == 'float32'
  assert {'date', 'device', 'tensorflow', 'task'} <= set(result)


@pytest.mark.slow
def test_a_wrong_stage_is_answered_with_those_there_are():
  done = bench('updates')
  assert done.returncode == 1
  assert 'wanted one of update, policy, collect' in done.stderr
  assert 'Traceback' not in done.stderr
