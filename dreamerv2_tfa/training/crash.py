"""An update whose numbers are not finite: kept in `crash/`, and run again."""

import json
import math
import os
import re
import shlex
import shutil
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.metrics import tf_metrics
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import optimizers
from dreamerv2_tfa import quiet
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import surroundings

_BATCH, _RECORD, _BEFORE = 'batch.npz', 'crash.json', 'before'
_OPERATION = re.compile(r'!!! (Detected .*?) !!!')
# TensorFlow marks the frames that are not its own with an arrow.
_FRAME = re.compile(r'\+ (\S+) \(L(\d+)\) (\S+)\n -> \|')
_SHOWN = 4  # frames


class Guard:
  """Sees to it that a run stops at the first update that is not finite.

  Under loss scaling an update that overflows is expected: its step is skipped
  and the scale halved. It ends the run only once no scale can be smaller.
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent,
      steps: tf_metrics.EnvironmentSteps, folder: runs.RunFolder,
      batch_size: int, sequence_length: int, record: dict[str, Any],
  ):
    """Makes room for a batch, and a copy of all that an update changes.

    Args:
      agent: Of the run.
      steps: Agent steps of the run.
      folder: Of the run.
      batch_size: B.
      sequence_length: T.
      record: What `crash.json` says besides.
    """
    self._agent, self._steps = agent, steps
    self._folder, self._more = folder, record
    self._optimizers = optimizers_of(agent)
    self._scales = any(x.loss_scale is not None for x in self._optimizers)
    self._variables = [] if self._scales else updated(agent)
    self._copies = [
        tf.Variable(variable, trainable=False) for variable in self._variables
    ]
    with tf.device('/cpu:0'):
      self._batch = tf.nest.map_structure(
          lambda spec: tf.Variable(tf.zeros(
              [batch_size, sequence_length + 1, *spec.shape], spec.dtype
          ), trainable=False), agent.collect_data_spec,
      )

  def copy(self, batch: trajectory.Trajectory) -> None:
    """Copies an update's batch, and what it changes; for use in a graph.

    In variables: a function that returns tensors leaves 50 bytes of each behind
    (benchmarks/NOTES.md, memory).

    Args:
      batch: `[B, T + 1, ...]`.
    """
    tf.nest.map_structure(lambda x, new: x.assign(new), self._batch, batch)
    for copy, variable in zip(self._copies, self._variables, strict=True):
      copy.assign(variable)

  def look(self, numbers: dict[str, float]) -> None:
    """Writes `crash/` and ends the run, unless a smaller scale may help.

    Args:
      numbers: Metrics of the last update; one of them is not finite.

    Raises:
      FloatingPointError: If the run ends.
    """
    names = not_finite(numbers)
    scales = [x.loss_scale for x in self._optimizers]
    if not names or (self._scales and min(scales) > 1.0):  # pyright: ignore[reportArgumentType]
      return
    for copy, variable in zip(self._copies, self._variables, strict=True):
      variable.assign(copy)
    update = int(self._agent.train_step_counter.numpy()) + 1
    self._write({
        'update': update, 'not_finite': names, **self._more,
        'numbers': {name: repr(value) for name, value in numbers.items()},
    })
    root = shlex.quote(str(self._folder.root))
    raise FloatingPointError(
        f'Update {update:,} is not finite ({", ".join(names)}). It was not '
        f'applied, nor is it saved. {self._folder.crash} has its batch and the '
        'weights before it; this names its first operation that is not '
        f'finite: bin/train --root_dir={root} --replay_crash'
    )

  def _write(self, record):
    """Writes `crash/`, in the place of an older one."""
    final = self._folder.crash
    fresh = final.with_name(f'{final.name}.new')
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    columns = [np.asarray(x) for x in tf.nest.flatten(self._batch)]
    np.savez_compressed(
        fresh / _BATCH, **{str(i): column for i, column in enumerate(columns)}
    )
    (fresh / _RECORD).write_text(json.dumps(record, indent=2) + '\n', 'utf-8')
    before = tf.train.Checkpoint(agent=self._agent, steps=self._steps)
    before.save_counter.assign_add(1)  # which a restore looks for
    before.write(str(fresh / _BEFORE))
    durable.replace(fresh, final)

  def report(self, updates: int) -> dict[str, float]:
    """Under loss scaling, `skipped_updates`: steps that were not taken.

    Args:
      updates: Of the whole run.
    """
    if not self._scales:
      return {}
    taken = [int(each.iterations.numpy()) for each in self._optimizers]
    return {'skipped_updates': float(max(
        updates - count for count in taken if count or not updates
    ))} if any(taken) else {}

  @property
  def at_floor(self) -> list[str]:
    """Names of the optimizers whose loss scale is the smallest there is."""
    return [
        each.name for each in self._optimizers if each.loss_scale == 1.0
    ]

  def check_weights(self) -> None:
    """Refuses to save weights that are not finite.

    Raises:
      FloatingPointError: If a variable of the agent holds such a number.
    """
    bad = [
        variable.name for variable in updated(self._agent)
        if variable.dtype.is_floating
        and not bool(tf.reduce_all(tf.math.is_finite(variable)))
    ]
    if bad:
      raise FloatingPointError(
          f'{len(bad)} variables of the agent are not finite, {bad[0]} among '
          'them; nothing was saved, and the last save is whole. The same '
          'command resumes from it.'
      )


def optimizers_of(
    agent: agent_lib.DreamerV2Agent,
) -> list[optimizers.Optimizer]:
  """The optimizers of all parts of an agent."""
  return [
      part for part in agent.submodules
      if isinstance(part, optimizers.Optimizer)
  ]


def updated(agent: agent_lib.DreamerV2Agent) -> list[tf.Variable]:
  """Every variable that an update may change, and a few that it does not."""
  found = [*agent.variables, *(
      variable for each in optimizers_of(agent) for variable in each.slots)]
  return list({id(variable): variable for variable in found}.values())


def not_finite(numbers: dict[str, float]) -> list[str]:
  """Names of losses and norms of gradients that are not finite, sorted."""
  return sorted(
      name for name, value in numbers.items() if not math.isfinite(value)
      and (name == 'loss' or name.endswith(('_loss', '_grad_norm')))
  )


@quiet.libraries()
@config.isolated()
@surroundings.kept()
def replay(root_dir: str | os.PathLike) -> list[str]:
  """Runs the update in `crash/` of a run again; writes nothing.

  First as it ran, then with TensorFlow's check of every operation.

  Args:
    root_dir: The run's folder.

  Returns:
    Lines that say what was found.

  Raises:
    ValueError: If the run has no `crash/`, or a file of it is damaged.
  """
  folder = runs.RunFolder(root_dir, '--root_dir')
  record = _read_record(folder)
  there = protocol.wanted(folder.protocol)
  config.parse_recorded(folder.config)
  agent = _agent(folder, there)
  batch = _read_batch(folder, agent)
  info = agent.train(batch)
  numbers = {'loss': info.loss, **info.extra}
  found = {name: repr(float(value)) for name, value in numbers.items()}
  bad = not_finite({name: float(text) for name, text in found.items()})
  lines = [
      f'Update {record["update"]:,} of {folder.root}: not finite are '
      f'{", ".join(record["not_finite"])}.',
      'Run again, it gives the same numbers to the last bit.'
      if found == record['numbers'] else
      'Run again here, it gives other numbers: not finite are '
      f'{", ".join(bad) or "none"}.',
  ]
  if record.get('replicas', 1) != 1:
    lines.append(
        f'It ran on {record["replicas"]} replicas, each with noise and a share '
        "of the batch of its own; this is the first process's share, on one.")
  return lines + _first_operation(folder, there, batch)


def _agent(folder, there):
  return runs.restore(folder, str(folder.crash / _BEFORE), there)


def _first_operation(folder, there, batch):
  """Lines about the first operation that is not finite, without XLA."""
  config.bind('DreamerV2Agent.jit', 'off')
  tf.debugging.enable_check_numerics()
  try:
    _agent(folder, there).train(batch)
  except tf.errors.InvalidArgumentError as error:
    said = _OPERATION.search(error.message)
    frames = [
        f'  {path}:{line} in {name}'
        for path, line, name in _FRAME.findall(error.message)
        if 'packages/' not in path
    ]
    return [
        f'The first one: {said[1] if said else error.message}, made by',
        *frames[-_SHOWN:],
    ]
  finally:
    tf.debugging.disable_check_numerics()
  return ['Without XLA every operation is finite.']


def _read_record(folder):
  path = folder.crash / _RECORD
  if not path.exists():
    raise checks.UserError(
        f'{folder.root} has no {folder.crash.name}/: no update of the run was '
        'stopped. Give the --root_dir of a run that was.'
    )
  try:
    record = reading.parsed(reading.text(path))
    if missing := {'update', 'not_finite', 'numbers'} - set(record):
      raise ValueError(f'it lacks {", ".join(sorted(missing))}')
  except (OSError, ValueError, TypeError) as error:
    raise ValueError(f'{path} is damaged ({error}). Put it back.') from error
  return record


def _read_batch(folder, agent):
  path, spec = folder.crash / _BATCH, agent.collect_data_spec
  try:
    arrays = reading.arrays(path)
    columns = [arrays[str(i)] for i in range(len(arrays))]
    batch = tf.nest.pack_sequence_as(spec, columns)
  except (OSError, ValueError, KeyError) as error:
    raise ValueError(f'{path} is damaged ({error}). Put it back.') from error
  return tf.nest.map_structure(
      lambda column, part: tf.constant(column, part.dtype), batch, spec
  )
