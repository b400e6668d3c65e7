"""A GPU that is there and not used is said, with why and the way out."""

from importlib import metadata
import pathlib

import pytest
import tensorflow as tf

from dreamerv2_tfa import devices

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_DRIVER = (
    'NVRM version: NVIDIA UNIX {}  {}  Sat Aug 19 01:15:15 UTC 2023\n'
    'GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n')


@pytest.fixture
def machine(monkeypatch, tmp_path):
  """Returns a function that pretends a driver, libraries and TensorFlow."""
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)

  def pretend(
      driver='535.104.05', kernel='x86_64 Kernel Module', gpus=0, cuda='12.2',
      libraries=True):
    path = tmp_path / 'version'
    if driver is not None:
      path.write_text(_DRIVER.format(kernel, driver))
    monkeypatch.setattr(devices, '_DRIVER', path)
    monkeypatch.setattr(
        tf.config, 'list_physical_devices', lambda kind: ['gpu'] * gpus)
    monkeypatch.setattr(
        tf.sysconfig, 'get_build_info', lambda: {'cuda_version': cuda})

    def version(name):
      if not libraries:
        raise metadata.PackageNotFoundError(name)
      return '8.9.4.25'

    monkeypatch.setattr(metadata, 'version', version)

  return pretend


@pytest.mark.parametrize('kernel', [
    'x86_64 Kernel Module', 'Open Kernel Module for x86_64'])
@pytest.mark.parametrize('there, said', [
    ({'driver': '470.256.02'}, 'driver is 470, and CUDA 12.2 needs 525'),
    ({'driver': '580.65.06', 'libraries': False}, "'dreamerv2_tfa[gpu]'"),
    ({'driver': '580.65.06'}, 'TF_CPP_MIN_LOG_LEVEL=0'),
    ({'driver': 'of no number'}, 'TF_CPP_MIN_LOG_LEVEL=0'),
    ({'cuda': None}, 'without CUDA'),
])
def test_what_is_missing_is_named(machine, kernel, there, said):
  machine(kernel=kernel, **there)
  found = devices.unused_gpu()
  assert said in found
  assert tf.__version__ in found and found.endswith('.')


def test_nothing_is_said_where_a_gpu_is_used_or_none_is_there(machine):
  machine(gpus=1)
  assert devices.unused_gpu() is None
  machine(driver=None)
  (devices._DRIVER).unlink()
  assert devices.unused_gpu() is None


@pytest.mark.parametrize('hidden', ['', '-1'])
def test_a_hidden_gpu_is_not_missed(machine, monkeypatch, hidden):
  machine()
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', hidden)
  assert devices.unused_gpu() is None


def test_the_documented_gpu_stack_is_this_tensorflow():
  text = (_ROOT / 'docs' / 'performance.md').read_text(encoding='utf-8')
  row, = (line for line in text.splitlines()
          if line.startswith('|') and f'| {tf.__version__}, built' in line)
  build = tf.sysconfig.get_build_info()
  whole, code = [], []
  for name in build['cuda_compute_capabilities']:
    kind, digits = name.split('_')
    (whole if kind == 'sm' else code).append(f'{digits[:-1]}.{digits[-1]}')
  cuda = '.'.join(build['cuda_version'].split('.')[:2])
  assert f'built with CUDA {cuda} |' in row
  assert f'| {", ".join(whole)} | from {code[0]} on |' in row
