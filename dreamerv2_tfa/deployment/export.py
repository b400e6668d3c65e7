"""Writes an agent's policy for those who do not have this package."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.deployment import convert
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import model
from dreamerv2_tfa.deployment import play
from dreamerv2_tfa.deployment import run as run_lib
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import surroundings

FORMATS = ('saved_model', 'tflite', 'onnx')
_TOLERANCE = 1e-5  # of actions and states, where another runtime computes
_SEED = 0  # of the latents of the episodes that are compared
_REPLAY = pathlib.Path(__file__).with_name('replay.py')


@surroundings.kept()
@config.isolated()
@faults.surfaced()
def export(root_dir, out, form='saved_model', task=None):
  """Writes a run's greedy policy and checks it against the agent.

  Args:
    root_dir: Path of the run's folder.
    out: Path of the folder to write; new or empty.
    form: 'saved_model', which draws latents as the agent does, or 'tflite' or
      'onnx', which take their mode and add no action noise.
    task: Name of a task to play, see `run.load`.

  Returns:
    What the check found, see `verify`.

  Raises:
    ValueError: If there is no run, the folder is not empty, the format cannot
      hold the policy, or the check fails.
  """
  checks.choice('--format', form, FORMATS)
  out = checks.folder('--out', out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ValueError(
        f'{out} exists and is not an empty folder. Give another one, or remove '
        'it: --out=DIR.'
    )
  if form == 'onnx':
    convert.check_onnx()
  run = run_lib.load(root_dir, task, _precision(form))
  # Written aside, so that a failure leaves nothing that looks like an export.
  out.parent.mkdir(parents=True, exist_ok=True)
  aside = pathlib.Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
  try:
    write(
        run.agent, form, aside, run.described,
        _observation_parts(run.environment),
    )
    found = compare(
        run.agent, run.environment, aside
    )
    if _precision(form) and run.described['precision'] != 'float32':
      found['rounding'] = _rounding(run, root_dir, task, form)
    aside.chmod(0o755)
    if out.exists():
      out.rmdir()
    aside.rename(out)
  finally:
    shutil.rmtree(aside, ignore_errors=True)
    batch.close(run.environment)
  return found


def _precision(form):
  """What a format computes in: '32', or None where it is the run's."""
  return None if form == 'saved_model' else '32'


def _rounding(run, root_dir, task, form):
  """How far the run, in its own precision, acts from its export in float32.

  Returns:
    Dict: `precision` of the run, `differ`, how many actions are not the same,
    and `largest`, the greatest difference.
  """
  record = play.record(
      run.environment, _policy(run.agent, form),
      seed=_SEED,
  )
  own = run_lib.load(root_dir, task)
  try:
    actions = play.follow(_policy(own.agent, form), record)
  finally:
    batch.close(own.environment)
  gaps = np.abs(np.float64(actions) - np.float64(record['action']))
  axes = tuple(range(1, gaps.ndim))
  return {
      'precision': run.described['precision'],
      'differ': int(np.sum(gaps.max(axis=axes, initial=0.0) > 0.0)),
      'largest': float(gaps.max()),
  }


def _observation_parts(environment):
  """How an environment's observation is read, or None."""
  adapted = batch.adapted(environment)
  return None if adapted is None else adapted.parts


def write(agent, form, folder, facts, parts=None):
  """Writes the files of a format, `policy.json` among them.

  Args:
    agent: `DreamerV2Agent`.
    form: One of `FORMATS`.
    folder: Path of an empty folder.
    facts: Dict, what else `policy.json` shall say.
    parts: List of `observations.Part`: how the environment's observation is
      read. None: it is the agent's own.

  Raises:
    ValueError: If the format cannot hold the policy.
  """
  if form == 'saved_model':
    module, signatures = model.saveable(agent, parts)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    functions = model.Functions(agent, agent.policy, parts)
    described = manifest.describe(
        functions, signatures['action'].structured_outputs
    )
  else:
    described = convert.write(
        agent, _policy(agent, form), form, folder, parts
    )
  manifest.write(folder, {'format': form, **facts, **described})


def _policy(agent, form):
  """The policy that a format holds."""
  if form == 'saved_model':
    return agent.policy
  return policy_lib.DreamerPolicy(
      agent.time_step_spec, agent.action_spec, agent.world_model,
      agent.actor_critic.actor, greedy=True, mode_latent=True,
  )


@surroundings.kept()
@config.isolated()
@faults.surfaced()
def verify(root_dir, out, task=None):
  """Plays with the run's agent and, in a fresh process, with the export.

  Args:
    root_dir: Path of the run's folder.
    out: Path of the export.
    task: Name of a task to play, see `run.load`.

  Returns:
    Dict: `steps` and `episodes` played, `differ`, arrays that are not equal to
    the last bit, `largest`, the greatest difference.

  Raises:
    ValueError: If an action differs (from a SavedModel in any bit, from
      another format by more than 1e-5), or a file is not what was exported, or
      the run has trained on since.
  """
  facts = manifest.read(out)
  manifest.check_files(out, facts)
  run = run_lib.load(root_dir, task, _precision(facts['format']))
  try:
    for key in ('task', 'updates'):
      if facts[key] != run.described[key]:
        raise ValueError(
            f'{out} was exported from a run with {key} {facts[key]}, and the '
            f'one in {root_dir} has {key} {run.described[key]}. Give that run, or '
            'export again.'
        )
    return compare(run.agent, run.environment, out)
  finally:
    batch.close(run.environment)


def compare(agent, environment, folder):
  """Lets an agent play, and its export the same in a fresh process.

  Args:
    agent: `DreamerV2Agent`.
    environment: `TFEnvironment` of one environment.
    folder: Path of the export.

  Returns:
    Dict, see `verify`.

  Raises:
    ValueError: If they differ, or the export does not run.
  """
  facts = manifest.read(folder)
  form = facts['format']
  record = play.record(environment, _policy(agent, form), seed=_SEED)
  with tempfile.TemporaryDirectory() as temporary:
    path = pathlib.Path(temporary) / 'record.npz'
    np.savez(path, **record)
    process = subprocess.run(
        [sys.executable, '-I', str(_REPLAY), str(folder), str(path)],
        capture_output=True, text=True, check=False,
    )
  if process.returncode:
    raise ValueError(
        f'The export in {folder} cannot be run without this package: '
        f'{process.stderr.strip()[-1000:]}'
    )
  found = json.loads(process.stdout.splitlines()[-1])
  exact = form == 'saved_model'
  if found['differ'] if exact else not found['largest'] <= _TOLERANCE:
    raise ValueError(
        f'The export in {folder} does not act as the agent does: in '
        f'{found["steps"]} steps {found["differ"]} arrays differ, by up to '
        f'{found["largest"]}. Please report it.'
    )
  return {**found, 'by_client': facts.get('by_client', [])}
