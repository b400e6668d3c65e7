"""Tests of runs that learn from stored rows, hold a model, or are loaded."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import gin
import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.reports import open_loop

pytestmark = pytest.mark.slow

_ROOT = pathlib.Path(__file__).resolve().parents[2]

# 60 random steps, then 2 updates, then one every 10 steps: 6 at 100 steps.
_SETTINGS = {
    'RSSM.deter': 8, 'RSSM.hidden': 8, 'RSSM.stoch': 3, 'RSSM.classes': 4,
    'Encoder.depth': 2, 'Decoder.depth': 2, 'MLP.layers': 1, 'MLP.units': 8,
    'ActorCritic.horizon': 3, 'precision': '32', 'steps': 100, 'prefill': 60,
    'pretrain': 1, 'steps_per_update': 10, 'batch_size': 2,
    'sequence_length': 5, 'replay_capacity': 1000, 'log_every': 20,
    'eval_every': 1000, 'eval_episodes': 1, 'save_every': 1000,
}


class Runs(NamedTuple):
  online: str
  offline: str  # learns from the rows of `online`
  held: str  # likewise, in the world model of `offline`
  output: str


def run(root_dir, **settings):
  try:
    dreamerv2_tfa.train('catch', root_dir=root_dir, **{**_SETTINGS, **settings})
  finally:
    gin.clear_config()
    tf.keras.mixed_precision.set_global_policy('float32')
  return root_dir


def digest(folder):
  return [(path.name, hashlib.sha1(path.read_bytes()).hexdigest())
          for path in sorted((folder / 'replay').iterdir())]


def metrics(folder):
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line) for line in lines]


def refuse(*args, **kwargs):
  raise AssertionError('a step was taken')


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  folder, output = tmp_path_factory.mktemp('runs'), io.StringIO()
  online = run(folder / 'online')
  before = digest(online)
  with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(
      output):
    patch.setattr(collection, 'Collector', refuse)
    offline = run(folder / 'offline', replay_from=str(online))
    patch.setattr(catch.Catch, '_step', refuse)
    patch.setattr(catch.Catch, '_reset', refuse)
    held = run(folder / 'held', replay_from=str(online), eval_episodes=0,
               model_from=str(offline))
  assert digest(online) == before
  return Runs(online, offline, held, output.getvalue())


def test_an_offline_run_updates_and_stores_nothing(runs):
  last = [line for line in metrics(runs.offline) if 'model_loss' in line][-1]
  assert last['updates'] == 6.0 and last['step'] == 100
  assert not (runs.offline / 'replay').exists()


def test_an_offline_run_reports_no_return_but_of_evaluation(runs):
  names = set().union(*metrics(runs.offline))
  assert 'eval_return' in names and 'train_return' not in names
  assert 'random steps' not in runs.output


def test_without_evaluation_no_step_at_all_is_taken(runs):
  assert 'eval_return' not in set().union(*metrics(runs.held))


def test_a_held_model_stays_as_it_was_and_the_behaviour_learns(runs):
  offline, held = map(dreamerv2_tfa.load_agent, (runs.offline, runs.held))
  assert small.same(
      small.values(offline.world_model), small.values(held.world_model))
  assert not small.same(
      small.values(offline.actor_critic.actor),
      small.values(held.actor_critic.actor))
  assert 'model_grad_norm' not in set().union(*metrics(runs.held))
  assert 'actor_grad_norm' in set().union(*metrics(runs.held))


def test_an_offline_run_goes_on_where_it_stopped(runs):
  run(runs.offline, replay_from=str(runs.online), steps=130)
  last = [line for line in metrics(runs.offline) if 'model_loss' in line][-1]
  assert last['updates'] == 9.0 and last['step'] == 130


def test_a_loaded_agent_is_the_one_that_was_saved(runs):
  agent = dreamerv2_tfa.load_agent(runs.online)
  assert int(agent.train_step_counter) == 6
  path = tf.train.latest_checkpoint(runs.online / 'checkpoints')
  reader = tf.train.load_checkpoint(path)
  stored = [reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()]
  for variable in agent.world_model.trainable_variables:
    assert any(np.array_equal(variable, x) for x in stored), variable.name
  assert gin.config_str() == ''


def test_the_example_of_a_dream_runs_to_its_end(runs):
  process = subprocess.run(
      [sys.executable, _ROOT / 'examples' / 'train_in_dream.py', runs.online,
       '0', '3', '1'], capture_output=True, text=True, timeout=600, check=False,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert process.returncode == 0, process.stderr[-2000:]
  assert process.stdout.startswith('Seed 0: return')


def test_what_holds_no_run_is_refused(runs, tmp_path):
  with pytest.raises(ValueError, match='no saved run'):
    dreamerv2_tfa.load_agent(tmp_path)
  with pytest.raises(ValueError, match='no stored rows'):
    run(tmp_path / 'a', replay_from=str(tmp_path))
  assert not (tmp_path / 'a').exists()
  with pytest.raises(ValueError, match='wanted more than.*200'):
    run(tmp_path / 'd', replay_from=str(runs.online), sequence_length=200,
        prefill=300, steps=400)
  with pytest.raises(ValueError, match='no saved run'):
    run(tmp_path / 'b', model_from=str(tmp_path))
  with pytest.raises(ValueError, match='of another form'):
    run(tmp_path / 'c', model_from=str(runs.online), **{'RSSM.deter': 9})


def test_the_open_loop_report_of_a_run_is_written_beside_it(runs):
  text = open_loop.report(runs.online, context=3, horizon=4, windows=6)
  assert len(text.splitlines()) == 5
  errors = json.loads((runs.online / 'open_loop.json').read_text())
  assert set(errors) == {'image', 'reward', 'continue'}
  assert all(len(each[way]) == 4 for each in errors.values()
             for way in open_loop.WAYS)
  assert (runs.online / 'open_loop.png').stat().st_size > 1000
  other = open_loop.report(
      runs.offline, runs.online, context=3, horizon=4, windows=6)
  assert other != text
