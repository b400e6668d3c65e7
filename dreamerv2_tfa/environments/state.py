"""Saves the environments of a batch, and restores them for an exact resume.

    seal | length of the header | header, JSON | arrays, one after another

The header has the nest, in which `{"$array": i}` stands for an array, and each
array's dtype and shape. Nothing is unpickled or unpacked, so the data is never
larger in memory than it is as bytes.
"""

from collections.abc import Mapping
import json
import math
import struct
import traceback
from typing import Any

from absl import logging
import numpy as np
from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment
import tree

from dreamerv2_tfa.environments import layers
from dreamerv2_tfa.environments import seal

_FORMAT = 1
_LENGTH = struct.Struct('<Q')
_KINDS = 'biufSU'  # of dtypes: no object is among them


def capture(environment: tf_environment.TFEnvironment) -> bytes | None:
  """Saves the state of all environments of a batch, between two steps.

  Args:
    environment: Made by a `Task`.

  Returns:
    What `restore` takes. None for environments that cannot be saved (DeepMind
    Control, Crafter, MiniGrid, your own without `get_state`), or that are
    written in TensorFlow, whose variables a checkpoint takes.
  """
  if not isinstance(environment, tf_py_environment.TFPyEnvironment):
    return None
  try:
    # Its `_execute` calls a function in the environments' thread.
    return encode(environment._execute(lambda: {
        'specs': _specs(environment),
        'time_step': layers.plain(environment._time_step),
        'environments': layers.get(environment.pyenv)}))
  except NotImplementedError:
    return None
  except Exception as error:  # its code may raise anything
    trace = '' if isinstance(error, OSError) else traceback.format_exc()
    logging.log_first_n(
        logging.ERROR, 'The state of the environment cannot be saved (%s: %s): '
        'a resume will start a new episode.\n%s', 1, type(error).__name__,
        error, trace)
    return None


def restore(environment: tf_environment.TFEnvironment, data: bytes) -> None:
  """Restores a state; the next step continues exactly where it was saved.

  Args:
    environment: Of the same task, with as many environments.
    data: What `capture` has returned.

  Raises:
    ValueError: If the state was not sealed by this user, is damaged, or does
      not fit. The environments must then be reset or made again.
  """
  if not isinstance(environment, tf_py_environment.TFPyEnvironment):
    raise ValueError(
        'The saved state is of an environment in Python; got one in '
        'TensorFlow. Take the task of the run.')

  inside: Any = environment  # TF-Agents annotates its time step as None

  def write(state):
    layers.put(inside.pyenv, state['environments'])
    inside._time_step = layers.time_step(state['time_step'])

  try:
    state = decode(data)
    if state['specs'] != _specs(environment):
      raise ValueError(
          f'it is of other environments: got {state["specs"]}, wanted '
          f'{_specs(environment)}')
    inside._execute(write, state)
  except Exception as error:  # its code may raise anything
    text = str(error) if type(error) is ValueError else (
        f'{type(error).__name__}: {error}')
    raise ValueError(
        f'The saved state of the environment was not restored: {text}.'
    ) from error


def encode(nest: Any) -> bytes:
  """Writes a nest of data as bytes, sealed for this user.

  Args:
    nest: Dicts with keys of text, lists, tuples, numbers, text, bytes, None
      and arrays.

  Raises:
    NotImplementedError: If anything else is in it.
    OSError: If there is no key to seal it, and none can be written.
  """
  arrays, numbers = [], {}
  written = _written(nest, arrays, numbers)
  header = json.dumps({
      'format': _FORMAT, 'nest': written,
      'arrays': [[array.dtype.str, array.shape] for array in arrays],
  }).encode()
  return seal.seal(b''.join([
      _LENGTH.pack(len(header)), header,
      *(array.tobytes() for array in arrays)]))


def decode(data: bytes) -> Any:
  """Reads what `encode` has written.

  Raises:
    ValueError: If it is damaged, or this user has not sealed it.
  """
  data = seal.opened(bytes(data))
  start = _LENGTH.size + _LENGTH.unpack_from(data)[0]
  header = json.loads(data[_LENGTH.size:start])
  if header['format'] != _FORMAT:
    raise ValueError(
        f'its format is {header["format"]}, wanted {_FORMAT}; another version '
        'of dreamerv2_tfa has saved it')
  arrays = []
  for name, shape in header['arrays']:
    dtype = np.dtype(name)
    size = dtype.itemsize * math.prod(shape)
    if dtype.kind not in _KINDS or start + size > len(data):
      raise ValueError(f'an array {name} {shape} is not in it')
    # A copy: an environment may write to what it is given.
    arrays.append(np.frombuffer(
        data[start:start + size], dtype).reshape(shape).copy())
    start += size
  return _read(header['nest'], arrays)


def _specs(environment):
  """Shapes and dtypes by name, and the number of environments."""
  specs = {'action': environment.action_spec(),
           **environment.time_step_spec()._asdict()}
  return [environment.batch_size, *(
      f'{"/".join(map(str, path))} {spec.dtype.name} {list(spec.shape)}'
      for path, spec in tree.flatten_with_path(specs))]


def _written(nest, arrays, numbers):
  """Replaces what JSON has not; adds to `arrays` and to their `numbers`."""
  inner = lambda each: _written(each, arrays, numbers)
  if nest is None or type(nest) in (bool, int, float, str):
    return nest
  if isinstance(nest, np.ndarray | np.generic | bytes):
    kind = 'array' if isinstance(nest, np.ndarray) else (
        'bytes' if isinstance(nest, bytes) else 'number')
    # Layers share an observation, which is saved once.
    if id(nest) not in numbers:
      array = np.frombuffer(nest, np.uint8) if kind == 'bytes' else (
          np.asarray(nest))
      if array.dtype.kind not in _KINDS:
        raise NotImplementedError(f'No data: an array of {array.dtype}.')
      numbers[id(nest)] = len(arrays)
      arrays.append(array)
    return {f'${kind}': numbers[id(nest)]}
  if isinstance(nest, list):
    return [inner(each) for each in nest]
  if type(nest) is tuple:
    return {'$tuple': [inner(each) for each in nest]}
  if isinstance(nest, Mapping) and all(
      isinstance(key, str) and key[:1] != '$' for key in nest):
    return {key: inner(each) for key, each in nest.items()}
  raise NotImplementedError(f'No data: {type(nest).__name__}.')


def _read(nest, arrays):
  """Undoes `_written`."""
  if isinstance(nest, list):
    return [_read(each, arrays) for each in nest]
  if not isinstance(nest, dict):
    return nest
  for kind, value in nest.items():
    if kind == '$array':
      return arrays[value]
    if kind == '$number':
      return arrays[value][()]
    if kind == '$bytes':
      return arrays[value].tobytes()
    if kind == '$tuple':
      return tuple(_read(each, arrays) for each in value)
  return {key: _read(each, arrays) for key, each in nest.items()}
