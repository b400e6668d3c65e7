"""A stock DQN learns in the dream of a world model, then plays for real.

`bin/train --root_dir=runs/catch` makes the world model (five minutes), then
`bin/python examples/train_in_dream.py runs/catch` takes another minute.
"""

import argparse

import dreamerv2_tfa  # before TensorFlow, whose log it turns off

# isort: split
import tensorflow as tf
from tf_agents.agents.dqn import dqn_agent
from tf_agents.drivers import dynamic_step_driver
from tf_agents.networks import q_network
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.utils import common

from dreamerv2_tfa import quiet


def learn(dream, updates):
  """A DQN that never sees anything but the dream."""
  network = q_network.QNetwork(
      dream.observation_spec(), dream.action_spec(), fc_layer_params=(128, 128))
  dqn = dqn_agent.DqnAgent(
      dream.time_step_spec(), dream.action_spec(), q_network=network,
      optimizer=tf.keras.optimizers.Adam(1e-3), gamma=0.95,
      target_update_period=100, epsilon_greedy=0.2)
  buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(
      dqn.collect_data_spec, dream.batch_size, max_length=2000)
  driver = dynamic_step_driver.DynamicStepDriver(
      dream, dqn.collect_policy, [buffer.add_batch], num_steps=dream.batch_size)
  collect, train = common.function(driver.run), common.function(dqn.train)
  for _ in range(50):
    collect()
  dataset = iter(buffer.as_dataset(sample_batch_size=128, num_steps=2))
  for _ in range(updates):
    collect()
    train(next(dataset)[0])
  return dqn.policy


@quiet.libraries()
def main(root_dir, seed=0, updates=5000, episodes=50):
  """Prints the return of real episodes: random play gets -3, the best 5."""
  tf.keras.utils.set_random_seed(seed)
  agent = dreamerv2_tfa.load_agent(root_dir, task='catch')
  rows = dreamerv2_tfa.load_rows(root_dir, agent.collect_data_spec)
  rows = dreamerv2_tfa.sample_windows(rows, count=200, length=13, seed=seed)
  dream = dreamerv2_tfa.DreamEnvironment(agent, rows, horizon=15, seed=seed)
  awake = dreamerv2_tfa.FeaturePolicy(
      agent.time_step_spec, agent.action_spec, agent.world_model,
      learn(dream, updates), seed=seed)
  real = dreamerv2_tfa.Evaluation(
      dreamerv2_tfa.Catch(seed=seed), awake, episodes)
  print(f'Seed {seed}: return {real.run()["eval_return"]:.2f}')


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('root_dir', help='of a run of bin/train, on Catch')
  parser.add_argument('seed', nargs='?', type=int, default=0)
  parser.add_argument('updates', nargs='?', type=int, default=5000)
  parser.add_argument('episodes', nargs='?', type=int, default=50)
  main(**vars(parser.parse_args()))
