"""Tests of what a run changes for the whole process: it is put back."""

import random

import gin
import numpy as np
import pytest
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import results
from dreamerv2_tfa.training import surroundings
from dreamerv2_tfa.training import train as train_lib

pytestmark = pytest.mark.usefixtures('clean')


def _state():
  """What the process computes with, and the next random numbers."""
  policy = tf.keras.mixed_precision.global_policy().name
  generator = np.random.get_state()[1].tolist()
  return (policy, tf.config.functions_run_eagerly(), random.getstate(),
          generator)


def _change():
  tf.keras.mixed_precision.set_global_policy('mixed_bfloat16')
  tf.config.run_functions_eagerly(True)
  tf.keras.utils.set_random_seed(3)


@pytest.mark.parametrize('error', [None, KeyError, KeyboardInterrupt])
def test_precision_eager_mode_and_random_numbers_are_put_back(error):
  before = _state()
  try:
    with surroundings.kept():
      _change()
      assert _state() != before
      if error:
        raise error
  except BaseException as caught:
    assert type(caught) is error
  assert _state() == before


@pytest.mark.parametrize('settings', [
    {'precision': 'bf16'}, {'eager': True, 'seed': 5},
    {'precision': 'bf16', 'batch_size': 10**12},  # refused after it was set
])
def test_a_run_leaves_the_process_as_it_was(settings, tmp_path):
  tf.keras.mixed_precision.set_global_policy('float32')
  before = _state()
  try:
    dreamerv2_tfa.train(
        'catch', root_dir=tmp_path / 'run', preset=['quickstart', 'debug'],
        dry_run=True, **{'replay_capacity': 1e3, **settings})
  except ValueError:
    pass
  assert _state() == before
  assert tf.keras.layers.Dense(3)(tf.zeros([1, 2])).dtype == tf.float32


def test_what_gin_had_bound_is_bound_again(monkeypatch):
  gin.parse_config("RSSM.deter = 7\nlarge/MLP.units = 5\nsize = 3\n"
                   'RSSM.hidden = %size')
  before = gin.config_str()
  seen = []
  monkeypatch.setattr(results, 'Run', lambda *_: None)  # nothing is written
  monkeypatch.setattr(
      train_lib, 'train', lambda *_, **__: seen.append(gin.config_str()))
  dreamerv2_tfa.train('catch', root_dir='x', **{'RSSM.deter': 9})
  assert 'RSSM.deter = 9' in seen[0] and 'large/MLP' not in seen[0]
  assert gin.config_str() == before
  assert gin.query_parameter('RSSM.deter') == 7


@pytest.mark.parametrize('locked', [False, True])
def test_gin_is_put_back_after_an_error_and_locked_where_it_was(locked):
  gin.parse_config('RSSM.deter = 7')
  if locked:
    gin.finalize()
  with pytest.raises(ValueError, match='no setting'):
    dreamerv2_tfa.train('catch', root_dir='x', stepps=3)
  with pytest.raises(ValueError, match='RSM'):
    dreamerv2_tfa.train('catch', root_dir='x', **{'RSM.deter': 3})
  assert gin.query_parameter('RSSM.deter') == 7
  assert gin.config_is_locked() == locked
