"""From one environment in Python to a batch of them in TensorFlow."""

import atexit
import functools
from multiprocessing import pool
import re
import threading
import weakref

import tensorflow as tf
from tf_agents.environments import batched_py_environment
from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment

from dreamerv2_tfa import checks
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import watched

_IDENTS = []  # of `_thread`, once it runs


def task(name, action_repeat, construct, achievements=(), one_thread=True):
  """Returns a task whose environments are written in Python.

  Args:
    name: Python string.
    action_repeat: Python int, environment frames an agent step.
    construct: Function from a seed to an unbatched `PyEnvironment`. Where it
      gives a `TFEnvironment` instead, that is the batch.
    achievements: Names in the dicts of the environment's `pop_outcomes`.
    one_thread: bool; False where it may be stepped from any thread, which
      saves the way to another one: a fifth of a step of Atari.

  Returns:
    A `Task`.
  """
  def make(seed, num_environments=1, processes=False):
    if processes and num_environments > 1:
      environments = parallel.ProcessBatch(
          construct, parallel.seeds_of(seed, num_environments))
      return _scoped(tf_py_environment.TFPyEnvironment(environments))
    seeds = [seed]
    if num_environments > 1:
      seeds = parallel.seeds_of(seed, num_environments)
    return _in_one_process(name, construct, seeds, one_thread)

  return task_lib.Task(name, action_repeat, make, tuple(achievements))


def _in_one_process(name, construct, seeds, one_thread):
  """The batch, in `_thread` where it wants one thread."""
  made = []
  try:
    make = functools.partial(_make_each, construct, seeds, made)
    if one_thread:
      apply(make)
    else:
      make()
    environment = _as_tensorflow(made, one_thread)
    if environment.batch_size != len(seeds):
      raise checks.UserError(
          f'The task {name!r} has batch size {environment.batch_size}; wanted '
          f'{len(seeds)}. Let it return one environment, or set '
          'train.environments to its batch size, and train.processes = False.')
  except BaseException:
    for env in made:
      _close_one(env)
    raise
  return environment


def _make_each(construct, seeds, made):
  """Fills a list with environments: one a seed, or a single batch."""
  for index, seed in enumerate(seeds):
    name = f'Environment {index} of {len(seeds)}' if seeds[1:] else (
        'The environment')
    made.append(_watched(construct, seed, name))
    if isinstance(made[0], tf_environment.TFEnvironment) or made[0].batched:
      return  # as many as it has


def _watched(construct, seed, name):
  """One environment, as in `watched`; one of TensorFlow as it is."""
  try:
    environment = construct(seed)
  except Exception as error:  # whatever its code raises
    raise faults.failed(f'{name} cannot be made', error) from error
  if isinstance(environment, tf_environment.TFEnvironment):
    return environment
  return watched.Watched(environment, construct, seed, name)


def _as_tensorflow(made, one_thread):
  first = made[0]
  if isinstance(first, tf_environment.TFEnvironment):
    return first
  return _scoped(tf_py_environment.TFPyEnvironment(
      first if first.batched else batched_py_environment.BatchedPyEnvironment(
          made, multithreading=False),
      isolation=_thread() if one_thread else False))


def _scoped(environment):
  """Gives the specs of a `TFPyEnvironment` names that TensorFlow can take.

  They are keys of an observation, and become names of operations, for which
  many characters are not admitted.
  """
  def scoped(spec):
    if not spec.name or re.fullmatch('[A-Za-z0-9.][A-Za-z0-9_./-]*', spec.name):
      return spec
    return specs.renamed(
        spec, re.sub(r'[^A-Za-z0-9]', '_', f'observation {spec.name}'))

  environment._time_step_spec = tf.nest.map_structure(
      scoped, environment.time_step_spec())
  return environment


@functools.cache
def _thread():
  """The one thread that makes and steps all environments of this process.

  An OpenGL context belongs to a thread, and TensorFlow would take any.
  """
  threads = pool.ThreadPool(1)
  _IDENTS[:] = [threads.apply(threading.get_ident)]
  atexit.register(threads.terminate)
  return threads


def apply(function):
  """What `function()` returns in `_thread`, from wherever it is called."""
  threads = _thread()
  if threading.get_ident() in _IDENTS:
    return function()
  return threads.apply(function)


def adapted(environment):
  """Returns the `Adapted` that a `TFEnvironment` of one is made of, or None.

  Args:
    environment: `TFEnvironment` that a `Task` has made.
  """
  inside = getattr(getattr(environment, 'pyenv', None), 'envs', (None,))[0]
  while inside is not None and not isinstance(inside, adapt.Adapted):
    inside = getattr(inside, '_env', None)
  return inside


def pop_outcomes(environment):
  """What the episodes that ended since the last call have achieved.

  Args:
    environment: `TFEnvironment` that a `Task` has made.

  Returns:
    List of dicts of floats; empty where the task has no achievements.
  """
  inside = getattr(environment, 'pyenv', None)
  if isinstance(inside, parallel.ProcessBatch):
    return inside.pop_outcomes()
  return [
      episode for env in getattr(inside, 'envs', ())
      for episode in getattr(env, 'pop_outcomes', list)()]


def _inside(environment):
  """The Python environments of a `TFEnvironment`, or itself."""
  inside = getattr(environment, 'pyenv', environment)
  return getattr(inside, 'envs', [inside])


def end_at_first_failure(environment):
  """Lets a failure in an environment's code end the run, with no restart.

  Args:
    environment: `TFEnvironment` that a `Task` has made in this process.
  """
  for env in _inside(environment):
    if isinstance(env, watched.Watched):
      env.most_failures = 1


def leave_open(environment):
  """Makes `close` leave a `TFEnvironment` to its owner."""
  _closed.add(environment)


def close(environment):
  """Closes the environments of a batch, the first time.

  What one of them raises then is reported, and the others closed.

  Args:
    environment: `TFEnvironment` that a `Task` has made.
  """
  if environment in _closed:
    return
  _closed.add(environment)
  for env in _inside(environment):
    _close_one(env)


def _close_one(environment):
  with faults.closing('The environment'):
    apply(functools.partial(factories.close, environment))


_closed = weakref.WeakSet()
