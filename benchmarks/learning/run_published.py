"""One run of the published package on a small task.

  benchmarks/published/python benchmarks/learning/run_published.py SETTINGS

SETTINGS is a JSON file that `run.py` writes; the result goes to the path in
it. The loop is the one of its own `train.py`, with its updates counted against
the steps, and no more than the evaluation added.
"""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import time

import numpy as np
import published
import tasks
import tensorflow as tf


def _environment(name, seed):
  environment = tasks.published(name, seed)
  if hasattr(environment.act_space['action'], 'n'):
    environment = published.common.OneHotAction(environment)
  return environment


def _evaluate(agent, name, seed, episodes):
  """Returns of greedy episodes: their mean."""
  returns = []
  driver = published.common.Driver([_environment(name, seed)])
  driver.on_episode(lambda episode: returns.append(episode['reward'].sum()))
  driver(lambda *args: agent.policy(*args, mode='eval'), episodes=episodes)
  return float(np.mean(returns))


def main(settings):
  """Trains, evaluates, writes."""
  run, begun = settings['run'], time.time()
  np.random.seed(run['seed'])
  tf.random.set_seed(run['seed'])
  config = published.configure(precision=32, jit=False, **settings['config'])
  environment = _environment(run['task'], run['seed'])
  step = published.common.Counter(0)
  replay = published.common.Replay(
      pathlib.Path(tempfile.mkdtemp()), capacity=run['capacity'], minlen=4,
      maxlen=run['length'], prioritize_ends=False,
  )
  driver = published.common.Driver([environment])
  driver.on_step(lambda row, worker: step.increment())
  driver.on_step(replay.add_step)
  driver.on_reset(replay.add_step)
  driver(published.common.RandomAgent(environment.act_space),
         steps=run['prefill'])
  agent = published.agent.Agent(
      config, environment.obs_space, environment.act_space, step
  )
  batches = iter(replay.dataset(batch=run['batch'], length=run['length']))
  train = published.common.CarryOverState(agent.train)
  updates, evaluations = 0, []

  def update(row, worker):
    del row, worker
    nonlocal updates
    passed = int(step) - run['prefill']
    while updates < 1 + run['pretrain'] + passed // run['every']:
      train(next(batches))
      updates += 1

  update(None, None)
  driver.on_step(update)
  policy = lambda *args: agent.policy(*args, mode='train')
  while int(step) < run['steps']:
    left = run['steps'] - int(step)
    driver(policy, steps=min(left, run['eval_every'] -
                             int(step) % run['eval_every']))
    evaluations.append([int(step), _evaluate(
        agent, run['task'], run['seed'] + 10_000, run['episodes'])])
  count = lambda module: int(sum(np.prod(v.shape) for v in module.variables))
  behaviour = agent._task_behavior
  result = dict(
      run, agent='published', evaluations=evaluations, updates=updates,
      seconds=round(time.time() - begun, 1),
      parameters=[
          sum(count(m) for m in (agent.wm.encoder, agent.wm.rssm,
                                 *agent.wm.heads.values())),
          count(behaviour.actor), count(behaviour.critic)],
  )
  pathlib.Path(settings['result']).write_text(json.dumps(result))


if __name__ == '__main__':
  with contextlib.redirect_stdout(io.StringIO()):
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
