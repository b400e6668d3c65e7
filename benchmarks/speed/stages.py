"""What one agent does, stage by stage, each with its limit beside it."""

import flops
import kernels
import loop
import measure
import numpy as np
import setting as setting_lib
import tensorflow as tf
from tf_agents.environments import batched_py_environment
from tf_agents.environments import tf_py_environment

from dreamerv2_tfa.behaviour import compiled_policy
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import replay as replay_lib

_UPDATES = 20  # of a measurement of the loop
_POLICY_STEPS = 200


class Updates:
  """The update of a setting, run on made-up data."""

  def __init__(self, setting):
    self._agent = setting.parts.agent
    self._batch = setting_lib.batch(setting)
    self.first = measure.seconds(self)

  def __call__(self):
    float(self._agent.train(self._batch).loss)  # waits for the device


def update(setting, repeat):
  """One update on made-up data, against a large matrix product.

  Returns:
    Dict for the report. `first_update_seconds` holds tracing, compiling and one
    run; `fraction_of_peak` is what the counted operations would take at the
    product's speed over what the update took.
  """
  updates, peak, samples = Updates(setting), measure.MatrixPeak(), []
  updates()
  for _ in range(repeat):
    peak.sample()
    samples.append(measure.seconds(updates))
  peak.sample()
  parts = flops.update(
      setting.parts.agent, setting.batch_size, setting.length)
  needed, taken = sum(parts.values()) / 1e9, measure.spread(samples)
  return {
      'seconds_per_update': taken['median'], 'spread': taken,
      'gflop_per_update': needed,
      'gflop_by_part': {key: value / 1e9 for key, value in parts.items()},
      'matrix_peak_gflops': peak.gflops,
      'fraction_of_peak': needed / taken['median'] / peak.gflops,
      'first_update_seconds': updates.first,
      'compile_seconds': updates.first - taken['median'],
      **kernels.counted(updates),
  }


class Steps:
  """The collect policy, fed numpy and giving numpy, its state kept."""

  def __init__(self, setting, batch_size):
    policy = setting.parts.agent.collect_policy
    self._policy = compiled_policy.CompiledPolicy(
        policy, batch_time_steps=False)
    self._time_step = setting_lib.observation(setting, batch_size)
    self._state = policy.get_initial_state(batch_size)
    self()

  def __call__(self):
    step = self._policy.action(self._time_step, self._state)
    self._state = step.state
    return step.action.numpy()


def policy(setting, repeat, batches):
  """One step of the collect policy at some batch sizes, against its weights.

  The limit is the time in which the memory copies as many bytes as the policy
  has weights: a step reads each of them once.
  """
  result, weights = {}, sum(
      variable.dtype.size * variable.shape.num_elements()
      for variable in setting.parts.agent.collect_policy.variables())
  limit = weights / measure.copy_bytes_per_second()
  for batch_size in batches:
    steps = Steps(setting, batch_size)
    taken = measure.spread([
        measure.seconds(steps) for _ in range(repeat * _POLICY_STEPS)])
    result[f'seconds_per_step_batch_{batch_size}'] = taken['median']
    result[f'spread_batch_{batch_size}'] = taken
    result[f'fraction_of_memory_limit_batch_{batch_size}'] = (
        limit / taken['median'])
  return result


def _collector(setting, buffer):
  parts = setting.parts
  return collection.Collector(
      parts.environment, parts.agent.collect_policy, buffer, parts.steps)


class Collection:
  """Random steps, `loop.ROWS` a call, into a replay memory of its own."""

  def __init__(self, setting):
    self._collector = _collector(setting, loop.buffer(setting))
    self._collector.prefill(100)

  def __call__(self):
    self._collector.prefill(loop.ROWS)


def _bare(environment, calls):
  """A function that takes random steps in the environment, and nothing else.

  That is the Python environment itself where there is one, and otherwise the
  TensorFlow environment's steps as one graph.
  """
  if isinstance(environment, tf_py_environment.TFPyEnvironment):
    return _bare_python(environment.pyenv, calls)
  action = tf.zeros(
      [environment.batch_size] + environment.action_spec().shape.as_list(),
      environment.action_spec().dtype)

  def steps():
    for _ in tf.range(calls):
      environment.step(action)

  return tf.function(steps)


