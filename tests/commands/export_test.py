"""Tests of `bin/export` and `bin/serve`: a run goes out, or is refused."""

import json
import shutil

from absl import flags
from absl.testing import flagsaver
import gin
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import export as export_command
from dreamerv2_tfa.commands import serve as serve_command
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import train

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """The folder of a run of a few steps, with one evaluation."""
  folder = tmp_path_factory.mktemp('run') / 'run'
  gin.clear_config()
  config.register()
  gin.add_config_file_search_path(str(presets.folder()))
  gin.parse_config_files_and_bindings(
      ['quickstart.gin', 'debug.gin'],
      ['train.steps = 30', 'train.prefill = 24', 'train.steps_per_update = 6',
       'Catch.balls = 1'],
  )
  train.train(str(folder), presets=['quickstart', 'debug'])
  gin.clear_config()
  return folder


@pytest.fixture(scope='module')
def out(run, tmp_path_factory):
  """The export of that run."""
  folder = tmp_path_factory.mktemp('export') / 'models' / 'catch'
  export.export(run, folder)
  return folder


@pytest.fixture
def command(capsys):
  """Returns a function that runs a command: exit code, output and errors."""
  def call(module, *arguments):
    with flagsaver.flagsaver():
      flags.FLAGS(['program', *arguments])
      try:
        configuration.guarded(module.run)([])
        code = 0
      except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err

  return call


def test_policy_json_tells_of_the_run(out):
  facts = json.loads((out / 'policy.json').read_text())
  wanted = {'task': 'catch', 'presets': ['quickstart', 'debug'],
            'precision': 'float32', 'updates': 3, 'frames': 30}
  assert {key: facts[key] for key in wanted} == wanted
  assert facts['evaluation']['frames'] == 30
  assert facts['evaluation']['length'] == 9.0
  assert abs(facts['evaluation']['return']) == 1.0
  assert not [p for p in out.parent.iterdir() if p != out]


@pytest.mark.slow
def test_an_export_is_verified_later(run, out, command):
  code, said, _ = command(
      export_command, f'--root_dir={run}', f'--out={out}', '--verify'
  )
  assert code == 0 and 'acts as the agent does, in every bit' in said


def test_a_run_that_has_trained_on_is_told_apart(run, out, tmp_path, command):
  shutil.copytree(out, tmp_path / 'out')
  file = tmp_path / 'out' / 'policy.json'
  facts = json.loads(file.read_text())
  del facts['sum']
  file.write_text(json.dumps({**facts, 'updates': 2}))
  code, _, errors = command(
      export_command, f'--root_dir={run}', f'--out={tmp_path / "out"}',
      '--verify',
  )
  assert code == 1 and 'updates 2, and the one in' in errors


def test_a_changed_file_is_told_before_anything_is_built(
    run, out, tmp_path, command):
  shutil.copytree(out, tmp_path / 'out')
  (tmp_path / 'out' / 'variables' / 'variables.index').write_bytes(b'x')
  code, _, errors = command(
      export_command, '--root_dir=nowhere', f'--out={tmp_path / "out"}',
      '--verify',
  )
  assert code == 1 and 'variables/variables.index' in errors


def test_an_export_that_fails_its_check_is_not_there(
    run, tmp_path, monkeypatch, command):
  def fail(*_):
    raise checks.UserError('It does not act as the agent does.')

  monkeypatch.setattr(export, 'compare', fail)
  code, _, errors = command(
      export_command, f'--root_dir={run}', f'--out={tmp_path / "out"}'
  )
  assert (code, errors) == (1, 'Error: It does not act as the agent does.\n')
  assert not list(tmp_path.iterdir())


def test_a_run_without_a_checkpoint_is_refused(run, tmp_path, command):
  for name in ('operative_config.gin', 'protocol.json'):
    shutil.copy(run / name, tmp_path / name)
  code, _, errors = command(
      export_command, f'--root_dir={tmp_path}', f'--out={tmp_path / "out"}'
  )
  assert code == 1 and 'has no checkpoint yet' in errors


def test_a_folder_without_a_run_is_refused(tmp_path, command):
  code, _, errors = command(
      export_command, f'--root_dir={tmp_path}', f'--out={tmp_path / "out"}'
  )
  assert code == 1 and 'There is no run in' in errors
  assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty_is_left_alone(run, tmp_path, command):
  (tmp_path / 'mine').write_text('x')
  code, _, errors = command(
      export_command, f'--root_dir={run}', f'--out={tmp_path}'
  )
  assert code == 1 and 'exists and is not an empty folder' in errors
  assert [path.name for path in tmp_path.iterdir()] == ['mine']


@pytest.mark.parametrize('module, arguments, message', [
    (export_command, ['--root_dir=run'], 'bin/export --root_dir=RUN'),
    (export_command, ['--out=out'], 'bin/export --root_dir=RUN'),
    (export_command, ['--root_dir=r', '--out=o', '--format=h5'],
     "'saved_model', 'onnx', 'tflite'; got 'h5'"),
    (serve_command, [], 'bin/serve --policy=DIR'),
    (serve_command, ['--policy=nowhere'], 'nowhere is no exported policy'),
])
def test_what_is_missing_is_said_in_one_line(
    module, arguments, message, command):
  code, _, errors = command(module, *arguments)
  line, = errors.splitlines()
  assert code == 1 and message in line
