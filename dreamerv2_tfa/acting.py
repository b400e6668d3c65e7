"""Acting with an exported policy: NumPy in, NumPy out."""

import warnings

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa import quiet
from dreamerv2_tfa.export import manifest
from dreamerv2_tfa.export import names


class SavedPolicy:
  """The SavedModel of an export: a function from rows to rows.

  Attributes:
    facts: Dict, the export's `policy.json`.
    inputs: Dict of `{'shape': ..., 'dtype': ...}` of a row, by name.
    observations: Dict from each key of the observation to its input's name.
    parts: List of `observations.Part`: how the environment's observation is
      read. None: `action` takes what the agent reads.
  """

  def __init__(self, path):
    """Loads an export.

    Args:
      path: Path of a folder that `bin/export` wrote.

    Raises:
      ValueError: If it is no export, or one of another format, or TensorFlow
        cannot read at this path.
    """
    path = checks.folder("The policy's folder", path)
    self.facts = manifest.read(path)
    form = self.facts['format']
    if form != 'saved_model':
      raise ValueError(
          f'{path} holds a policy in the format {form!r}; wanted '
          "'saved_model'. Export once more, with --format=saved_model."
      )
    if self.facts['signature'] == 'agent':
      warnings.warn(
          f'{path} was exported by an earlier version: it takes what the agent '
          f'reads ({_fields(self.facts["observation"])}) and gives its action '
          f'({_fields({"action": self.facts["action"]})}), which may differ '
          'from what the environment shows and takes. Export again for that.',
          stacklevel=2)
    parts = self.facts['parts']
    self.parts = None if parts is None else [
        observations.from_facts(part) for part in parts]
    self.inputs = self.facts['inputs']
    self.observations = names.observations(self.facts['observation'])
    self._model = tf.saved_model.load(str(path))  # holds the variables
    self._action = self._model.signatures['action']
    self._initial = self._model.signatures['get_initial_state']

  def initial_state(self, rows, seed):
    """The state of `rows` rows before an episode.

    Args:
      rows: int.
      seed: int32, of their latents.

    Returns:
      Dict of arrays `[rows, ...]` by name, `state_...`.
    """
    return _arrays(self._initial(
        batch_size=tf.constant(rows, tf.int32), seed=tf.constant(seed, tf.int32)
    ))

  def step(self, inputs):
    """Takes one step of each row, which depends on no other row.

    Args:
      inputs: Dict of arrays `[rows, ...]`, one for each of `self.inputs`.

    Returns:
      Dict of arrays `[rows, ...]`: `action`, and the state after it.
    """
    return _arrays(self._action(
        **{name: tf.constant(value) for name, value in inputs.items()}
    ))


def _arrays(tensors):
  return {name: tensor.numpy() for name, tensor in tensors.items()}


def _fields(fields):
  """Fields of `policy.json` in words."""
  return ', '.join(
      f'{name} {field["dtype"]} {field["shape"]}' + (
          f' from {np.min(field["minimum"]):g} to {np.max(field["maximum"]):g}'
          if 'minimum' in field else '')
      for name, field in fields.items())


class Policy:
  """An exported policy with its memory, for one environment or many."""

  def __init__(self, path, seed=0):
    """Loads an export; see `load_policy`."""
    self._policy = SavedPolicy(path)
    self._seed = seed
    self.facts = self._policy.facts
    self.reset()

  def reset(self):
    """Forgets everything: the next observation begins episodes.

    The seed begins anew too, so the same observations give the same actions.
    """
    self._rows = self._state = None

  def act(self, observation, is_first=None):
    """The greedy action.

    Args:
      observation: What the environment shows: a nest of arrays, or of several
        environments, `[N, ...]`. A bare array where there is one key.
      is_first: bool, or bool `[N]`: whether an episode begins with this
        observation. None: after `reset` it does, later it does not.

    Returns:
      Array, the environment's action, or `[N, ...]`.

    Raises:
      ValueError: If something is missing, unknown, of another shape or dtype,
        or not finite, or N is not what it was since `reset`.
    """
    inputs, rows = self._read(observation)
    if self._state is None:
      self._rows = rows
      self._state = self._policy.initial_state(rows or 1, self._seed)
      if is_first is None:
        is_first = True
    elif rows != self._rows:
      raise ValueError(
          f'Got observations of {_environments(rows)}; those before were of '
          f'{_environments(self._rows)}. Call reset() first.'
      )
    first = np.broadcast_to(self._is_first(is_first, rows), [rows or 1])
    result = self._policy.step({**inputs, names.FIRST: first, **self._state})
    action = result.pop('action')
    self._state = result
    return action if rows is not None else action[0]

  def _read(self, observation):
    """Inputs `[rows, ...]` by name, and the rows, None for one alone."""
    arrays, batched = read(self._policy, observation)
    rows = {len(array) for array in arrays.values()} if batched else {None}
    if len(rows) > 1 or rows == {0}:
      raise ValueError(
          f'Got observations of {sorted(rows)} environments; wanted as many of '
          'each key, and one at least.'
      )
    if not batched:
      arrays = {name: array[None] for name, array in arrays.items()}
    return arrays, rows.pop()

  def _is_first(self, is_first, rows):
    first = np.asarray(False if is_first is None else is_first)
    if first.dtype != bool or first.shape not in ((), (rows,)):
      raise ValueError(
          f'is_first must be a bool, or bools [{rows or 1}]; got '
          f'{first.dtype} {list(first.shape)}.'
      )
    return first


def _environments(rows):
  return 'one environment' if rows is None else f'{rows} environments'


@quiet.libraries()
def load_policy(path, seed=0):
  """Loads an exported policy, to act with.

  Args:
    path: Path of a folder that `bin/export` wrote.
    seed: int, of the latents that the policy draws.

  Returns:
    `Policy`, with `reset()` and `act(observation)`.

  Raises:
    ValueError: If it is no export, or one of another format.
  """
  return Policy(path, seed)


def read(policy, observation):
  """An observation as the inputs of `action`, by their names.

  Args:
    policy: `SavedPolicy`.
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


def check_parts(policy, arrays):
  """Refuses inputs of `action` that are not in the environment's space.

  Args:
    policy: `SavedPolicy`.
    arrays: Dict of arrays `[rows, ...]` by the inputs' names.

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


def as_array(name, value, spec):
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


def check_shape(name, array, spec):
  """Refuses an array whose rows have another shape.

  Args:
    name: What it is called.
    array: Array `[rows, ...]`.
    spec: Dict with the `shape` of a row.

  Raises:
    ValueError: If they have.
  """
  if list(array.shape[1:]) != spec['shape'] or array.ndim == 0:
    raise ValueError(
        f'{name} must have shape {spec["shape"]}, or one axis more for several '
        f'environments; got {list(array.shape[1:])}.'
    )
