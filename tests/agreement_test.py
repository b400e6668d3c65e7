"""The update line by line, as a graph and under XLA: the same numbers.

Agreement is asked of losses, metrics and the change of every weight over two
updates from one seed. Compilers reorder sums and fuse roundings away, so each
precision has the tolerance that its mantissa allows: float32 24 bits, float16
11, bfloat16 8. Samples agree to the bit, or they would spoil all else.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import devices

# Relative and absolute for losses and metrics; then the distance between two
# changes of all weights, as a share of their length. Found of the last: 1e-6,
# 0.05, 4e-3; 0.021 on a processor with instructions for float16. Adam makes
# whole steps of gradients that are next to nothing.
TOLERANCES = {
    'float32': (1e-5, 1e-6, 2e-5),
    'mixed_bfloat16': (0.05, 0.01, 0.15),
    'mixed_float16': (0.01, 1e-3, 0.025),
}
ACTIONS = {'discrete': small.DISCRETE, 'continuous': small.BOX}
SLOW = pytest.mark.slow
CASES = [
    pytest.param(how, precision, kind, marks=() if quick else SLOW)
    for precision in TOLERANCES for kind in ACTIONS for how in ('eager', 'xla')
    for quick in [(how, precision, kind) == ('eager', 'float32', 'discrete')]
]


class Run(NamedTuple):
  """Two updates: what they reported and what they changed."""
  agent: agent_lib.DreamerV2Agent
  metrics: list  # a dict of floats an update
  change: np.ndarray  # of all weights, in one row


@functools.cache
def run(how, precision, kind, like=None):
  """Trains a new agent 'eager', as a 'graph' or under 'xla'.

  Its latents are those with which the precision `like`, or its own, is tested.
  """
  # In 8 or 11 bits a class may win in one compiler and lose in the other, and
  # one class changes everything after it; a Gaussian latent moves a little.
  full = (like or precision) == 'float32'
  latents = () if full else ('RSSM.classes = 0',)
  agent = small.make_agent(
      *latents, action=ACTIONS[kind], precision=precision,
      jit='on' if how == 'xla' else 'off',
      model_learning_rate=1e-2, actor_learning_rate=1e-2,
      critic_learning_rate=1e-2,
  )
  before = trained_weights(agent)
  metrics = []
  tf.config.run_functions_eagerly(how == 'eager')
  for i in range(2):
    info = agent.train(small.make_batch(agent, seed=i))
    metrics.append({k: float(v) for k, v in info.extra.items()})
    metrics[-1]['loss'] = float(info.loss)
  tf.config.run_functions_eagerly(False)
  return Run(agent, metrics, trained_weights(agent) - before)


def trained_weights(agent):
  """All in one row."""
  behaviour = agent.actor_critic
  parts = (agent.world_model, behaviour.actor, behaviour.critic)
  values = sum(map(small.values, parts), [])
  return np.concatenate([np.ravel(x) for x in values])


@pytest.mark.parametrize('how, precision, kind', CASES)
def test_losses_and_metrics_are_those_of_the_graph(how, precision, kind):
  rtol, atol, _ = TOLERANCES[precision]
  ours = run(how, precision, kind).metrics
  graph = run('graph', precision, kind).metrics
  for one, two in zip(ours, graph, strict=True):
    assert one.keys() == two.keys()
    for name, value in two.items():
      np.testing.assert_allclose(
          one[name], value, rtol=rtol, atol=atol, err_msg=name
      )


@pytest.mark.parametrize('how, precision, kind', CASES)
def test_updated_weights_are_those_of_the_graph(how, precision, kind):
  *_, share = TOLERANCES[precision]
  ours = run(how, precision, kind).change
  graph = run('graph', precision, kind).change
  length = np.linalg.norm(graph)
  assert length > 0.1
  assert np.linalg.norm(ours - graph) < share * length


@pytest.mark.parametrize('how, kind', [
    ('graph', 'discrete'),
    *(pytest.param('xla', kind, marks=SLOW) for kind in ACTIONS),
])
def test_the_update_is_compiled_once_for_batches_of_one_shape(how, kind):
  update = run(how, 'float32', kind).agent._compiled_update
  assert update.experimental_get_tracing_count() == 1


@pytest.mark.parametrize('how, compiled', [
    ('graph', False), pytest.param('xla', True, marks=SLOW),
])
def test_xla_compiles_the_update_where_it_should(how, compiled):
  agent = run(how, 'float32', 'discrete').agent
  inputs = agent._inputs(small.make_batch(agent), None)
  update = agent._compiled_update.get_concrete_function(*inputs)
  attributes = update.function_def.attr
  assert attributes['_XlaMustCompile'].b == compiled


def test_auto_takes_xla_where_there_is_a_gpu():
  has_gpu = bool(tf.config.list_physical_devices('GPU'))
  assert devices.resolve('DreamerV2Agent.jit', 'auto') == has_gpu


@SLOW
@pytest.mark.parametrize('precision', ['mixed_bfloat16', 'mixed_float16'])
def test_low_precision_is_near_float32(precision):
  """In the first update's losses: the same weights and noise, rounded."""
  ours = run('graph', precision, 'discrete').metrics[0]
  full = run('graph', 'float32', 'discrete', precision).metrics[0]
  rtol, atol, _ = TOLERANCES[precision]
  for name in ('model_loss', 'reward_loss', 'discount_loss'):
    np.testing.assert_allclose(ours[name], full[name], rtol=rtol, atol=atol)
