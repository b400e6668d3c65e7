"""Runs what is missing of the comparison, then writes the table and the plot.

  bin/python benchmarks/learning/run.py [--seeds=5] [--report]
      [--agents=ours,published] [--tasks=memory,catch] [--workers=2]

Each run is one process on one core, two at a time; its result is a file in
results/, so a comparison that was cut off goes on. `--report` only writes
table.md and curves.png from what is there. `ours` draws from replay by rows;
`episodes` and `episodes_ends` are the same agent with that `train.sampling`,
and are run where --agents names them.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import gin
import matplotlib
import numpy as np

import dreamerv2_tfa
from dreamerv2_tfa import commands  # noqa: F401, silences the libraries

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tasks

matplotlib.use('Agg')
from matplotlib import pyplot as plt

_HERE = pathlib.Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_RESULTS = _HERE / 'results'
_RUNS = _ROOT / 'runs' / 'learning'  # folders and logs
_GIN = _HERE / 'learning.gin'
_AGENTS = ('ours', 'published')
_LAWS = ('episodes', 'episodes_ends')  # this agent, another train.sampling
# What a task changes, in both packages.
_BINDINGS = {
    'catch': ('train.steps = 9000',),
    'reach': ('train.steps = 4000', 'ActorCritic.entropy_scale = 1e-3',
              'WorldModel.continue_head = False',
              "WorldModel.grad_heads = ('decoder', 'reward')"),
    'chase': ('train.steps = 3000', 'ActorCritic.entropy_scale = 1e-3',
              'WorldModel.continue_head = False',
              "WorldModel.grad_heads = ('decoder', 'reward')"),
    'memory': ('train.batch_size = 16',),  # episodes are short
}
# Our name of a number and theirs.
_NAMES = {
    'DreamerV2Agent.discount': ['discount'],
    'DreamerV2Agent.model_learning_rate': ['model_opt__lr'],
    'DreamerV2Agent.actor_learning_rate': ['actor_opt__lr'],
    'DreamerV2Agent.critic_learning_rate': ['critic_opt__lr'],
    'WorldModel.kl_scale': ['loss_scales__kl'],
    'WorldModel.continue_head': ['pred_discount'],
    'WorldModel.grad_heads': ['grad_heads'],
    'RSSM.deter': ['rssm__deter'], 'RSSM.hidden': ['rssm__hidden'],
    'RSSM.stoch': ['rssm__stoch'], 'RSSM.classes': ['rssm__discrete'],
    'Encoder.depth': ['encoder__cnn_depth'],
    'Decoder.depth': ['decoder__cnn_depth'],
    'MLP.layers': [f'{head}__layers' for head in (
        'actor', 'critic', 'reward_head', 'discount_head')],
    'MLP.units': [f'{head}__units' for head in (
        'actor', 'critic', 'reward_head', 'discount_head')],
    'ActorCritic.horizon': ['imag_horizon'],
    'ActorCritic.entropy_scale': ['actor_ent'],
    'ActorCritic.slow_critic_period': ['slow_target_update'],
}


def settings(task, seed):
  """The published package's settings, read from the gin files."""
  gin.clear_config()
  dreamerv2_tfa.load_config([_GIN], _BINDINGS[task])
  read = gin.query_parameter
  config = {name: read(ours) for ours, names in _NAMES.items()
            for name in names}
  config['grad_heads'] = list(config['grad_heads'])
  widths = [read('MLP.units')] * read('MLP.layers')
  config.update(encoder__mlp_layers=widths, decoder__mlp_layers=widths)
  number = lambda name: int(read(f'train.{name}'))
  run = dict(
      task=task, seed=seed, steps=number('steps'), prefill=number('prefill'),
      pretrain=number('pretrain'), every=number('steps_per_update'),
      batch=number('batch_size'), length=number('sequence_length'),
      capacity=number('replay_capacity'), eval_every=number('eval_every'),
      episodes=number('eval_episodes'),
  )
  return {'run': run, 'config': config}


def path(agent, task, seed):
  """Where the result of a run is."""
  return _RESULTS / f'{agent}-{task}-{seed}.json'


