"""DreamerV2 in a plain TF-Agents program, where SAC or DQN would stand.

`bin/python examples/tf_agents_pipeline.py runs/pole` plays CartPole. The
agent is all that is not TF-Agents' own.
"""

import argparse
import os

import dreamerv2_tfa  # before TensorFlow, whose log it turns off

# isort: split
from tf_agents.environments import suite_gym
from tf_agents.policies import py_tf_eager_policy
from tf_agents.policies import random_tf_policy
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.train import actor
from tf_agents.train import learner
from tf_agents.train import triggers
from tf_agents.train.utils import spec_utils
from tf_agents.train.utils import strategy_utils
from tf_agents.train.utils import train_utils
from tf_agents.utils import nest_utils

from dreamerv2_tfa import quiet

SMALL = ['RSSM.deter = 64', 'RSSM.hidden = 64', 'RSSM.stoch = 8',
         'RSSM.classes = 8', 'MLP.layers = 2', 'MLP.units = 64']


@quiet.libraries()
def train_eval(root_dir, rounds=1000, steps_per_round=5, prefill=1000):
  """Collects, trains, saves and evaluates; returns the last mean return."""
  environment, eval_environment = (
      suite_gym.load('CartPole-v1') for _ in range(2))
  _, action_spec, time_step_spec = spec_utils.get_tensor_specs(environment)
  strategy = strategy_utils.get_strategy(tpu=False, use_gpu=False)
  with strategy.scope():
    train_step = train_utils.create_train_step()
    agent = dreamerv2_tfa.DreamerV2Agent(
        time_step_spec, action_spec, train_step_counter=train_step,
        model_learning_rate=1e-3, actor_learning_rate=4e-4,
        critic_learning_rate=1e-3)
    agent.initialize()

  buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(
      agent.collect_data_spec, batch_size=1, max_length=100_000)
  observers = [lambda row: buffer.add_batch(nest_utils.batch_nested_array(row))]

  def make_actor(environment, policy, **kwargs):
    eager = py_tf_eager_policy.PyTFEagerPolicy(policy, use_tf_function=True)
    return actor.Actor(environment, eager, train_step, **kwargs)

  make_actor(
      environment, random_tf_policy.RandomTFPolicy(time_step_spec, action_spec),
      steps_per_run=prefill, observers=observers).run()
  collect = make_actor(
      environment, agent.collect_policy, steps_per_run=steps_per_round,
      observers=observers, metrics=actor.collect_metrics(10),
      summary_dir=os.path.join(root_dir, 'train'))
  evaluate = make_actor(
      eval_environment, agent.policy, episodes_per_run=3,
      metrics=actor.eval_metrics(3), summary_dir=os.path.join(root_dir, 'eval'))
  saved = os.path.join(root_dir, learner.POLICY_SAVED_MODEL_DIR)
  train = learner.Learner(
      root_dir, train_step, agent, strategy=strategy,
      experience_dataset_fn=lambda: buffer.as_dataset(
          sample_batch_size=16, num_steps=21).prefetch(1),
      triggers=[triggers.PolicySavedModelTrigger(
          saved, agent, train_step, interval=250)])
  for i in range(rounds):
    collect.run()
    loss = train.run(iterations=1).loss
    if i % 100 == 99 or i == rounds - 1:
      evaluate.run_and_log()
      result = evaluate.metrics[0].result()
      print(f'{i + 1} updates, loss {loss:.1f}, return {result:.1f}')
  return result


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('root_dir', help='folder of events and policies')
  parser.add_argument('rounds', nargs='?', type=int, default=1000)
  parser.add_argument('steps_per_round', nargs='?', type=int, default=5)
  parser.add_argument('prefill', nargs='?', type=int, default=1000)
  args = parser.parse_args()
  dreamerv2_tfa.load_config(bindings=SMALL)
  train_eval(**vars(args))
