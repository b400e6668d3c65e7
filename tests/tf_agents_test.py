"""Tests of the agent in TF-Agents' own machinery, unmodified."""

import collections
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.drivers import dynamic_step_driver
from tf_agents.environments import random_py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.metrics import tf_metrics
from tf_agents.policies import greedy_policy
from tf_agents.policies import policy_saver
from tf_agents.policies import py_tf_eager_policy
from tf_agents.policies import random_tf_policy
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.specs import tensor_spec
from tf_agents.train import actor
from tf_agents.train import learner
from tf_agents.train import triggers
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common

_ROOT = pathlib.Path(__file__).resolve().parents[1]


# With bounds, because the host's random observations fill them.
OBSERVATION = {'position': tensor_spec.BoundedTensorSpec(
    [3], tf.float32, -1.0, 1.0)}


@pytest.fixture(scope='module')
def counter():
  return tf.Variable(0, dtype=tf.int64)


@pytest.fixture(scope='module')
def agent(counter):
  return make(counter)


def make(counter):
  return small.make_agent(
      observation=OBSERVATION, jit='off', train_step_counter=counter)


def world(agent, seed=0):
  """The host's environment of random observations."""
  return random_py_environment.RandomPyEnvironment(
      tensor_spec.to_nest_array_spec(agent.time_step_spec.observation),
      tensor_spec.to_nest_array_spec(agent.action_spec),
      reward_fn=lambda *unused: np.float32(1.0), episode_end_probability=0.2,
      seed=seed)


def filled(agent, policy=None, driver=dynamic_step_driver.DynamicStepDriver,
           **kwargs):
  """A replay buffer that a driver has filled, and metrics that watched."""
  environment = tf_py_environment.TFPyEnvironment(world(agent))
  buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(
      agent.collect_data_spec, 1, max_length=100)
  metrics = [tf_metrics.EnvironmentSteps(), tf_metrics.NumberOfEpisodes(),
             tf_metrics.AverageReturnMetric()]
  playing = driver(
      environment, policy or agent.collect_policy,
      [buffer.add_batch, *metrics], **kwargs)
  common.function(playing.run)()
  return buffer, [float(metric.result()) for metric in metrics]


def windows(buffer, rows=small.T + 1):
  return buffer.as_dataset(sample_batch_size=small.B, num_steps=rows)


@pytest.mark.parametrize('driver, kwargs', [
    (dynamic_step_driver.DynamicStepDriver, dict(num_steps=30)),
    (dynamic_episode_driver.DynamicEpisodeDriver, dict(num_episodes=5))])
def test_it_learns_from_what_a_driver_put_into_replay(agent, driver, kwargs):
  buffer, (steps, episodes, mean) = filled(agent, driver=driver, **kwargs)
  assert steps >= 5 and episodes >= 1 and mean > 0
  trajectory, _ = next(iter(windows(buffer)))
  assert np.isfinite(agent.train(trajectory).loss)


def test_it_learns_from_random_play_of_the_host(agent):
  random = random_tf_policy.RandomTFPolicy(
      agent.time_step_spec, agent.action_spec)
  buffer, (steps, *_) = filled(agent, random, num_steps=20)
  assert steps == 20
  trajectory, _ = next(iter(windows(buffer)))
  assert np.isfinite(agent.train(trajectory).loss)


def test_greedy_play_of_the_collect_policy_is_the_actors_mode(agent):
  greedy = greedy_policy.GreedyPolicy(agent.collect_policy)
  buffer, _ = filled(agent, greedy, num_steps=20)
  rows = buffer.gather_all()
  state = agent.policy.get_initial_state(1)
  time_step = ts.restart(
      tf.nest.map_structure(lambda x: x[:, 0], rows.observation), 1)
  distribution = greedy.distribution(time_step, state).action
  assert float(tf.exp(distribution.log_prob(distribution.mode()))[0]) == 1.0


