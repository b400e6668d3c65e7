"""Acting with an exported policy: NumPy in, NumPy out."""

import os
from typing import Any

import numpy as np

from dreamerv2_tfa import quiet
from dreamerv2_tfa.deployment import loaded
from dreamerv2_tfa.deployment import names


class Policy:
  """An exported policy with its memory, for one environment or many."""

  def __init__(
      self, path: str | os.PathLike, seed: int = 0, trust: str | None = None,
  ):
    """Loads an export; see `load_policy`."""
    self._policy = loaded.SavedPolicy(path, trust)
    self._seed = seed
    self.manifest = self._policy.manifest
    self.reset()

  def reset(self) -> None:
    """Forgets everything: the next observation begins episodes.

    The seed is reset too, so the same observations give the same actions.
    """
    self._num_environments = self._state = None

  def act(self, observation: Any, is_first: Any = None) -> np.ndarray:
    """The greedy action.

    Args:
      observation: What the environment shows: a nest of arrays, or of several
        environments, `[N, ...]`. A bare array where there is one key.
      is_first: Or bool `[N]`: whether an episode begins with this
        observation. None: after `reset` it does, later it does not.

    Returns:
      Array, the environment's action, or `[N, ...]`.

    Raises:
      ValueError: If something is missing, unknown, of another shape or dtype,
        or not finite, or N is not what it was since `reset`.
    """
    inputs, num_environments = self._read(observation)
    if self._state is None:
      self._num_environments = num_environments
      self._state = self._policy.initial_state(
          num_environments or 1, self._seed)
      if is_first is None:
        is_first = True
    elif num_environments != self._num_environments:
      raise ValueError(
          f'Got observations of {_environments(num_environments)}; those '
          f'before were of {_environments(self._num_environments)}. Call '
          'reset() first.'
      )
    first = np.broadcast_to(
        self._is_first(is_first, num_environments), [num_environments or 1])
    result = self._policy.step({**inputs, names.FIRST: first, **self._state})
    action = result.pop('action')
    self._state = result
    return action if num_environments is not None else action[0]

  def _read(self, observation):
    """Inputs `[N, ...]` by name, and N; None for one environment alone."""
    arrays, batched = read(self._policy, observation)
    sizes: set[Any] = {None}
    if batched:
      sizes = {len(array) for array in arrays.values()}
    if len(sizes) > 1 or sizes == {0}:
      raise ValueError(
          f'Got observations of {sorted(sizes)} environments; wanted as many '
          'of each key, and one at least.'
      )
    if not batched:
      arrays = {name: array[None] for name, array in arrays.items()}
    return arrays, sizes.pop()

  def _is_first(self, is_first, num_environments):
    first = np.asarray(False if is_first is None else is_first)
    if first.dtype != bool or first.shape not in ((), (num_environments,)):
      raise ValueError(
          f'is_first must be a bool, or bools [{num_environments or 1}]; got '
          f'{first.dtype} {list(first.shape)}.'
      )
    return first


def _environments(num_environments):
  if num_environments is None:
    return 'one environment'
  return f'{num_environments} environments'


@quiet.libraries()
def load_policy(
    path: str | os.PathLike, seed: int = 0, trust: str | None = None,
) -> Policy:
  """Loads an exported policy, to act with.

  A model is a program of its runtime: load those that you trust. Without
  `trust`, files are refused that are not those of `policy.json`, and operations
  that do more than compute.

  Args:
    path: A folder that `bin/export` wrote, in any format.
    seed: Of the latents that a SavedModel draws. TensorFlow Lite and ONNX
      take their mode.
    trust: The SHA-256 of its `policy.json`, which `bin/export` prints: exactly
      that export. 'any': a model with any operations, such as those of networks
      of your own.

  Returns:
    `Policy`, with `reset()` and `act(observation)`.

  Raises:
    ValueError: If it is no export, or is not trusted, or the package that runs
      its format is not installed.
  """
  return Policy(path, seed, trust)


def read(
    policy: loaded.SavedPolicy, observation: Any,
) -> tuple[dict[str, np.ndarray], bool]:
  """An observation as the inputs of `action`, by their names.

  Args:
    policy: `loaded.SavedPolicy`.
    observation: What one environment shows, or several side by side
      `[N, ...]`: a nest of what NumPy takes for arrays, or that alone where the
      observation has one key.

  Returns:
    Dict of arrays, and whether they have an axis for environments.

  Raises:
    ValueError: If a key is missing, dtype, shape or range are wrong, or a
      number is not finite.
  """
  if policy.parts is not None:
    return _read_parts(policy, observation)
  arrays = _as_arrays(policy, observation)
  known = policy.inputs
  ranks = {
      array.ndim - len(known[name]['shape']) for name, array in arrays.items()
  }
  batched = ranks == {1}
  for name, array in arrays.items():
    check_shape(name, array if batched else array[None], known[name])
  return arrays, batched


