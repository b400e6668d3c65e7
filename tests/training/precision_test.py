"""Tests of precision: names, what is automatic, what is refused."""

import pathlib

import pytest
import tensorflow as tf

from dreamerv2_tfa.training import precision


@pytest.fixture(autouse=True)
def _clean():
  yield
  tf.keras.mixed_precision.set_global_policy('float32')


@pytest.fixture
def machine(monkeypatch):
  """Returns a function that pretends a machine: its CPU's flags, its GPUs."""
  read = pathlib.Path.read_text
  exists = pathlib.Path.exists

  def pretend(flags, gpus=0):
    is_cpu = lambda path: str(path) == '/proc/cpuinfo'
    monkeypatch.setattr(
        pathlib.Path, 'exists',
        lambda path: flags is not None if is_cpu(path) else exists(path),
    )
    monkeypatch.setattr(
        pathlib.Path, 'read_text',
        lambda path, *args, **kwargs: (
            f'processor\t: 0\nflags\t\t: fpu {flags} avx2\n'
            if is_cpu(path) else read(path, *args, **kwargs)
        ),
    )
    monkeypatch.setattr(
        tf.config, 'list_physical_devices', lambda kind: ['gpu'] * gpus
    )

  return pretend


@pytest.mark.parametrize('name, policy', [
    ('16', 'mixed_float16'), ('bf16', 'mixed_bfloat16'), ('32', 'float32'),
    (16, 'mixed_float16'), (32, 'float32'),
])
def test_a_name_is_that_of_a_keras_policy(name, policy):
  assert precision.set_policy(name) == policy
  assert tf.keras.mixed_precision.global_policy().name == policy


@pytest.mark.parametrize('flags, policy', [
    ('avx512_bf16', 'mixed_bfloat16'), ('amx_bf16', 'mixed_bfloat16'),
    ('avx512f', 'float32'), (None, 'float32'),
])
def test_auto_on_a_cpu_is_bfloat16_where_it_has_instructions_for_it(
    machine, flags, policy):
  machine(flags)
  assert precision.set_policy('auto') == policy


def test_auto_on_a_gpu_is_float16(machine):
  machine('avx512_bf16', gpus=1)
  assert precision.set_policy('auto') == 'mixed_float16'


@pytest.mark.parametrize('name', ['8', 8, '', None, 'float32'])
def test_other_names_are_refused_with_the_ones_there_are(name):
  message = "'auto', '16', 'bf16', '32'; got"
  with pytest.raises(ValueError, match=message):
    precision.set_policy(name)


def test_a_refusal_leaves_the_policy():
  precision.set_policy('bf16')
  with pytest.raises(ValueError):
    precision.set_policy('8')
  assert tf.keras.mixed_precision.global_policy().name == 'mixed_bfloat16'
