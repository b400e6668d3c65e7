"""Tests of what is said of the presets, and which one is chosen."""

import inspect
import re
import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import array_spec

from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import settings

_VECTOR = array_spec.ArraySpec((4,), np.float32)
_PICTURE = array_spec.BoundedArraySpec((64, 64, 3), np.uint8, 0, 255)


@pytest.mark.parametrize('spec, wanted', [
    (_VECTOR, ('gym_small', 'the environment shows vectors alone')),
    ({'a': _VECTOR, 'b': array_spec.ArraySpec((), np.float32)},
     ('gym_small', 'the environment shows vectors alone')),
    ({'ram': array_spec.ArraySpec((128,), np.uint8)},
     ('gym_small', 'the environment shows vectors alone')),
    (_PICTURE, (
        'gym_pixels_small', 'the environment shows pictures (64x64x3)')),
    (tf.TensorSpec((64, 64, 1), tf.uint8),
     ('gym_pixels_small', 'the environment shows pictures (64x64x1)')),
    ({'a': _VECTOR, 'image': _PICTURE}, (
        'gym_pixels_small',
        'the environment shows pictures (64x64x3) beside vectors')),
    ((_PICTURE, [_VECTOR, tf.TensorSpec((64, 64, 1), tf.uint8)]), (
        'gym_pixels_small',
        'the environment shows pictures (64x64x3 and 64x64x1) beside vectors')),
], ids=['vector', 'vectors', 'bytes', 'picture', 'tensor', 'both', 'nested'])
def test_the_preset_is_chosen_by_what_is_observed(spec, wanted):
  assert presets.of_specs(spec) == wanted


def test_each_preset_says_in_a_sentence_what_it_is():
  found = presets.describe()
  assert [f'{name}.gin' for name in found] == presets.names()
  for name, preset in found.items():
    assert re.fullmatch(r'[A-Z].{15,}\.', preset.summary), name
  assert found['plan2explore'].summary.endswith('(Sekar et al. 2020).')


def test_overlays_are_told_from_presets():
  found = presets.describe()
  overlays = {name for name, preset in found.items() if preset.overlay}
  assert overlays == {
      'debug', 'model_loss', 'plan2explore', 'random', 'size_l', 'size_m',
      'size_s'}


@pytest.mark.usefixtures('clean')
def test_the_numbers_of_a_setting_are_those_that_gin_reads():
  found = set()
  for name in presets.names():
    gin.clear_config()
    config.parse([name], [])
    try:
      found.add(gin.query_parameter('train.replay_capacity'))
    except ValueError:  # an overlay that leaves it as it is
      assert presets.describe()[name.removesuffix('.gin')].overlay
  assert presets.numbers('train.replay_capacity') == found
  default = inspect.signature(
      settings.read).parameters['replay_capacity'].default
  assert default in found and len(found) > 2


def test_the_presets_are_told_without_tensorflow():
  """`--help` and `--list_presets` answer at once."""
  code = (
      'import sys; from dreamerv2_tfa.training import presets; '
      'presets.describe(); sys.exit("tensorflow" in sys.modules)')
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
