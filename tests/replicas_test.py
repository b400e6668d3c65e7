"""Tests of updates on two replicas of a `MirroredStrategy`."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import replicas
from dreamerv2_tfa.distributed import address

_HERE = pathlib.Path(__file__).parent
# Not a mean over the batch: half of it has another standard deviation.
_NOT_A_MEAN = ('reward_std', 'reward_normed_std')
_TOLERANCE = {'half_precision': 1e-2}


def play(case, folder, workers=1):
  """What the first process has written."""
  ports = [address.free_port() for _ in range(workers)]
  cluster = {'worker': [f'127.0.0.1:{port}' for port in ports]}
  processes = []
  for index in range(workers):
    config = {'cluster': cluster, 'task': {'type': 'worker', 'index': index}}
    processes.append(subprocess.Popen(
        [sys.executable, _HERE / 'replicas_play.py', case,
         folder / f'{case}{index}.npz'],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(_HERE.parent),
             **({'TF_CONFIG': json.dumps(config)} if workers > 1 else {})}))
  for process in processes:
    _, error = process.communicate(timeout=900)
    assert process.returncode == 0, error[-3000:]
  return dict(np.load(folder / f'{case}0.npz', allow_pickle=False))


@pytest.fixture(scope='module')
def played(tmp_path_factory):
  """What a case has written, which is played once."""
  return functools.cache(
      lambda case: play(case, tmp_path_factory.mktemp('replicas')))


@pytest.mark.slow
@pytest.mark.parametrize('case', [
    'discrete', 'continuous', 'exploring', 'half_precision'])
def test_an_update_on_two_replicas_is_that_of_the_whole_batch(case, played):
  found = played(case)
  assert found['variables_before'] == 0
  assert found['copies_agree']
  tolerance = _TOLERANCE.get(case, 1e-4)
  compared = 0
  for name, (one, two) in (
      (name, x) for name, x in found.items() if '/' in name):
    if name.endswith(_NOT_A_MEAN):
      continue
    compared += 1
    scale = np.abs(one).max()
    assert np.abs(one - two).max() <= tolerance * max(scale, 0.1), name
  assert compared > 100


@pytest.mark.slow
@pytest.mark.parametrize('case', ['discrete', 'continuous'])
def test_gradients_of_two_halves_are_those_of_the_whole_to_a_hundred_thousandth(
    case, played):
  _check_gradients(played(case))


@pytest.mark.slow
def test_so_are_those_of_two_processes(tmp_path):
  # Layer norm, free nats and discrete actions are of this case.
  _check_gradients(play('discrete', tmp_path, workers=2))


def _check_gradients(found):
  assert found['variables_before'] == 0
  pairs = [x for name, x in found.items() if name.startswith('gradient/')]
  assert len(pairs) > 30
  largest = max(np.abs(one).max() for one, _ in pairs)
  assert largest > 1e-3
  for one, two in pairs:
    assert np.abs(one - two).max() <= 1e-5 * largest


@pytest.fixture(scope='module')
def misfortune(tmp_path_factory):
  return play('misfortune', tmp_path_factory.mktemp('replicas'))


@pytest.mark.slow
def test_a_nan_on_one_replica_leaves_both_as_they_were(misfortune):
  assert misfortune['unmoved']
  assert misfortune['agree_after_nan']


@pytest.mark.slow
def test_replicas_draw_noise_of_their_own(misfortune):
  one, two = misfortune['losses_of_one_batch']
  assert one != two
  np.testing.assert_allclose(one, two, rtol=0.2)


@pytest.mark.slow
def test_the_hosts_learner_reports_the_mean_loss_of_two_replicas(misfortune):
  assert misfortune['learner_updates'] == 2
  np.testing.assert_allclose(
      misfortune['learner_loss'], misfortune['single_loss'], rtol=0.2)


@pytest.mark.slow
def test_an_agent_made_outside_of_the_scope_is_refused(misfortune):
  assert 'strategy.scope()' in str(misfortune['outside'])


def test_alone_there_is_nothing_to_share():
  variable, seed = tf.Variable(2.0), tf.constant([1, 2])
  assert replicas.count() == 1
  assert replicas.own(variable) is variable
  assert replicas.mean(seed) is seed
  assert replicas.share(seed) is seed
  assert replicas.seed(seed) is seed


def test_outside_of_a_strategy_slots_are_made_without_a_step():
  agent = small.make_agent(jit='off')
  slots = agent._model_optimizer._adam.variables()
  assert all((slot.numpy() == 0).all() for slot in slots)
  assert len(slots) == 1 + 2 * len(agent.world_model.trainable_variables)
