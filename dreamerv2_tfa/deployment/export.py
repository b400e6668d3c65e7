"""Writes an agent's policy for those who do not have this package."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from tf_agents.environments import tf_environment

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.deployment import formats
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import recording
from dreamerv2_tfa.deployment import run as run_lib
from dreamerv2_tfa.deployment import trust
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import surroundings

_TOLERANCE = 1e-5  # of actions and states, where another runtime computes
_SEED = 0  # of the latents of the episodes that are compared
_PLAYER = pathlib.Path(__file__).with_name('player.py')


@surroundings.kept()
@config.isolated()
@faults.surfaced()
def export(
    root_dir: str | os.PathLike, out: str | os.PathLike,
    form: str = 'saved_model', task: str | None = None,
) -> dict[str, Any]:
  """Writes a run's greedy policy and checks it against the agent.

  Args:
    root_dir: The run's folder.
    out: The folder to write; new or empty.
    form: 'saved_model', which draws latents as the agent does, or 'tflite' or
      'onnx', which take their mode and add no action noise.
    task: Name of a task to play, see `run.load`.

  Returns:
    What the check found, see `verify`.

  Raises:
    ValueError: If there is no run, the folder is not empty, the format cannot
      hold the policy, or the check fails.
  """
  chosen = formats.get(form)
  out = checks.folder('--out', out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise ValueError(
        f'{out} exists and is not an empty folder. Give another one, or remove '
        'it: --out=DIR.'
    )
  modules, extra = chosen.PACKAGES
  for module in modules:
    extras.load(module, extra)
  run = run_lib.load(root_dir, task, chosen.PRECISION)
  # Written aside, so that a failure leaves nothing that looks like an export.
  out.parent.mkdir(parents=True, exist_ok=True)
  aside = pathlib.Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
  try:
    write(
        run.agent, form, aside, run.described,
        observation_parts(run.environment),
    )
    found = compare(run.agent, run.environment, aside)
    if chosen.PRECISION and run.described['precision'] != 'float32':
      found['rounding'] = _rounding(run, root_dir, task, form)
    aside.chmod(0o755)
    if out.exists():
      out.rmdir()
    aside.rename(out)
  finally:
    shutil.rmtree(aside, ignore_errors=True)
    batch.close(run.environment)
  return found


def _rounding(run, root_dir, task, form):
  """How far the run, in its own precision, acts from its export in float32.

  Returns:
    Dict: `precision` of the run, `differ`, how many actions are not the same,
    `largest`, the greatest difference, and `median`.
  """
  record = recording.record(
      run.environment, _policy(run.agent, form), seed=_SEED
  )
  own = run_lib.load(root_dir, task)
  try:
    actions = recording.follow(_policy(own.agent, form), record)
  finally:
    batch.close(own.environment)
  gaps = np.abs(np.float64(actions) - np.float64(record['action']))
  axes = tuple(range(1, gaps.ndim))
  return {
      'precision': run.described['precision'],
      'differ': int(np.sum(gaps.max(axis=axes, initial=0.0) > 0.0)),
      'largest': float(gaps.max()),
      'median': float(np.median(gaps)),
  }


def observation_parts(
    environment: tf_environment.TFEnvironment,
) -> list[observations.Part] | None:
  """How an environment's observation is read; None: as it is."""
  adapted = batch.adapted(environment)
  return None if adapted is None else adapted.parts


def write(
    agent: agent_lib.DreamerV2Agent, form: str, folder: str | os.PathLike,
    described: dict[str, Any], parts: list[observations.Part] | None = None,
) -> None:
  """Writes the files of a format, `policy.json` among them.

  Args:
    agent: `DreamerV2Agent`.
    form: One of `formats.names()`.
    folder: An empty folder.
    described: What else `policy.json` shall say.
    parts: List of `observations.Part`: how the environment's observation is
      read. None: it is the agent's own.

  Raises:
    ValueError: If the format cannot hold the policy.
  """
  folder = pathlib.Path(folder)
  try:
    of_format = formats.get(form).write(
        agent, _policy(agent, form), folder, parts
    )
  except Exception as error:  # the converters raise whatever they like
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    raise ValueError(
        f'This policy cannot be converted to {form}: {reason}. Wanted a step '
        'of what TensorFlow Lite and ONNX have; the mode of an actor with '
        "ActorCritic.actor_distribution = 'tanh_normal', which is found by "
        'sampling, is not. --format=saved_model takes every policy.'
    ) from error
  manifest.write(folder, {'format': form, **described, **of_format})


def _policy(agent, form) -> Any:
  """The policy that a format holds."""
  if formats.get(form).DRAWS:
    return agent.policy
  return policy_lib.DreamerPolicy(
      agent.time_step_spec, agent.action_spec, agent.world_model,
      agent.actor_critic.actor, greedy=True, mode_latent=True,
  )


@surroundings.kept()
@config.isolated()
@faults.surfaced()
def verify(
    root_dir: str | os.PathLike, out: str | os.PathLike,
    task: str | None = None,
) -> dict[str, Any]:
  """Plays with the run's agent and, in a fresh process, with the export.

  Args:
    root_dir: The run's folder.
    out: The export.
    task: Name of a task to play, see `run.load`.

  Returns:
    Dict: `steps` and `episodes` played, `differ`, arrays that are not equal to
    the last bit, `largest`, the greatest difference.

  Raises:
    ValueError: If an action differs (from a SavedModel in any bit, from
      another format by more than 1e-5), or a file is not what was exported, or
      the run has trained on since.
  """
  exported = manifest.read(out)
  trust.check(out, exported)
  run = run_lib.load(
      root_dir, task, formats.get(exported['format']).PRECISION
  )
  try:
    for key in ('task', 'updates'):
      if exported[key] != run.described[key]:
        raise ValueError(
            f'{out} was exported from a run with {key} {exported[key]}, and '
            f'the one in {root_dir} has {key} {run.described[key]}. Give that '
            'run, or export again.'
        )
    return compare(run.agent, run.environment, out)
  finally:
    batch.close(run.environment)


def compare(
    agent: agent_lib.DreamerV2Agent, environment: tf_environment.TFEnvironment,
    folder: str | os.PathLike,
) -> dict[str, Any]:
  """Lets an agent play, and its export the same in a fresh process.

  Args:
    agent: `DreamerV2Agent`.
    environment: Of one environment.
    folder: The export.

  Returns:
    Dict, see `verify`.

  Raises:
    ValueError: If they differ, or the export does not run.
  """
  exported = manifest.read(folder)
  form = exported['format']
  record = recording.record(environment, _policy(agent, form), seed=_SEED)
  with tempfile.TemporaryDirectory() as temporary:
    path = pathlib.Path(temporary) / 'record.npz'
    np.savez(path, **record)
    process = subprocess.run(
        [sys.executable, '-I', str(_PLAYER), str(folder), str(path)],
        capture_output=True, text=True, check=False,
    )
  if process.returncode:
    raise ValueError(
        f'The export in {folder} cannot be run without this package: '
        f'{process.stderr.strip()[-1000:]}'
    )
  found = json.loads(process.stdout.splitlines()[-1])
  exact = formats.get(form).EXACT
  if found['differ'] if exact else not found['largest'] <= _TOLERANCE:
    raise ValueError(
        f'The export in {folder} does not act as the agent does: in '
        f'{found["steps"]} steps {found["differ"]} arrays differ, by up to '
        f'{found["largest"]}. Please report it.'
    )
  return {**found, 'by_client': exported.get('by_client', [])}
