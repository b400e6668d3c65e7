"""Tests of an update that is not finite: kept, refused, run again."""

import json

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import crash
from dreamerv2_tfa.training import runs

_BAD = {'loss': np.inf, 'model_loss': 1.0, 'actor_grad_norm': np.nan,
        'reward_mean': np.nan}


@pytest.fixture
def guarded(tmp_path):
  """Returns a function of a precision: agent, `Guard`, and the run's folder."""
  def make(precision='float32'):
    agent = small.make_agent(precision=precision, jit='off')
    folder = runs.RunFolder(tmp_path)
    guard = crash.Guard(
        agent, tf_metrics.EnvironmentSteps(), folder, small.B, small.T,
        {'task': 'catch'})
    return agent, guard, folder
  return make


def weights(agent):
  return [v.numpy() for v in crash.updated(agent)]


def test_losses_and_gradients_alone_have_to_be_finite():
  assert crash.not_finite(_BAD) == ['actor_grad_norm', 'loss']
  assert crash.not_finite({'loss': 1.0, 'actor_ent': np.nan}) == []


def test_all_that_an_update_changes_is_copied(guarded):
  agent, guard, _ = guarded()
  before = [v.numpy() for v in agent.variables]
  slots = [v.numpy() for o in crash.optimizers_of(agent) for v in o.slots]
  batch = small.make_batch(agent)
  guard.copy(batch)
  agent.train(batch)
  changed = [
      v for v, old in zip(agent.variables, before, strict=True)
      if not np.array_equal(v.numpy(), old)]
  moved = [
      v for v, old in zip(
          (v for o in crash.optimizers_of(agent) for v in o.slots), slots,
          strict=True) if not np.array_equal(v.numpy(), old)]
  assert len(changed) > 20 and len(moved) > 40
  known = {id(v) for v in crash.updated(agent)}
  assert all(id(v) in known for v in [*changed, *moved])


def test_it_ends_the_run_with_the_weights_before_and_keeps_the_batch(guarded):
  agent, guard, folder = guarded()
  agent.train(small.make_batch(agent, seed=1))
  before = weights(agent)
  batch = small.make_batch(agent, seed=2)
  guard.copy(batch)
  agent.train(batch)
  assert not small.same(weights(agent), before)
  with pytest.raises(FloatingPointError) as error:
    guard.look(_BAD)
  assert 'Update 2 is not finite (actor_grad_norm, loss)' in str(error.value)
  assert f'--root_dir={folder.root} --replay_crash' in str(error.value)
  assert small.same(weights(agent), before)
  facts = json.loads((folder.crash / 'crash.json').read_text())
  assert facts['update'] == 2 and facts['task'] == 'catch'
  assert facts['not_finite'] == ['actor_grad_norm', 'loss']
  with np.load(folder.crash / 'batch.npz', allow_pickle=False) as kept:
    flat = tf.nest.flatten(batch)
    assert len(kept.files) == len(flat)
    assert all(
        np.array_equal(kept[str(i)], x.numpy()) for i, x in enumerate(flat))
  # The checkpoint is of the weights before.
  other = small.make_agent(jit='off', seed=9)
  tf.train.Checkpoint(agent=other).restore(
      str(folder.crash / 'before')).expect_partial()
  assert small.same(weights(other), before)


def test_a_second_crash_takes_the_place_of_the_first(guarded):
  agent, guard, folder = guarded()
  for seed in (1, 2):
    guard.copy(small.make_batch(agent, seed=seed))
    with pytest.raises(FloatingPointError):
      guard.look(_BAD)
  with np.load(folder.crash / 'batch.npz') as kept:
    last = tf.nest.flatten(small.make_batch(agent, seed=2))
    assert np.array_equal(kept['0'], last[0].numpy())


def test_numbers_that_are_no_loss_and_no_gradient_end_nothing(guarded):
  _, guard, folder = guarded()
  guard.look({'loss': 1.0, 'reward_std': np.nan})
  assert not folder.crash.exists()


def test_under_loss_scaling_it_ends_the_run_at_the_floor_alone(guarded):
  agent, guard, folder = guarded('mixed_float16')
  guard.copy(small.make_batch(agent))
  guard.look(_BAD)
  assert guard.at_floor == [] and not folder.crash.exists()
  agent._actor_optimizer._loss_scale.assign(1.0)
  assert guard.at_floor == ['actor']
  with pytest.raises(FloatingPointError):
    guard.look(_BAD)
  assert folder.crash.exists()


def test_steps_that_loss_scaling_skips_are_counted(guarded):
  agent, guard, _ = guarded('mixed_float16')
  assert guard.report(0) == {}
  for optimizer, steps in zip(
      crash.optimizers_of(agent), (5, 3, 4), strict=True):
    optimizer.iterations.assign(steps)
  assert guard.report(5) == {'skipped_updates': 2.0}
  assert guarded()[1].report(5) == {}


def test_weights_that_are_not_finite_are_not_saved(guarded):
  agent, guard, _ = guarded()
  guard.check_weights()
  variable = agent.actor_critic.actor.trainable_variables[0]
  variable.assign(variable * np.inf)
  with pytest.raises(FloatingPointError, match='1 variables.*nothing was sav'):
    guard.check_weights()


def test_a_run_without_a_crash_is_told(tmp_path):
  with pytest.raises(checks.UserError, match='has no crash/'):
    crash.replay(tmp_path)


@pytest.mark.parametrize('text', ['', '{}', '[1]', '{"update": 3}'])
def test_a_damaged_record_of_a_crash_is_named(text, tmp_path):
  (tmp_path / 'crash').mkdir()
  (tmp_path / 'crash' / 'crash.json').write_text(text)
  with pytest.raises(ValueError, match='crash.json is damaged'):
    crash.replay(tmp_path)
