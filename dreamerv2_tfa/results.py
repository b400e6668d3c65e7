"""What a training run gives back: its numbers, its policy, its play."""

import contextlib
import functools
import os
import pathlib
import tempfile
from typing import Any

import pandas as pd

from dreamerv2_tfa import checks
from dreamerv2_tfa import quiet
from dreamerv2_tfa.behaviour import fused_policy
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import run as run_lib
from dreamerv2_tfa.deployment import trust
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import evaluation as evaluation_lib
from dreamerv2_tfa.training import library
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import parts
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums
from dreamerv2_tfa.training import surroundings


class Run:
  """A run in its folder, finished, stopped or still training.

  Nothing here writes into the folder, so all of it may be used while another
  process trains there. Policy and evaluation are those of the last checkpoint.

  Attributes:
    folder: `pathlib.Path` of the run.
  """

  def __init__(
      self, folder: str | os.PathLike, environment: Any = None,
      evaluation: Any = None,
  ):
    """Finds the run; loads nothing yet.

    Args:
      folder: The run's folder.
      environment: As in `dreamerv2_tfa.train`: needed for `policy` and
        `evaluate` where the run was trained on an object, which the folder
        cannot make, or on `module:factory`, whose name you give. An object is
        copied and not stepped.
      evaluation: A second environment, to be copied instead.

    Raises:
      ValueError: If there is no run, or its `protocol.json` is damaged.
    """
    self.folder = checks.folder('folder', folder)
    self._paths = runs.RunFolder(self.folder)
    if not self._paths.protocol.exists():
      raise ValueError(
          f'There is no run in {self.folder}: {self._paths.protocol.name} is '
          'missing. Give the folder that train or bin/train wrote.'
      )
    sums.check(self._paths, checkpoints=False)
    self._task = protocol.wanted(self._paths.protocol)['task']
    self._environment, self._evaluation = environment, evaluation

  def __repr__(self):
    """The folder, agent steps at the last save, and the last return."""
    steps = self._paths.saved_steps()
    said = [f'{str(self.folder)!r}', f'{steps:,} steps']
    frame = self.metrics
    for name in ('eval_return', 'train_return'):
      if name in frame and len(frame[name].dropna()):
        said.append(f'{name} {frame[name].dropna().iloc[-1]:.2f}')
        break
    return f'Run({", ".join(said)})'

  @property
  def metrics(self) -> pd.DataFrame:
    """`pandas.DataFrame` of metrics.jsonl as it is now, by environment frame.

    The index is `step`; a report and an evaluation at the same frame are two
    lines, and what one of them lacks is NaN there. Lines that a resumed session
    has superseded are left out, and those of an evaluator that was a process of
    its own are among them. `run.metrics.eval_return.dropna().plot()`
    draws a curve.
    """
    frame = pd.DataFrame(metrics_lib.of_run(self._paths))
    if 'step' not in frame:
      frame['step'] = pd.Series(dtype='int64')
    return frame.set_index('step')

  def policy(self, seed: int = 0) -> client.Policy:
    """The greedy policy, to act with: it acts as an export by bin/export does.

    It is exported to a temporary folder and loaded from there, which takes the
    time of an export (about ten seconds) and the disk that the weights need.

    Args:
      seed: Of the latents that the policy draws.

    Returns:
      `client.Policy`, with `reset()` and `act(observation)`, see `load_policy`.

    Raises:
      ValueError: If nothing is saved yet, or the task cannot be made here.
    """
    with self._loaded() as run, tempfile.TemporaryDirectory() as aside:
      export.write(
          run.agent, 'saved_model', pathlib.Path(aside), run.described,
          export.observation_parts(run.environment),
      )
      return client.load_policy(aside, seed, trust.ANY)  # written here

  def evaluate(self, episodes: int = 10) -> dict[str, float]:
    """Plays greedily on an environment of its own.

    The environment and its seed are those of the run's evaluations: each call
    plays the same episodes again, as bin/evaluate does.

    Args:
      episodes: int.

    Returns:
      Dict of floats: `eval_return` and `eval_length`, means over the episodes,
      and `eval_cut`, how many were cut after train.eval_steps steps, if any.

    Raises:
      ValueError: If nothing is saved yet, or the task cannot be made here.
      EnvironmentFailed: If the environment's own code raises.
    """
    episodes = checks.integer('episodes', episodes)
    with self._loaded() as run:
      evaluation_lib.seed_draws(
          run.agent.policy, parts.evaluation_seed(run.seed))
      metrics = evaluation_lib.Evaluation(
          run.environment, fused_policy.of(run.agent.policy, run.agent.jit),
          episodes,
          int(config.recorded_value(self._paths.config, 'train.eval_steps')),
      ).run()
    assert metrics is not None  # nobody can stop it
    return metrics

  @contextlib.contextmanager
  def _loaded(self):
    """The run as its last checkpoint has it, a `run_lib.Run`, closed after."""
    with (
        quiet.libraries(), surroundings.kept(), config.isolated(),
        faults.surfaced(),
    ):
      config.parse_recorded(self._paths.config)
      run = run_lib.load(self.folder, self._made())
      try:
        yield run
      finally:
        batch.close(run.environment)

  def _made(self):
    """A `Task` of copies of what was given, or the run's own by its name."""
    if self._environment is not None:
      return library.copies(self._environment, self._evaluation)
    return run_lib.own_task(
        self._paths, self._task,
        'Give it, as to train: Run(folder, environment).',
        f'Run(folder, {self._task!r})',
    )


@functools.wraps(library.train)
def train(
    environment: Any, *, root_dir: str | os.PathLike, evaluation: Any = None,
    dry_run: bool = False, **settings: Any,
) -> Run | None:
  """See `training.library.train`; returns a `Run`, or None for a dry run."""
  library.train(
      environment, root_dir=root_dir, evaluation=evaluation, dry_run=dry_run,
      **settings
  )
  return None if dry_run else Run(root_dir, environment, evaluation)
