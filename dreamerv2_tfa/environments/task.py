"""A task: its name, and the function that makes its environments."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import watched

Environment = py_environment.PyEnvironment | tf_environment.TFEnvironment


class Task(NamedTuple):
  """What there is to learn; no emulator runs before `make` is called."""

  name: str           # as `tasks.load` takes it
  action_repeat: int  # environment frames an agent step
  # `make(seed, num_environments=1, processes=False)`: a batch of environments
  # that share nothing. Each has its own seed, and its own process if asked for.
  make: Callable[..., tf_environment.TFEnvironment]
  metrics: tuple[str, ...] = ()  # names in what `batch.pop_metrics` returns
  # From a seed, one environment for evaluation; None: `make` makes it.
  make_evaluation: Callable[[int], tf_environment.TFEnvironment] | None = None


def from_constructor(
    name: str, action_repeat: int, construct: Callable[[int], Environment],
    metrics: Sequence[str] = (), one_thread: bool = True) -> Task:
  """Makes a task of environments that are written in Python.

  Args:
    name: As `tasks.load` takes it.
    action_repeat: Environment frames an agent step.
    construct: From a seed to an unbatched `PyEnvironment`. A batched one, or a
      `TFEnvironment`, brings its own number of environments.
    metrics: Names in the dicts of the environment's `pop_metrics`.
    one_thread: False if any thread may step the environment. That saves a
      switch of threads, which is a fifth of a step of Atari.
  """
  def make(seed, num_environments=1, processes=False):
    seeds = [seed] if num_environments == 1 else (
        parallel.seeds_of(seed, num_environments))
    if not processes:
      return _in_one_process(name, construct, seeds, one_thread)
    # `ProcessBatch` refuses a `TFEnvironment`.
    python: Callable[[int], Any] = construct
    environments = parallel.ProcessBatch(python, seeds)
    return batch.scoped(tf_py_environment.TFPyEnvironment(environments))

  return Task(name, action_repeat, make, tuple(metrics))


def _in_one_process(name, construct, seeds, one_thread):
  """Makes the batch; in the one thread of `batch.apply` if `one_thread`."""
  made = []
  try:
    make = functools.partial(_make_each, construct, seeds, made)
    if one_thread:
      batch.apply(make)
    else:
      make()
    environment = batch.as_tensorflow(made, one_thread)
    if environment.batch_size != len(seeds):
      raise checks.UserError(
          f'The task {name!r} has batch size {environment.batch_size}; wanted '
          f'{len(seeds)}. Let it return one environment, or set '
          'train.environments to its batch size, and train.processes = False.')
  except BaseException:
    for env in made:
      batch.close_one(env)
    raise
  return environment


def _make_each(construct, seeds, made):
  """Appends to `made`: one environment a seed, or a single batch."""
  reported = set()
  for index, seed in enumerate(seeds):
    name = f'Environment {index} of {len(seeds)}' if seeds[1:] else (
        'The environment')
    made.append(_watched(construct, seed, name, reported))
    if isinstance(made[0], tf_environment.TFEnvironment) or made[0].batched:
      return


def _watched(construct, seed, name, reported):
  """Makes one environment; wraps it in `Watched` if it is in Python."""
  try:
    environment = construct(seed)
  except BaseException as error:  # the environment may raise anything
    if not faults.its_own(error):
      raise
    raise faults.failed(f'{name} cannot be made', error) from error
  if isinstance(environment, tf_environment.TFEnvironment):
    return environment
  return watched.Watched(environment, construct, seed, name, reported)
