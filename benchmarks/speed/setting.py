"""The agent, task and data that the flags of `bin/train` describe."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import specs
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import settings as settings_lib


class Setting(NamedTuple):
  """What is measured."""

  parts: parts_lib.Parts
  batch_size: int
  length: int
  steps_per_update: int
  overlap: bool
  described: dict  # preset, task, sizes, precision: for the report


def make():
  """Builds what the command line asks for: a `Setting`."""
  presets = configuration.parse()
  settings = settings_lib.read()
  parts = parts_lib.build(settings)
  batch_size, length = settings.batch_size, settings.sequence_length
  described = dict(
      presets=presets, task=parts.task.name, precision=parts.precision,
      batch_size=batch_size, sequence_length=length,
      actions=_actions(parts.agent.action_spec),
      parameters=protocol.parameter_counts(parts.agent))
  return Setting(
      parts, batch_size, length, settings.timetable.steps_per_update,
      settings.overlap, described)


def _actions(spec):
  if spec.dtype.is_integer:
    return {'discrete': specs.Actions(spec).size}
  return {'box': spec.shape.as_list()}


def batch(setting, seed=0):
  """A made-up `Trajectory` `[B, T + 1, ...]`, in the middle of an episode."""
  rng = np.random.default_rng(seed)
  outer = [setting.batch_size, setting.length + 1]
  spec = setting.parts.agent.collect_data_spec
  middle = tf.fill(outer, ts.StepType.MID)
  draw = lambda part: tf.constant(_draw(rng, part, outer), part.dtype)
  return trajectory.Trajectory(
      step_type=middle, next_step_type=middle, policy_info=(),
      observation=tf.nest.map_structure(draw, spec.observation),
      action=draw(spec.action), discount=tf.ones(outer),
      reward=tf.constant(rng.normal(size=outer), tf.float32))


def observation(setting, batch_size, seed=0):
  """A made-up `TimeStep` `[B, ...]` of numpy arrays."""
  rng = np.random.default_rng(seed)
  spec = setting.parts.agent.time_step_spec.observation
  draw = lambda part: _draw(rng, part, [batch_size]).astype(
      part.dtype.as_numpy_dtype)
  return ts.TimeStep(
      np.full([batch_size], ts.StepType.MID),
      np.zeros([batch_size], np.float32), np.ones([batch_size], np.float32),
      tf.nest.map_structure(draw, spec))


def _draw(rng, spec, outer):
  shape = outer + spec.shape.as_list()
  if spec.dtype.is_integer:
    return rng.integers(spec.minimum, spec.maximum, shape, endpoint=True)
  if hasattr(spec, 'minimum') and np.isfinite(spec.maximum).all():
    return rng.uniform(spec.minimum, spec.maximum, shape)
  return rng.normal(size=shape)