def execute(agent, task, seed, made):
  """Runs one of these settings, to its result file."""
  result, run = path(agent, task, seed), _RUNS / f'{agent}-{task}-{seed}'
  one_core = {'TF_NUM_INTRAOP_THREADS': '1', 'TF_NUM_INTEROP_THREADS': '1',
              'OMP_NUM_THREADS': '1'}
  begun = time.time()
  if agent == 'published':
    file = run.with_suffix('.settings')
    file.write_text(json.dumps({**made, 'result': str(result)}))
    command = [_ROOT / 'benchmarks' / 'published' / 'python',
               _HERE / 'run_published.py', file]
  else:
    command = [_ROOT / 'bin' / 'train', f'--gin_file={_GIN}',
               f'--task=benchmarks.learning.tasks:{task}', f'--seed={seed}',
               f'--root_dir={run}',
               *(f'--gin_bindings={b}' for b in _BINDINGS[task])]
    if agent in _LAWS:
      command.append(f'--gin_bindings=train.sampling = {agent!r}')
  with run.with_suffix('.log').open('w') as log:
    code = subprocess.call(
        command, cwd=_ROOT, env={**os.environ, **one_core}, stdout=log,
        stderr=log,
    )
  if agent != 'published' and not code:
    rows = [json.loads(line) for line in
            (run / 'metrics.jsonl').read_text().splitlines()]
    protocol = json.loads((run / 'protocol.json').read_text())
    result.write_text(json.dumps(dict(
        made['run'], agent=agent,
        evaluations=[[row['step'], row['eval_return']] for row in rows
                     if 'eval_return' in row],
        updates=int(max(row.get('updates', 0) for row in rows)),
        seconds=round(time.time() - begun, 1),
        parameters=list(protocol['parameters'].values()),
    )))
  print(agent, task, seed, 'done' if not code else f'FAILED, {code}',
        f'{time.time() - begun:.0f} s', flush=True)


def run_all(seeds, agents, names, workers):
  """Runs what has no result yet, whole seeds first, `workers` at a time."""
  _RUNS.mkdir(parents=True, exist_ok=True)
  _RESULTS.mkdir(exist_ok=True)
  missing = [
      (agent, task, seed, settings(task, seed)) for seed, task, agent
      in itertools.product(range(seeds), names, agents)
      if not path(agent, task, seed).exists()
  ]
  lock = threading.Lock()

  def work():
    while True:
      with lock:
        if not missing:
          return
        job = missing.pop(0)
      execute(*job)

  workers = [threading.Thread(target=work) for _ in range(workers)]
  for worker in workers:
    worker.start()
  for worker in workers:
    worker.join()


def report():
  """Writes table.md and curves.png."""
  files = sorted(_RESULTS.glob('*.json'))
  results = [json.loads(file.read_text()) for file in files]
  order = {name: i for i, name in enumerate(tasks.TASKS)}
  results.sort(key=lambda r: (order[r['task']], r['agent'], r['seed']))
  _table(results)
  _plot(results)


def _table(results):
  lines = [
      '| task (random, best) | agent | final return, mean +- std | by seed | '
      'updates / steps | parameters | s a run |',
      '|---|---|---|---|---|---|---|',
  ]
  for task, agent in itertools.product(tasks.TASKS, _AGENTS + _LAWS):
    group = [r for r in results if (r['task'], r['agent']) == (task, agent)]
    if not group:
      continue
    final = [r['evaluations'][-1][1] for r in group]
    made = tasks.TASKS[task]
    lines.append(
        f'| {task} ({made.random:g}, {made.best:g}) | {agent} | '
        f'{np.mean(final):.2f} +- {np.std(final):.2f} | '
        f'{", ".join(f"{x:.2f}" for x in final)} | '
        f'{group[0]["updates"]} / {group[0]["steps"]} | '
        f'{sum(group[0]["parameters"]):,} | '
        f'{np.median([r["seconds"] for r in group]):.0f} |')
  (_HERE / 'table.md').write_text('\n'.join(lines) + '\n')


def _plot(results):
  figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout='constrained')
  colours = {'ours': 'tab:blue', 'published': 'tab:orange',
             'episodes': 'tab:green', 'episodes_ends': 'tab:red'}
  for axis, task in zip(axes, tasks.TASKS, strict=True):
    for agent in _AGENTS + _LAWS:
      group = [r['evaluations'] for r in results
               if (r['task'], r['agent']) == (task, agent)]
      for evaluations in group:
        steps, values = zip(*evaluations, strict=True)
        axis.plot(steps, values, color=colours[agent], alpha=0.3, linewidth=1)
      if group:
        axis.plot(steps, np.mean(group, 0)[:, 1], color=colours[agent],
                  marker='.', label=agent)
    axis.axhline(tasks.TASKS[task].random, color='grey', linestyle=':')
    axis.axhline(tasks.TASKS[task].best, color='grey', linestyle='--')
    axis.set(title=task, xlabel='environment steps')
  axes[0].set(ylabel='return, 20 greedy episodes')
  axes[0].legend()
  figure.savefig(_HERE / 'curves.png', dpi=100)


if __name__ == '__main__':
  given = dict(a.removeprefix('--').partition('=')[::2] for a in sys.argv[1:])
  split = lambda name, usual: given.get(name, ','.join(usual)).split(',')
  if 'report' not in given:
    run_all(int(given.get('seeds', 5)), split('agents', _AGENTS),
            split('tasks', tasks.TASKS), int(given.get('workers', 2)))
  report()
