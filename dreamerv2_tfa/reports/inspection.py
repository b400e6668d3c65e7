"""A look at a task before training: what the agent will see, and faults."""

import collections
import contextlib
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.policies import random_tf_policy
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults as faults_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.networks import encoder as encoder_lib

_COMPARED = 60  # steps of the look at determinism
_DARK = 16  # of 255, that no pixel of a picture passes


class Report(NamedTuple):
  """What was found out about a task."""

  lines: list[str]  # lines
  faults: list[str]  # lines: what is wrong, and how to fix it


def inspect(name: str, *, steps: int = 300, seed: int = 0) -> Report:
  """Plays random steps of a task and reports what the agent would meet.

  Args:
    name: Name of the task.
    steps: Random steps.
    seed: Of the environment.

  Returns:
    `Report`.

  Raises:
    ValueError: If there is no such task, or it cannot be made.
  """
  steps = checks.integer('--steps', steps)
  task = tasks.load(name)
  with contextlib.ExitStack() as stack:
    environment = task.make(seed)
    stack.callback(batch.close, environment)
    return _look(task, environment, steps, seed)


def _look(task, environment, steps, seed):
  lines, faults = _specs(task, environment), []
  faults += _refusals(environment)
  adapted = batch.adapted(environment)
  faults += [] if adapted is None else adapted.warnings
  played = _play(environment, steps, faults)
  if played:
    lines += _episodes(played)
    faults += _time_step_faults(played)
    faults += _value_faults(environment, played)
    faults += _seed_faults(task, seed, min(steps, _COMPARED))
    lines.append('Determinism: ' + (
        'the same seed gives another episode.' if any(
            'seed' in fault for fault in faults)
        else f'two environments with one seed agree over {_COMPARED} steps.'))
  return Report(lines, faults)


def _specs(task, environment):
  """Lines about specs, encoders and memory."""
  observation = specs.flat_observation(environment.observation_spec())
  policy = _random(environment)
  repeat = task.action_repeat
  lines = [f'Task {task.name}: {repeat} environment frame{"s" * (repeat > 1)} '
           'an agent step.']
  try:
    encoder = encoder_lib.Encoder(observation)
    images, vectors = encoder.image_keys, encoder.vector_keys
  except ValueError:  # `_refusals` tells of it
    images, vectors = (), ()
  adapted = batch.adapted(environment)
  shown = {} if adapted is None else {
      part.key: f'{part.describe()}; as ' for part in adapted.parts}
  for key, spec in observation.items():
    reader = ('the convolutions' if key in images
              else 'the MLP' if key in vectors else 'no encoder')
    lines.append(
        f'Observation {key}: {shown.get(key, "")}{_describe(spec)}; read by '
        f'{reader}.')
  lines.append(f'Action: {_describe(environment.action_spec())}.')
  size = replay.required_bytes(policy.trajectory_spec, 1)  # pyright: ignore[reportArgumentType]
  lines.append(f'Memory: {size:,} bytes of replay an agent step.')
  return lines


def _describe(spec):
  text = f'{spec.dtype.name} {spec.shape.as_list()}'
  if hasattr(spec, 'minimum'):
    text += f' from {np.min(spec.minimum):g} to {np.max(spec.maximum):g}'
  return text


def _refusals(environment):
  """What the agent would refuse, in its own words, which say how to fix it."""
  faults = []
  for part in (
      lambda: specs.Actions(environment.action_spec()),
      lambda: encoder_lib.Encoder(
          specs.flat_observation(environment.observation_spec())),
  ):
    try:
      part()
    except ValueError as error:
      faults.append(str(error))
  return faults


def _random(environment):
  return random_tf_policy.RandomTFPolicy(
      environment.time_step_spec(), environment.action_spec()
  )


class _Played(NamedTuple):
  steps: list  # `TimeStep`s of numpy arrays, without the batch axis
  seconds: float


def _play(environment, steps, faults):
  """Random steps, or None where one could not be taken."""
  policy, played = _random(environment), []
  unbatched = lambda step: tf.nest.map_structure(lambda x: x.numpy()[0], step)
  start = time.monotonic()
  batch.end_at_first_failure(environment)
  try:
    with faults_lib.surfaced():
      time_step = environment.reset()
      played.append(unbatched(time_step))
      for _ in range(steps):
        time_step = environment.step(policy.action(time_step).action)
        played.append(unbatched(time_step))
  except faults_lib.EnvironmentFailed as error:
    faults.append(
        f'Step {len(played)} failed: {error.said}. Fix the environment '
        f'there:\n{error.trace}')
    return None
  except Exception as error:  # a refusal, or TensorFlow's
    faults.append(
        f'Step {len(played)} failed: {type(error).__name__}: {error} Fix the '
        'environment; its specs must be those of what it returns.')
    return None
  return _Played(played, time.monotonic() - start)


