"""A batch of environments in TensorFlow: its thread, its metrics, its end."""

import atexit
from collections.abc import Callable
from collections.abc import Sequence
import functools
from multiprocessing import pool
import re
import threading
import types
from typing import Any
from typing import TypeVar
import weakref

from absl import logging
import numpy as np
import tensorflow as tf
from tf_agents.environments import batched_py_environment
from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment

from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import waiting
from dreamerv2_tfa.environments import watched

_Result = TypeVar('_Result')
_closed = weakref.WeakSet()


def as_tensorflow(
    made: Sequence[py_environment.PyEnvironment], one_thread: bool
) -> tf_environment.TFEnvironment:
  """Joins environments to one batch; a `TFEnvironment` is returned as it is.

  Args:
    made: Unbatched environments; or one that is batched or in TensorFlow.
    one_thread: Whether `apply`'s thread steps them.
  """
  first = made[0]
  if isinstance(first, tf_environment.TFEnvironment):
    return first
  isolation: Any = _thread() if one_thread else False  # annotated as a bool
  return scoped(tf_py_environment.TFPyEnvironment(
      first if first.batched else batched_py_environment.BatchedPyEnvironment(
          made, multithreading=False), isolation=isolation))


def scoped(
    environment: tf_py_environment.TFPyEnvironment
) -> tf_py_environment.TFPyEnvironment:
  """Renames the specs of an environment to names that TensorFlow admits.

  A spec is named after its key in the observation. Its name becomes the name of
  an operation, in which many characters are not admitted.
  """
  def renamed(spec):
    if not spec.name or re.fullmatch('[A-Za-z0-9.][A-Za-z0-9_./-]*', spec.name):
      return spec
    return specs.renamed(
        spec, re.sub(r'[^A-Za-z0-9]', '_', f'observation {spec.name}'))

  environment._time_step_spec = tf.nest.map_structure(
      renamed, environment.time_step_spec())
  return environment


@functools.cache
def _thread():
  """Starts the one thread that makes and steps this process's environments.

  An OpenGL context belongs to a thread, and TensorFlow would take any.
  """
  threads = _Thread()
  atexit.register(threads.terminate)
  return threads


class _Thread(pool.ThreadPool):
  """One thread, which is not waited for once an environment hangs in it."""

  def __init__(self):
    super().__init__(1)
    self.ident = super().apply(threading.get_ident)
    self._hangs = None  # the failure, once an environment does

  def apply(self, func, args=(), kwds=types.MappingProxyType({})):
    """Calls a function in the thread; raises if an environment hangs."""
    if self._hangs is None:
      result = self.apply_async(_contained, (func, args, kwds))

      def ready(seconds):
        result.wait(seconds)
        return result.ready()

      self._hangs = waiting.for_thread(self.ident, ready)
      if self._hangs is None:
        return result.get()
      _thread.cache_clear()  # other environments take another thread
    raise faults.note(self._hangs)


def _contained(function, args, kwds):
  """Calls a function; what would end the thread becomes a failure."""
  try:
    return function(*args, **kwds)
  except Exception:
    raise
  except BaseException as error:
    raise faults.failed('', error) from error


def apply(function: Callable[[], _Result]) -> _Result:
  """Calls a function in the environments' thread, from any thread."""
  threads = _thread()
  if threading.get_ident() == threads.ident:
    return function()
  return threads.apply(function)


def adapted(environment: tf_environment.TFEnvironment) -> adapt.Adapted | None:
  """Finds the `Adapted` inside the first environment of a task's batch.

  Returns:
    None if there is none: for one in TensorFlow, or in another process.
  """
  return next(iter(all_adapted(environment)), None)


def all_adapted(
    environment: tf_environment.TFEnvironment) -> list[adapt.Adapted]:
  """The `Adapted` inside of each environment of a batch; [] without any."""
  found = []
  for inside in getattr(getattr(environment, 'pyenv', None), 'envs', ()):
    while inside is not None and not isinstance(inside, adapt.Adapted):
      inside = getattr(inside, '_env', None)
    found += [] if inside is None else [inside]
  return found


def pop_metrics(
    environment: tf_environment.TFEnvironment) -> list[dict[str, float]]:
  """Metrics of the episodes that ended since the last call, one dict each.

  Returns:
    Empty for a task without metrics.
  """
  inside: Any = getattr(environment, 'pyenv', None)
  if isinstance(inside, parallel.ProcessBatch):
    return inside.pop_metrics()
  return [
      metrics for env in getattr(inside, 'envs', ())
      for metrics in getattr(env, 'pop_metrics', list)()]


def render(environment: tf_environment.TFEnvironment) -> np.ndarray | None:
  """What the first environment of a batch draws of itself.

  Args:
    environment: Made by a `Task`, in this process.

  Returns:
    uint8 `[height, width, 3]`; None where it draws nothing.
  """
  first = _inside(environment)[0]
  if not isinstance(first, py_environment.PyEnvironment):
    return None
  try:
    drawn = np.asarray(apply(first.render))
  except Exception as error:  # its code may raise anything
    logging.log_first_n(
        logging.INFO, 'The environment draws nothing: %s', 1, error)
    return None
  is_picture = drawn.dtype == np.uint8 and drawn.ndim == 3 and (
      drawn.shape[-1] == 3)
  return drawn if is_picture else None


def _inside(environment):
  """The Python environments of a `TFEnvironment`, or itself."""
  inside = getattr(environment, 'pyenv', environment)
  return getattr(inside, 'envs', [inside])


def end_at_first_failure(environment: tf_environment.TFEnvironment) -> None:
  """Ends the run at the first failure in the environments' code: no restart.

  Args:
    environment: Made by a `Task`, in this process.
  """
  for env in _inside(environment):
    if isinstance(env, watched.Watched):
      env.failures.most = 1


def restarts(environment: tf_environment.TFEnvironment) -> int:
  """How often environments of a batch failed and were restarted so far."""
  inside = getattr(environment, 'pyenv', None)
  if isinstance(inside, parallel.ProcessBatch):
    return inside.restarts
  return sum(
      env.failures.restarts for env in _inside(environment)
      if isinstance(env, watched.Watched))


def leave_open(environment: tf_environment.TFEnvironment) -> None:
  """Makes `close` skip an environment, which its owner closes."""
  _closed.add(environment)


def close(environment: tf_environment.TFEnvironment) -> None:
  """Closes the environments of a batch; a second call does nothing.

  An error in one of them is logged, and the others are closed.
  """
  if environment in _closed:
    return
  _closed.add(environment)
  for env in _inside(environment):
    close_one(env)


def close_one(environment: Any) -> None:
  """Closes an environment in the environments' thread; logs its errors."""
  with faults.closing('The environment'):
    apply(functools.partial(factories.close, environment))
