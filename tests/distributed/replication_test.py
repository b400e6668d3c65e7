"""What a learner of several devices or processes refuses, and shares."""

import json
import types

import pytest
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import follower
from dreamerv2_tfa.distributed import replication

_TWO = {'cluster': {'worker': ['a:1', 'b:1']},
        'task': {'type': 'worker', 'index': 0}}


@pytest.mark.parametrize('config, said', [
    ('{', 'JSONDecodeError'), ('[1]', 'TypeError'), ('{}', "KeyError: 'clus"),
    ({**_TWO, 'task': {'type': 'worker', 'index': 'x'}}, 'ValueError'),
    ({**_TWO, 'task': {'type': 'worker', 'index': 2}}, 'one of them'),
    ({**_TWO, 'task': {'type': 'chief', 'index': 0}}, 'workers alone'),
    ({**_TWO, 'cluster': {'worker': ['a:1', 'b:1'], 'ps': ['c:1']}},
     'got ps, worker'),
])
def test_a_tf_config_that_names_no_learner_is_refused(
    config, said, monkeypatch):
  monkeypatch.setenv(
      'TF_CONFIG', config if isinstance(config, str) else json.dumps(config))
  with pytest.raises(checks.UserError, match='TF_CONFIG') as refused:
    replication.make(None)
  assert said in str(refused.value)


def test_more_gpus_than_there_are_are_refused(monkeypatch):
  monkeypatch.delenv('TF_CONFIG', raising=False)
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: ['one'])
  with pytest.raises(checks.UserError, match='--replicas=2; there are 1 GPUs'):
    replication.make(2)
  assert replication.make(1) is None
  assert replication.make(None) is None  # several only where it is asked for


def test_one_device_of_one_process_is_no_replication(monkeypatch):
  monkeypatch.delenv('TF_CONFIG', raising=False)
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [])
  assert replication.make(None) is None
  monkeypatch.setenv('TF_CONFIG', json.dumps(
      {**_TWO, 'cluster': {'worker': ['a:1']}}))
  assert replication.make(1) is None


def _of(processes, devices):
  strategy = types.SimpleNamespace(
      num_replicas_in_sync=processes * devices,
      extended=types.SimpleNamespace(worker_devices=['x'] * devices))
  return replication.Replication(strategy, processes, 0)  # pyright: ignore


def test_a_batch_is_shared_equally_or_refused():
  assert _of(1, 2).share(16) == 16
  assert _of(2, 4).share(16) == 8
  with pytest.raises(checks.UserError, match='= 6 cannot be.*multiple of 4'):
    _of(2, 2).share(6)


def test_a_process_that_has_gone_ends_the_others_with_a_line():
  with (pytest.raises(checks.UserError, match='Learner 0 of 2 cannot'),
        _of(2, 1).together()):
    raise tf.errors.UnavailableError(None, None, 'Collective ops is aborted')
  for processes, error in (
      (1, tf.errors.UnavailableError(None, None, 'Collective ops')),
      (2, tf.errors.UnavailableError(None, None, 'a file')),
      (2, tf.errors.ResourceExhaustedError(None, None, 'Collective ops'))):
    with pytest.raises(type(error)), _of(processes, 1).together():
      raise error


@pytest.mark.parametrize('status, ends', [(0, None), (15, 15)])
def test_a_follower_ends_as_the_chief_has(status, ends):
  assert follower._end(status) == ends


def test_a_follower_fails_where_the_chief_has():
  with pytest.raises(checks.UserError, match='first learner has failed'):
    follower._end(replication.FAILED)
