"""The same seed gives the same run: every loss, weight and row, to the bit.

On one machine, with one configuration. Each run has a process of its own, so
that nothing which one leaves behind can make the other like it.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import stored

_UPDATES = 100
# The small agent takes its seed's noise alone; its weights are those of small.
_AGENT = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import numpy as np
import small
how, seed, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
agent = small.make_agent(jit=how, seed=seed)
losses = []
for i in range({_UPDATES}):
  info = agent.train(small.make_batch(agent, seed=i))
  losses.append([float(info.loss)] + [
      float(info.extra[name]) for name in sorted(info.extra)
  ])
weights = small.values(agent.world_model) + small.values(agent.actor_critic)
np.savez(path, losses, *weights)
"""
_RUN = """
import sys
import gin
from dreamerv2_tfa.training import train
gin.parse_config(sys.argv[2])
train.train(sys.argv[1])
"""
# 60 random steps, then an update every 7 steps, with two evaluations.
_TINY = """
RSSM.deter = 8
RSSM.hidden = 7
RSSM.stoch = 3
RSSM.classes = 4
Encoder.depth = 2
Decoder.depth = 2
MLP.layers = 1
MLP.units = 9
ActorCritic.horizon = 3
train.task = 'catch'
train.precision = '32'
train.steps = 260
train.prefill = 60
train.pretrain = 2
train.steps_per_update = 7
train.batch_size = 2
train.sequence_length = 5
train.replay_capacity = 1000
train.log_every = 20
train.eval_every = 130
train.eval_episodes = 2
train.save_every = 130
train.seed = %d
"""


def _python(code, *arguments):
  done = subprocess.run(
      [sys.executable, '-c', code, *map(str, arguments)],
      capture_output=True, text=True,
  )
  assert done.returncode == 0, done.stderr[-2000:]


def _arrays(path):
  with np.load(path) as file:
    return [file[name] for name in file.files]


def _same(ones, others):
  return len(ones) == len(others) and all(
      np.array_equal(one, other)
      for one, other in zip(ones, others, strict=True)
  )


@pytest.mark.slow
@pytest.mark.parametrize('jit', ['off', 'on'], ids=['graph', 'xla'])
def test_a_hundred_updates_are_the_same_again(jit, tmp_path):
  for name in ('one', 'two'):
    _python(_AGENT, jit, 5, tmp_path / f'{name}.npz')
  one, two = (_arrays(tmp_path / f'{name}.npz') for name in ('one', 'two'))
  assert one[0].shape[0] == _UPDATES and np.isfinite(one[0]).all()
  assert len(one) > 20
  assert _same(one, two)


def _metrics(root):
  """Lines of a run without what the clock says."""
  lines = map(json.loads, (root / 'metrics.jsonl').read_text().splitlines())
  return [{k: v for k, v in line.items() if k != 'fps'} for line in lines]


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Whole runs in their folders: two of seed 3, then one of seed 4."""
  roots = [tmp_path_factory.mktemp('run') / str(seed) for seed in (3, 3, 4)]
  for root in roots:
    _python(_RUN, root, _TINY % int(root.name))
  return roots


@pytest.mark.slow
def test_a_whole_run_reports_the_same_numbers_again(runs):
  one, two, _ = map(_metrics, runs)
  assert len(one) > 8 and any('eval_return' in line for line in one)
  assert one == two


@pytest.mark.slow
def test_a_whole_run_plays_the_same_episodes_again(runs):
  one, two, _ = map(stored.columns, runs)
  # 260 steps, and a row between each of the 5 whole episodes of 45 steps and
  # the next.
  assert len(one[0]) == 260 + 260 // 45
  assert _same(one, two)


@pytest.mark.slow
def test_another_seed_is_another_run(runs):
  assert _metrics(runs[0]) != _metrics(runs[2])
  assert not _same(stored.columns(runs[0]), stored.columns(runs[2]))
