"""A run of the commands that launch/ has for Compose and Kubernetes."""

import json
import os
import signal
import subprocess
import sys

import disturbed
import launched
import pytest

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import runs

pytest.importorskip('reverb')

STEPS = 100
_COLLECTORS = 'collector', 'collector 3'
_SMALL = (*disturbed.SETTINGS, f'--steps={STEPS}',
          '--gin_bindings=train.eval_steps = 20',
          '--gin_bindings=train.eval_every = 100')


@pytest.fixture
def start(tmp_path):
  """Starts a command as the image would; ends what is left of it."""
  port, started = address_lib.free_port(), []
  (tmp_path / 'nowhere').mkdir()

  def run(name, arguments):
    here = [x.replace('=/runs/', f'={tmp_path}/runs/').replace(
        '=replay:8008', f'=127.0.0.1:{port}') for x in arguments]
    assert here != arguments and '$' not in ' '.join(here)
    process = subprocess.Popen(
        [sys.executable, '-P', '-m', 'dreamerv2_tfa.commands.train', *here,
         *_SMALL],
        stdout=(tmp_path / name).open('w'), stderr=subprocess.STDOUT,
        cwd=tmp_path / 'nowhere', preexec_fn=disturbed.heed_hangup,
        env={**os.environ, 'PYTHONPATH': str(disturbed.ROOT)})
    started.append(process)
    return process

  yield run
  for process in started:
    process.kill()
    process.wait()


def test_the_entry_point_of_the_image_is_the_program_that_is_started():
  *_, last = (disturbed.ROOT / 'Dockerfile').read_text().splitlines()
  (program,) = json.loads(last.removeprefix('ENTRYPOINT '))
  script = disturbed.ROOT / program.removeprefix('/opt/dreamerv2_tfa/')
  assert '-m dreamerv2_tfa.commands.train "$@"' in script.read_text()


@pytest.mark.slow
def test_the_commands_of_both_files_are_a_run_to_its_end(start, tmp_path):
  compose, kubernetes = (
      launched.compose_arguments, launched.kubernetes_arguments)
  replay = start('replay', kubernetes('replay'))
  others = {
      'learner': start('learner', kubernetes('learner')),
      'evaluator': start('evaluator', compose('evaluator')),
      'collector': start('collector', compose('collector')),
      'collector 3': start('collector 3', kubernetes('collector', 3))}
  said = lambda name: (tmp_path / name).read_text()
  for name, process in others.items():
    # Collectors end soon after the learner.
    assert process.wait(60 if name in _COLLECTORS else 300) == 0, said(name)
  for name in _COLLECTORS:
    assert 'The run has ended.' in said(name)
  assert replay.poll() is None, said('replay')
  replay.terminate()
  assert replay.wait(60) == 128 + signal.SIGTERM, said('replay')
  folder = runs.RunFolder(tmp_path / 'runs' / 'pong')
  assert folder.saved_steps() == STEPS
  played = metrics_lib.read(folder.evaluations / 'metrics.jsonl')
  assert played[-1]['step'] == 4 * STEPS
  assert list((tmp_path / 'nowhere').iterdir()) == []