def _bare_python(python, calls):
  if (isinstance(python, batched_py_environment.BatchedPyEnvironment)
      and len(python.envs) == 1):
    python = python.envs[0]
  rng, spec = np.random.default_rng(0), python.action_spec()
  shape = ([python.batch_size] if python.batched else []) + list(spec.shape)
  if np.issubdtype(spec.dtype, np.integer):
    draw = lambda: rng.integers(
        spec.minimum, spec.maximum, shape, spec.dtype, endpoint=True)
  else:
    draw = lambda: rng.uniform(
        spec.minimum, spec.maximum, shape).astype(spec.dtype)
  return lambda: [python.step(draw()) for _ in range(calls)]


def collect(setting, repeat):
  """Random steps into the replay memory, against the bare environment."""
  environment = setting.parts.environment
  steps = Collection(setting)
  bare = _bare(environment, loop.ROWS // environment.batch_size)
  bare()
  ours, limits = [], []
  for _ in range(repeat):
    ours.append(measure.seconds(steps) / loop.ROWS)
    limits.append(measure.seconds(bare) / loop.ROWS)
  return {
      'steps_per_second': float(1 / np.median(ours)),
      'bare_steps_per_second': float(1 / np.median(limits)),
      'fraction_of_bare': float(np.median(np.divide(limits, ours))),
      'spread': measure.spread(ours), 'bare_spread': measure.spread(limits),
  }


def replay(setting, repeat):
  """A training batch out of the replay memory, against a copy of its bytes."""
  buffer = loop.buffer(setting)
  _collector(setting, buffer).prefill(2 * (setting.length + 1))
  samples = replay_lib.Samples(
      buffer, setting.batch_size, setting.length, seed=0)
  batch = samples.next()

  def draw():
    for part in tf.nest.flatten(samples.next()):
      part.numpy()
    samples.settle()

  draw()
  taken = measure.spread([measure.seconds(draw) for _ in range(20 * repeat)])
  size = sum(part.dtype.size * part.shape.num_elements()
             for part in tf.nest.flatten(batch))
  limit = size / measure.copy_bytes_per_second()
  updates = Updates(setting)
  update_seconds = measure.spread(
      [measure.seconds(updates) for _ in range(repeat)])['median']
  spec = setting.parts.agent.collect_data_spec
  return {
      'seconds_per_batch': taken['median'], 'spread': taken,
      'bytes_per_batch': size, 'fraction_of_copy': limit / taken['median'],
      'bytes_per_step': replay_lib.required_bytes(spec, 1),
      'seconds_per_update': update_seconds,
      'fraction_of_update': taken['median'] / update_seconds,
  }


def train(setting, repeat, simulated):
  """Collection and updates, in turn and beside each other, and each alone.

  Returns:
    Dict for the report; `fraction_outside` is the time in turn that was neither
    the update's nor the bare environment's.
  """
  environment, steps = setting.parts.environment, setting.steps_per_update
  result = loop.compare(setting, repeat, simulated, _UPDATES)
  bare = _bare(environment, -(-steps // environment.batch_size))
  bare()
  taken = measure.spread(
      [measure.seconds(bare) for _ in range(_UPDATES * repeat)])['median']
  apart = result['seconds_update'] + taken
  mine = 'beside' if setting.overlap else 'apart'  # by train.overlap
  frames = steps * setting.parts.task.action_repeat
  return {
      'seconds_per_loop': result[f'seconds_{mine}'],
      'steps_per_loop': steps, 'simulated_ms': {
          name: 1e3 * value for name, value in simulated._asdict().items()
          if value is not None},
      **result,
      'frames_per_second_apart': frames / result['seconds_apart'],
      'frames_per_second_beside': frames / result['seconds_beside'],
      'seconds_of_update_and_environment': apart,
      'fraction_outside': 1 - apart / result['seconds_apart'],
  }