def test_the_hosts_actor_plays_it_step_by_step(agent, counter):
  rows = []
  eager = py_tf_eager_policy.PyTFEagerPolicy(
      agent.collect_policy, use_tf_function=True)
  playing = actor.Actor(
      world(agent), eager, counter, steps_per_run=20, observers=[rows.append],
      metrics=actor.collect_metrics(3))
  playing.run()
  playing.run()
  assert len(rows) >= 40
  assert playing.metrics[1].result() >= 40
  spec = tensor_spec.to_nest_array_spec(agent.collect_data_spec)
  for x, leaf in zip(
      tf.nest.flatten(rows[0]), tf.nest.flatten(spec), strict=True):
    assert np.asarray(x).dtype == leaf.dtype and np.shape(x) == leaf.shape


# What dm-reverb gives beside the rows; an ordinary data set of that form.
Info = collections.namedtuple(
    'SampleInfo', 'key probability table_size priority times_sampled')


@pytest.mark.slow
def test_a_learner_takes_rows_with_reverbs_info_and_saves(tmp_path):
  counter = tf.Variable(0, dtype=tf.int64)
  agent = make(counter)
  numbers = lambda dtype: tf.zeros([small.B, small.T + 1], dtype)
  info = Info(numbers(tf.uint64), numbers(tf.float64), numbers(tf.int64),
              numbers(tf.float64), numbers(tf.int32))
  dataset = lambda: tf.data.Dataset.from_tensors(
      (small.make_batch(agent), info)).repeat()
  folder = str(tmp_path / 'policies')
  training = learner.Learner(
      str(tmp_path), counter, agent, experience_dataset_fn=dataset,
      triggers=[triggers.PolicySavedModelTrigger(
          folder, agent, counter, interval=1)])
  info = training.run(iterations=2)
  assert int(counter) == 2 and np.isfinite(info.loss)

  loaded = py_tf_eager_policy.SavedModelPyTFEagerPolicy(
      os.path.join(folder, 'greedy_policy'), load_specs_from_pbtxt=True)
  environment = world(agent)
  time_step, state = environment.reset(), loaded.get_initial_state(1)
  for _ in range(3):
    step = loaded.action(time_step, state)
    assert 0 <= step.action < small.A
    time_step, state = environment.step(step.action), step.state
  taken = tf.nest.flatten(state)[-1]  # the action that the policy remembers
  assert np.argmax(taken) == step.action


def test_the_hosts_checkpointer_and_saver_agree(agent, tmp_path):
  twin = make(tf.Variable(0, dtype=tf.int64))
  agent.train(small.make_batch(agent))
  common.Checkpointer(str(tmp_path / 'c'), agent=agent).save(0)
  common.Checkpointer(
      str(tmp_path / 'c'), agent=twin).initialize_or_restore()
  assert small.same(small.values(agent.world_model),
                    small.values(twin.world_model))
  saver = policy_saver.PolicySaver(twin.policy, batch_size=None)
  saver.save(str(tmp_path / 'policy'))
  loaded = tf.saved_model.load(str(tmp_path / 'policy'))
  batch = small.make_batch(agent)
  first = tf.nest.map_structure(lambda x: x[:, 0], batch.observation)
  step = loaded.action(ts.restart(first, small.B),
                       loaded.get_initial_state(small.B))
  assert step.action.shape == [small.B]


@pytest.mark.slow
def test_the_example_of_a_plain_pipeline_runs_to_its_end(tmp_path):
  process = subprocess.run(
      [sys.executable, _ROOT / 'examples' / 'tf_agents_pipeline.py',
       tmp_path, '3', '5', '30'], cwd=tmp_path, capture_output=True, text=True,
      timeout=600, check=False, env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert process.returncode == 0, process.stderr[-2000:]
  assert '3 updates, loss' in process.stdout
  assert (tmp_path / 'policies' / 'greedy_policy').is_dir()
