"""One update on two virtual CPUs and on one: `replicas_play.py CASE OUT.npz`.

With TF_CONFIG, on two processes and on one. Virtual devices must be set before
TensorFlow starts, so this has a process of its own; `replicas_test.py` runs it
and looks at what it writes.
"""

import os
import sys
import tempfile

import numpy as np
import small
import tensorflow as tf
from tf_agents.train import learner

from dreamerv2_tfa import noise
from dreamerv2_tfa import optimizers

CASES = {
    'discrete': dict(bindings=(
        'ActorCritic.reward_norm_momentum = 0.9', 'WorldModel.free_nats = 0.42',
        'ActorCritic.slow_critic_period = 2', 'RSSM.norm = "layer"',
        'ActorCritic.slow_critic_fraction = 0.5')),
    'exploring': dict(
        bindings=('Plan2Explore.reward_norm_momentum = 0.9',
                  'Plan2Explore.members = 2'),
        exploration='plan2explore'),
    'continuous': dict(
        bindings=('WorldModel.free_nats = 0.42', 'RSSM.norm = "layer"'),
        action=small.BOX),
    'half_precision': dict(
        bindings=(), action=small.BOX, precision='mixed_float16'),
}
UPDATES = 2


def make(case):
  kwargs = dict(CASES[case])
  agent = small.make_agent(*kwargs.pop('bindings'), jit='off', **kwargs)
  small.randomise(agent.world_model, scale=0.3)
  small.randomise(agent.actor_critic, seed=1, scale=0.3)
  if agent.exploration is not None:
    small.randomise(agent.exploration.explorer, seed=2, scale=0.3)
    small.randomise(agent.exploration.actor_critic, seed=3, scale=0.3)
  return agent


def joined(batches):
  return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *batches)


def on_each(strategy, batches):
  """One batch a replica."""
  rows = lambda *x: strategy.experimental_distribute_values_from_function(
      lambda context: x[context.replica_id_in_sync_group])
  return tf.nest.map_structure(rows, *batches)


def variables(agent):
  named = tf.train.Checkpoint(agent=agent)
  with tempfile.TemporaryDirectory() as folder:
    reader = tf.train.load_checkpoint(named.write(f'{folder}/all'))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if 'generator' not in name and 'CHECKPOINTABLE' not in name}


def first_moments(agent):
  """Adam's: after one update a tenth of its clipped gradients."""
  return [
      slot.numpy() for part in agent.submodules
      if isinstance(part, optimizers.Optimizer) for slot in part.slots
      if slot.name.split(':')[0].endswith('/m')]


def copies_agree(strategy, agent):
  found = agent.world_model.variables + agent.actor_critic.variables
  copies = [
      [x.numpy() for x in strategy.experimental_local_results(variable)]
      for variable in found]
  return all(np.array_equal(each[0], each[-1]) for each in copies)


def compare(case, strategy, out):
  whole, split = make(case), None
  with strategy.scope():
    split = make(case)
  run = tf.function(lambda *batch: strategy.run(split.train, args=batch))
  out['variables_before'] = sum(
      not np.array_equal(x, variables(split)[name])
      for name, x in variables(whole).items())
  for i in range(UPDATES):
    batches = [small.make_batch(whole, seed=10 * i + k) for k in range(2)]
    one = whole.train(joined(batches))
    two = run(on_each(strategy, batches))
    both = tf.nest.map_structure(
        lambda x: strategy.reduce('SUM', x, axis=None), two)
    for key, value in one.extra.items():
      out[f'metric/{i}/{key}'] = np.array([value, both.extra[key]])
    out[f'metric/{i}/loss'] = np.array([one.loss, both.loss])
    if not i:
      moments = zip(first_moments(whole), first_moments(split), strict=True)
      for j, pair in enumerate(moments):
        out[f'gradient/{j}'] = np.stack(pair)
  after = variables(split)
  for name, value in variables(whole).items():
    out[f'variable/{name}'] = np.stack([value, after[name]]).astype(np.float64)
  out['copies_agree'] = copies_agree(strategy, split)


def misfortune(strategy, out):
  """A NaN in the share of one replica, then noise and the host's Learner."""
  with strategy.scope():
    counter = tf.Variable(0, dtype=tf.int64)
    agent = small.make_agent(jit='off', train_step_counter=counter)
  batches = [small.make_batch(agent, seed=k) for k in range(2)]
  sick = batches[1]._replace(reward=np.nan * batches[1].reward)
  before = [small.values(x) for x in (agent.world_model, agent.actor_critic)]
  run = tf.function(lambda *batch: strategy.run(agent.train, args=batch))
  run(on_each(strategy, [batches[0], sick]))
  after = [small.values(x) for x in (agent.world_model, agent.actor_critic)]
  out['unmoved'] = all(map(small.same, before, after))
  out['agree_after_nan'] = copies_agree(strategy, agent)

  same = run(on_each(strategy, [batches[0]] * 2))
  out['losses_of_one_batch'] = [
      float(x) for x in strategy.experimental_local_results(
          same.extra['model_loss'])]
  taken = counter.numpy()
  dataset = lambda: tf.data.Dataset.from_tensors((batches[0], ())).repeat()
  with tempfile.TemporaryDirectory() as folder:
    training = learner.Learner(
        folder, counter, agent, experience_dataset_fn=dataset,
        strategy=strategy)
    info = training.run(iterations=2)
  out['learner_updates'] = counter.numpy() - taken
  out['learner_loss'] = float(info.loss)
  out['single_loss'] = float(agent.loss(batches[0]).loss)

  outside = small.make_agent(jit='off')
  try:
    strategy.run(outside.train, args=(on_each(strategy, batches),))
  except ValueError as error:
    out['outside'] = str(error)


def strategy_of_two():
  if 'TF_CONFIG' in os.environ:
    return tf.distribute.MultiWorkerMirroredStrategy()
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  return tf.distribute.MirroredStrategy(['/cpu:0', '/cpu:1'])


def main(case, path):
  strategy, out = strategy_of_two(), {}
  if case == 'misfortune':
    misfortune(strategy, out)
  else:
    # Without noise: two halves draw other numbers than the whole.
    noise.uniform = lambda shape, seed: tf.fill(shape, 0.5)
    compare(case, strategy, out)
  np.savez(path, **out)


if __name__ == '__main__':
  main(*sys.argv[1:])
