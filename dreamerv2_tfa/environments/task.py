"""What there is to learn: a task, whose environments are made when asked."""

from collections.abc import Callable
from typing import NamedTuple

from tf_agents.environments import tf_environment


class Task(NamedTuple):
  """A task; no emulator runs before `make` is called."""

  name: str  # as `tasks.load` takes it
  action_repeat: int  # environment frames an agent step
  # `make(seed, num_environments=1, processes=False)`: a batch of environments
  # that share nothing, each with a seed of its own, in processes where asked.
  make: Callable[..., tf_environment.TFEnvironment]
  achievements: tuple[str, ...] = ()  # that an episode may unlock, for metrics
  # From a seed, one environment for evaluation; None: `make` makes it.
  make_evaluation: Callable[[int], tf_environment.TFEnvironment] | None = None
