"""The command of each process of a distributed run.

`--role=all` starts its processes with it, and `launch/write.py` writes the
files of other launchers. It imports no TensorFlow.
"""

from collections.abc import Sequence


def arguments(
    role: str, address: str, root_dir: str | None = None,
    common: Sequence[str] = (), collector: int | str | None = None,
) -> list[str]:
  """The arguments of `bin/train` that make it one process of a run.

  Args:
    role: One of `roles.NAMES`.
    address: HOST:PORT of the replay server.
    root_dir: The run's folder; None for a collector that does not see it.
    common: Arguments that all processes of the run share, such as the task.
    collector: Number of a collector, which moves its seed, or what a launcher
      replaces by it; None: by chance.

  Returns:
    List of str, without the program.
  """
  return [
      *common,
      *([] if root_dir is None else [f'--root_dir={root_dir}']),
      f'--replay_address={address}',
      f'--role={role}',
      *([] if collector is None else [f'--collector={collector}']),
  ]
