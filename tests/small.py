"""Tiny agents and batches that tests share, and numpy twins of the layers."""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import gin
import numpy as np
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import agent

B, T, H = 2, 5, 3  # sequences, model steps, horizon
SIZES = (
    'RSSM.deter = 8', 'RSSM.hidden = 7', 'RSSM.stoch = 3', 'RSSM.classes = 4',
    'Encoder.depth = 2', 'Decoder.depth = 2', 'MLP.layers = 1',
    'MLP.units = 9', f'ActorCritic.horizon = {H}',
)
VECTORS = {
    'position': tf.TensorSpec([3], tf.float32),
    'speed': tf.TensorSpec([], tf.float32),
}
IMAGE = {'image': tensor_spec.BoundedTensorSpec((64, 64, 1), tf.uint8, 0, 255)}
DISCRETE = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 5)
# A box whose sides and middle all differ from those of [-1, 1].
BOX = tensor_spec.BoundedTensorSpec(
    (6,), tf.float32,
    [-3.0, 0.5, -1.0, -1.0, 0.0, 10.0], [1.0, 1.5, 1.0, 2.0, 1.0, 12.0],
)
A = 6  # of both


_LEFT = """
import dreamerv2_tfa  # before TensorFlow, which chooses Keras
import gc
import tracemalloc

{program}

function()
tracemalloc.start()
before, _ = tracemalloc.get_traced_memory()
for _ in range(100):
  function()
gc.collect()
after, _ = tracemalloc.get_traced_memory()
print((after - before) / 100)
"""


def bytes_left(program, *folders):
  """Bytes of memory that a call of `function()` leaves behind: float.

  In a process of its own: threads that other tests have begun allocate too.

  Args:
    program: Defines `function`; a first call of it is not measured.
    *folders: Below `tests`: where `program` imports from, beside `small`.
  """
  tests = pathlib.Path(__file__).parent
  path = map(str, (tests, tests.parent, *(tests / name for name in folders)))
  said = subprocess.run(
      [sys.executable, '-c', _LEFT.format(program=program)], check=True,
      capture_output=True, text=True,
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(path)}).stdout
  return float(said.split()[-1])


@contextlib.contextmanager
def configured(*bindings, precision='float32'):
  """Small sizes, then `bindings`; leaves gin and Keras as new."""
  policies = tf.keras.mixed_precision
  gin.clear_config()
  gin.parse_config(list(SIZES + bindings))
  policies.set_global_policy(precision)
  try:
    yield
  finally:
    gin.clear_config()
    policies.set_global_policy('float32')


def make_agent(
    *bindings, action=DISCRETE, observation=None, precision='float32', **kwargs
):
  """A `DreamerV2Agent` that sees VECTORS unless told otherwise."""
  with configured(*bindings, precision=precision):
    time_steps = ts.time_step_spec(
        VECTORS if observation is None else observation
    )
    made = agent.DreamerV2Agent(time_steps, action, **kwargs)
  # Not by Keras' seed: setting it makes TensorFlow optimise all graphs anew.
  rng = np.random.default_rng(0)
  for module in (made.world_model, made.actor_critic):
    for kernel in module.trainable_variables:
      if kernel.shape.rank > 1:
        limit = np.sqrt(6.0 / (kernel.shape[-2] + kernel.shape[-1]))
        kernel.assign(rng.uniform(-limit, limit, kernel.shape))
  return made


def make_batch(agent, seed=0, rows=T + 1):
  """A `Trajectory` `[B, rows]`; its first sequence spans two episodes.

    sequence 0   MID   MID  LAST FIRST MID ...   discount 0 into LAST
    sequence 1   FIRST MID  MID  MID   MID ...
  """
  rng = np.random.default_rng(seed)
  types = np.ones([B, rows + 1], np.int32)
  types[0, 2:4] = [ts.StepType.LAST, ts.StepType.FIRST]
  types[1, 0] = ts.StepType.FIRST
  discount = np.ones([B, rows], np.float32)
  discount[0, 1] = 0.0
  draw = lambda spec: _draw(rng, spec, [B, rows])
  spec = agent.collect_data_spec
  return trajectory.Trajectory(
      step_type=tf.constant(types[:, :-1]),
      observation=tf.nest.map_structure(draw, spec.observation),
      action=draw(spec.action),
      policy_info=(),
      next_step_type=tf.constant(types[:, 1:]),
      reward=tf.constant(rng.normal(size=[B, rows]), tf.float32),
      discount=tf.constant(discount),
  )


def _draw(rng, spec, outer):
  shape = outer + spec.shape.as_list()
  if spec.dtype.is_integer:
    value = rng.integers(spec.minimum, spec.maximum, shape, endpoint=True)
  elif hasattr(spec, 'minimum'):
    value = rng.uniform(spec.minimum, spec.maximum, shape)
  else:
    value = rng.normal(size=shape)
  return tf.constant(value, spec.dtype)


def randomise(module, seed=0, scale=0.5):
  """Gives every weight of a module another value: biases and gains too."""
  rng = np.random.default_rng(seed)
  for variable in module.trainable_variables:
    variable.assign(rng.normal(scale=scale, size=variable.shape))


def values(module):
  """Copies of all variables of a `tf.Module`, in order."""
  return [variable.numpy() for variable in module.variables]


def checkpoint(agent):
  """All that a checkpoint of the agent holds, slots and random state too."""
  with tempfile.TemporaryDirectory() as folder:
    path = tf.train.Checkpoint(agent=agent).write(f'{folder}/all')
    reader = tf.train.load_checkpoint(path)
    names = sorted(reader.get_variable_to_shape_map())
    arrays = [reader.get_tensor(name) for name in names]
  return [x for x in arrays if isinstance(x, np.ndarray | np.generic)]


def same(ones, others):
  """Whether two lists of arrays are equal to the last bit."""
  return all(
      np.array_equal(one, other)
      for one, other in zip(ones, others, strict=True)
  )


# Numpy twins, in float64. Each takes the module for its weights alone.


def sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
  exp = np.exp(x - x.max(-1, keepdims=True))
  return exp / exp.sum(-1, keepdims=True)


def elu(x):
  return np.where(x > 0, x, np.exp(np.minimum(x, 0.0)) - 1.0)


def dense(layer, x):
  x = np.asarray(x, np.float64)
  return x @ layer.kernel.numpy().astype(np.float64) + layer.bias.numpy()


def layer_norm(layer, x):
  mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  normed = (x - mean) / np.sqrt(variance + 1e-3)
  return normed * layer.gamma.numpy() + layer.beta.numpy()


def hidden(module, x):
  x = dense(module._layer, x)
  if hasattr(module._norm, 'gamma'):
    x = layer_norm(module._norm, x)
  return elu(x)


def mlp(module, x):
  for layer in module._hidden:
    x = hidden(layer, x)
  return x


def head(module, x):
  """The numbers of a head with one output: MLP, then a linear layer."""
  return dense(module._output._dense, mlp(module._mlp, x))