def _read_parts(policy, observation):
  """`read` of what the environment shows."""
  values = {part.key: _find(part, observation) for part in policy.parts}
  axes = int(all(
      _rank(values[part.key]) == len(part.shape) + 1 for part in policy.parts
  ))
  return {
      policy.observations[part.key]: part.prepare(values[part.key], axes)
      for part in policy.parts
  }, bool(axes)


def _rank(value):
  """Number of axes; -1 where it is no array, which `Part.check` refuses."""
  try:
    return np.ndim(value)
  except ValueError:
    return -1


def check_parts(
    policy: loaded.SavedPolicy, arrays: dict[str, np.ndarray],
) -> None:
  """Refuses inputs of `action` that are not in the environment's space.

  Args:
    policy: `loaded.SavedPolicy`.
    arrays: Dict of arrays `[N, ...]` by the inputs' names.

  Raises:
    ValueError: If one is not.
  """
  for part in policy.parts or ():
    if not part.shrinks:
      part.prepare(arrays[policy.observations[part.key]], axes=1)


def _find(part, observation):
  """The value of a part, by its path in the observation or by its key."""
  if isinstance(observation, dict):
    there = part.path and part.path[0] in observation
    if part.key in observation and not there:
      return observation[part.key]
  elif len(part.path) == 1 and isinstance(part.path[0], str):
    return observation  # the one key's value alone
  return part.find(observation)


def _as_arrays(policy, observation):
  """An observation as arrays of the right dtypes, by the inputs' names."""
  keys = policy.observations
  if not isinstance(observation, dict) and len(keys) == 1:
    observation = {next(iter(keys)): observation}
  got = sorted(map(str, observation)) if isinstance(observation, dict) else (
      type(observation).__name__
  )
  if got != sorted(keys):
    raise ValueError(
        f'The observation must be a dict of {sorted(keys)}; got {got}.'
    )
  return {
      name: as_array(name, observation[key], policy.inputs[name])
      for key, name in keys.items()
  }


def as_array(name: str, value: Any, spec: dict[str, Any]) -> np.ndarray:
  """One input as an array of its dtype.

  Args:
    name: What it is called.
    value: What NumPy takes for an array.
    spec: Dict with its `dtype`.

  Returns:
    Array. Numbers are converted where none of their meaning is lost: whole
    numbers to any dtype that holds them, floats to float32.

  Raises:
    ValueError: If it is no array, of another kind, or not finite.
  """
  wanted = np.dtype(spec['dtype'])
  try:
    array = np.asarray(value)
  except (ValueError, OverflowError) as error:
    raise ValueError(f'{name} is no array of numbers: {error}.') from error
  if array.dtype == wanted:
    fits = True
  elif array.dtype.kind in 'iu' and wanted.kind in 'iu':
    limits = np.iinfo(wanted)
    fits = not array.size or (
        array.min() >= limits.min and array.max() <= limits.max
    )
  else:
    fits = wanted.kind == 'f' and array.dtype.kind in 'iuf'
  if not fits:
    raise ValueError(
        f'{name} must be {wanted}; got {array.dtype}'
        + (f' from {array.min()} to {array.max()}'
           if array.size and array.dtype.kind in 'iuf' else '')
        + '. Give it as the environment does: images as uint8 in [0, 255].'
    )
  with np.errstate(over='ignore'):
    array = array.astype(wanted)
  if wanted.kind == 'f' and not np.isfinite(array).all():
    raise ValueError(f'{name} must be finite; got NaN or infinity in it.')
  return array


def check_shape(name: str, array: np.ndarray, spec: dict[str, Any]) -> None:
  """Refuses an array of elements that have another shape.

  Args:
    name: What it is called.
    array: Array `[N, ...]`.
    spec: Dict with the `shape` of one of them.

  Raises:
    ValueError: If they have.
  """
  if list(array.shape[1:]) != spec['shape'] or array.ndim == 0:
    raise ValueError(
        f'{name} must have shape {spec["shape"]}, or one axis more for several '
        f'environments; got {list(array.shape[1:])}.'
    )