def _episodes(played):
  """Lines about episodes, rewards and speed."""
  steps = played.steps
  lasts = [step for step in steps if step.step_type == ts.StepType.LAST]
  ended = collections.Counter(float(step.discount) for step in lasts)
  died, cut = ended.pop(0.0, 0), ended.pop(1.0, 0)
  rewards = [float(step.reward) for step in steps]
  rate = (len(steps) - 1) / max(played.seconds, 1e-9)
  names = collections.Counter(int(step.step_type) for step in steps)
  return [
      f'Step types: {names[0]} FIRST, {names[1]} MID, {names[2]} LAST.',
      f'Ends of episodes: {died} terminations (discount 0), {cut} truncations '
      '(discount 1)' + (f', {ended} others' if ended else '') + '.'
      + ('' if lasts else ' None was reached: take more --steps.'),
      f'Rewards: from {min(rewards):g} to {max(rewards):g}.',
      f'Speed: {rate:,.0f} random steps a second, one environment.',
  ]


def _time_step_faults(played):
  """Faults of step types and discounts."""
  types = [int(step.step_type) for step in played.steps]
  pairs = set(zip(types, types[1:], strict=False))
  first, mid, last = 0, 1, 2
  faults = []
  if types[0] != first:
    faults.append('The reset gives no FIRST step. Return ts.restart(...).')
  if (last, mid) in pairs or (last, last) in pairs:
    faults.append(
        'An episode continues after its LAST step. Reset there: pass '
        'handle_auto_reset=True to PyEnvironment.')
  if (mid, first) in pairs or (first, first) in pairs:
    faults.append(
        'A FIRST step follows with no LAST before it, so the end of that '
        'episode is never learned. Return ts.termination or ts.truncation.')
  found = {
      float(step.discount) for step in played.steps
      if step.step_type != ts.StepType.LAST}
  if found - {1.0}:
    faults.append(
        f'Discounts within an episode are {sorted(found)}; wanted 1. Give '
        'the discount of the agent, DreamerV2Agent.discount, and leave 1 here.')
  ends = {
      float(step.discount) for step in played.steps
      if step.step_type == ts.StepType.LAST}
  if ends - {0.0, 1.0}:
    faults.append(
        f'Discounts at LAST steps are {sorted(ends)}; wanted 0 at a '
        'termination, 1 at a truncation.')
  return faults


def _value_faults(environment, played):
  """Faults of numbers: not finite, or out of the bounds of their specs."""
  faults = []
  rewards = np.array([step.reward for step in played.steps])
  if not np.isfinite(rewards).all():
    faults.append('A reward is not finite. Fix the reward.')
  flat = lambda step: list(
      specs.flat_observation(
          tf.nest.map_structure(tf.constant, step.observation)).values())
  columns = zip(*(flat(step) for step in played.steps), strict=True)
  observation = specs.flat_observation(environment.observation_spec())
  for (key, spec), column in zip(observation.items(), columns, strict=True):
    values = np.stack([part.numpy() for part in column])
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(
        values).all():
      faults.append(
          f'The observation {key!r} is not finite. Fix it, or leave it out '
          'with a pattern of keys.')
    elif hasattr(spec, 'minimum') and (
        (values < spec.minimum).any() or (values > spec.maximum).any()):
      faults.append(
          f'The observation {key!r} leaves the bounds of its spec: from '
          f'{values.min():g} to {values.max():g}, wanted '
          f'{np.min(spec.minimum):g} to {np.max(spec.maximum):g}. Widen the '
          'bounds, or clip.')
    elif spec.dtype == tf.uint8 and len(spec.shape) == 3 and (
        values.max() <= _DARK):
      faults.append(
          f'The picture {key!r} is dark: from {values.min()} to {values.max()} '
          f'of 255 in {len(values)} steps. If these are symbols, not grey '
          f"levels, set load_gym.numbers = '{key}'; else make it brighter.")
  return faults


def _seed_faults(task, seed, steps):
  """A fault where two environments with one seed differ."""
  episodes = []
  actions = None
  for _ in range(2):
    with contextlib.ExitStack() as stack:
      environment = task.make(seed)
      stack.callback(batch.close, environment)
      policy = _random(environment)
      time_step = environment.reset()
      if actions is None:
        actions = [policy.action(time_step).action for _ in range(steps)]
      episodes.append([time_step, *(environment.step(a) for a in actions)])
  for number, pair in enumerate(zip(*episodes, strict=True)):
    one, other = map(tf.nest.flatten, pair)
    if not all(
        np.array_equal(x, y, equal_nan=x.dtype.is_floating)
        for x, y in zip(one, other, strict=True)):
      return [
          f'With the same seed, step {number} differs. Take every random '
          'number from the seed that the factory is given.']
  return []
