"""What gin and the suites refuse of a list; imports TensorFlow.

`children.ask` calls it in a process of its own.
"""

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.sweeps import wanted
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import precision


def answer(question: list[list]) -> str | None:
  """Why one of several runs is refused before it begins; None: none is.

  Args:
    question: A task, gin files and bindings of each.
  """
  for task, files, bindings in question:
    try:
      with wanted.bound(task, files, bindings) as settings:
        precision.set_policy(settings.precision)
        tasks.load(task)
    except faults.EnvironmentFailed as error:
      return str(error.said)
    except Exception as error:
      if not checks.is_refusal(error) and not isinstance(
          error, (OSError, SyntaxError, ImportError)):
        raise
      return gin_files.plain(error)
  return None
