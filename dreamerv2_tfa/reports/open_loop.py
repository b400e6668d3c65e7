"""How far ahead a world model sees: its error by horizon.

`python -m dreamerv2_tfa.reports.open_loop --root_dir=RUN` prints a table and
writes `open_loop.json` and `open_loop.png` into the run's folder.

    row        1 ... C   C+1 ... C+H
    open loop  looks     follows the actions taken, without looking
    filtered   looks     looks
    mean                 knows the mean of all windows at that horizon

Each number is a mean squared error over windows of stored rows, each inside one
episode: of every part of an observation (images in units of their range, 1), of
the reward as the model is taught it, and of the chance that the episode goes
on. Latents are sampled, as in imagination.
"""

import argparse
import json
import os
import pathlib
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import columns
from dreamerv2_tfa import dream
from dreamerv2_tfa import specs
from dreamerv2_tfa.diagnostics import horizon as horizon_lib
from dreamerv2_tfa.experience import windows as windows_lib
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import runs

WAYS = ('open_loop', 'filtered', 'mean')


def measure(
    agent: agent_lib.DreamerV2Agent, trajectory: Any,
    context: int, *, seed: int = 0,
) -> dict[str, Any]:
  """Errors of an agent's world model by horizon.

  Args:
    agent: `DreamerV2Agent`.
    trajectory: `Trajectory` `[N, C + H + 1, ...]`, each inside one episode.
    context: int C, rows that the model looks at.
    seed: Of the latents.

  Returns:
    Dict from 'reward', 'continue' and the parts of an observation (by
    `specs.metric_name`) to a dict from each of `WAYS` to float64 `[H]`.

  Raises:
    ValueError: If nothing is left to foresee.
  """
  horizon = trajectory.step_type.shape[1] - 1 - context
  if context < 1 or horizon < 1:
    raise ValueError(
        f'Windows of {context} + {horizon} rows: wanted one or more to look '
        'at, and one or more to foresee.'
    )
  posterior, sequence = dream.recall(agent, trajectory, (seed, 0))
  start = tf.nest.map_structure(lambda x: x[:, context - 1], posterior)
  actions = trajectory.action[:, context:context + horizon]
  open_loop = dream.rollout_actions(agent, start, actions, seed=(seed, 1))
  later = tf.nest.map_structure(lambda x: x[:, context:], posterior)
  filtered = dream.foresee(agent, agent.world_model.rssm.feature(later))
  truth = {
      specs.metric_name(key): x[:, context:]
      for key, x in sequence.observation.items()
  }
  truth['reward'] = agent.world_model.transformed(sequence.reward)[:, context:]
  truth['continue'] = sequence.continue_[:, context:]
  return horizon_lib.errors(truth, _named(open_loop), _named(filtered))


def _named(foresight):
  parts = specs.flat_observation(foresight.observation)
  return {
      **{specs.metric_name(key): x for key, x in parts.items()},
      'reward': foresight.reward, 'continue': foresight.continue_,
  }


def table(errors: dict[str, Any]) -> str:
  """Lays errors out as lines of text, a line a horizon."""
  heads = [f'{key} {way}' for key in errors for way in WAYS]
  lines = [
      [f'{each[way][k]:.5f}' for each in errors.values() for way in WAYS]
      for k in range(len(errors['reward']['mean']))
  ]
  return columns.layout(
      [['steps ahead', *heads]] + [
          [str(k + 1), *line] for k, line in enumerate(lines)
      ], numbers=True,
  )


def write(root_dir: str | os.PathLike, errors: dict[str, Any]) -> None:
  """Writes `open_loop.json` and `open_loop.png` into a run's folder."""
  import matplotlib  # slow to import
  matplotlib.use('Agg')
  from matplotlib import pyplot

  root_dir = pathlib.Path(root_dir)
  text = json.dumps({
      key: {way: [float(x) for x in numbers] for way, numbers in each.items()}
      for key, each in errors.items()
  }, indent=2)
  (root_dir / 'open_loop.json').write_text(text + '\n', encoding='utf-8')
  figure, axes = pyplot.subplots(
      1, len(errors), figsize=(4 * len(errors), 3), squeeze=False
  )
  for axis, (key, each) in zip(axes[0], errors.items(), strict=True):
    for way in WAYS:
      steps = 1 + np.arange(len(each[way]))
      axis.plot(steps, each[way], label=way.replace('_', ' '))
    axis.set(title=key, xlabel='steps ahead', ylim=(0, None))
  axes[0][0].set_ylabel('mean squared error')
  axes[0][0].legend()
  figure.tight_layout()
  figure.savefig(root_dir / 'open_loop.png')
  pyplot.close(figure)


def report(
    root_dir: str | os.PathLike, replay_from: str | os.PathLike | None = None,
    *, context: int = 5, horizon: int = 15, windows: int = 100, seed: int = 0,
) -> str:
  """Measures a run, writes the report and returns the table.

  Args:
    root_dir: Folder of the run.
    replay_from: Folder of the run whose rows are looked at; None: the same.
    context: int C.
    horizon: int H.
    windows: Windows of rows.
    seed: Of windows and latents.

  Raises:
    ValueError: If a folder holds no run, too few rows, or rows of other
      observations or actions.
  """
  source = runs.RunFolder(replay_from or root_dir)
  runs.RunFolder(root_dir).check_writable()
  comparison.check_alike(runs.RunFolder(root_dir), source)
  agent = runs.load(root_dir)
  rows = runs.load_rows(source.root, agent.collect_data_spec)
  errors = measure(agent, windows_lib.of_rows(
      rows, windows, context + horizon + 1, seed=seed, whole=True
  ), context, seed=seed)
  write(root_dir, errors)
  return table(errors)


def _arguments():
  parser = argparse.ArgumentParser(
      prog='python -m dreamerv2_tfa.reports.open_loop',
      description="A world model's error by horizon.",
  )
  add = parser.add_argument
  add('--root_dir', required=True, help='Folder of the run.')
  add('--replay_from', help='Run whose stored rows are looked at; its own.')
  add('--context', type=int, default=5, help='Rows C that the model looks at.')
  add('--horizon', type=int, default=15, help='Steps H that it foresees.')
  add('--windows', type=int, default=100, help='Windows of stored rows.')
  add('--seed', type=int, default=0, help='Of windows and latents.')
  return vars(parser.parse_args())


def _main():
  try:
    print(report(**_arguments()))
  except ValueError as error:
    sys.exit(f'Error: {error}')


if __name__ == '__main__':
  _main()
