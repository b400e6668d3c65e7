"""An export of any format, loaded: a function from rows to rows."""

import warnings

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.deployment import replay
from dreamerv2_tfa.environments import extras

_FORMATS = ('saved_model', 'tflite', 'onnx')


class SavedPolicy:
  """The greedy policy of an export, a step at a time.

  A SavedModel draws its latents from a seed, and computes each row by itself:
  it depends on no other row. TensorFlow Lite and ONNX take the mode of the
  latent, so that no seed matters, and compute the rows together: the last bits
  of one depend on how many there are.

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
      ValueError: If it is no export, or its file cannot be read, or the package
        that runs its format is not installed, or TensorFlow cannot read at this
        path.
    """
    path = checks.folder("The policy's folder", path)
    self.facts = manifest.read(path)
    if self.facts['signature'] == 'agent':
      _warn_of_earlier(path, self.facts)
    parts = self.facts['parts']
    self.parts = None if parts is None else [
        observations.from_facts(part) for part in parts]
    self.inputs = self.facts['inputs']
    self.observations = names.observations(self.facts['observation'])
    self._initial_state, self._step = _functions(path, self.facts)

  def initial_state(self, rows, seed):
    """The state of `rows` rows before an episode.

    Args:
      rows: int.
      seed: int32, of their latents, if the format draws any.

    Returns:
      Dict of arrays `[rows, ...]` by name, `state_...`.
    """
    return self._initial_state(rows, seed)

  def step(self, inputs):
    """Takes one step of each row.

    Args:
      inputs: Dict of arrays `[rows, ...]`, one for each of `self.inputs`.

    Returns:
      Dict of arrays `[rows, ...]`: `action`, and the state after it,
      `state_...`.
    """
    return self._step(inputs)


def _functions(path, facts):
  """Functions from rows and a seed to states, and from inputs to outputs."""
  form = facts['format']
  if form not in _FORMATS:
    raise ValueError(
        f'{path} holds a policy in the format {form!r}; this package reads '
        f'{", ".join(map(repr, _FORMATS))}. Export again, with '
        '--format=saved_model.')
  if form == 'onnx':
    extras.load('onnxruntime', 'onnx')
  if form != 'saved_model':
    _check_file(path, facts, f'policy.{form}')
  try:
    if form == 'saved_model':
      return _saved_model(path)
    start, step = replay.load(path, facts, 'action', facts['inputs'])
  except Exception as error:  # of TensorFlow, TFLite, ONNX Runtime
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    raise ValueError(
        f'The policy in {path} cannot be read: {reason} Copy the export again, '
        'or export again.') from error
  state = lambda rows, seed: start(rows)

  def renamed(inputs):
    outputs = step({
        name: np.ascontiguousarray(value) for name, value in inputs.items()})
    return {name.removeprefix('next_'): x for name, x in outputs.items()}

  return state, renamed


def _check_file(path, facts, name):
  """Refuses a damaged file: TensorFlow Lite would end the process."""
  if manifest.hashes(path).get(name) != facts['files'].get(name):
    raise ValueError(
        f'{path / name} is missing or changed since the export. Copy it again, '
        'or export again.')


def _saved_model(path):
  """The functions of a SavedModel; they hold it, as signatures do not."""
  model = tf.saved_model.load(str(path))

  def initial_state(rows, seed):
    return _arrays(model.signatures['get_initial_state'](
        batch_size=tf.constant(rows, tf.int32), seed=tf.constant(seed, tf.int32)
    ))

  def step(inputs):
    return _arrays(model.signatures['action'](
        **{name: tf.constant(value) for name, value in inputs.items()}
    ))

  return initial_state, step


def _arrays(tensors):
  return {name: tensor.numpy() for name, tensor in tensors.items()}


def _warn_of_earlier(path, facts):
  """Tells that an export takes and gives what the agent does."""
  warnings.warn(
      f'{path} was exported by an earlier version: it takes what the agent '
      f'reads ({_fields(facts["observation"])}) and gives its action '
      f'({_fields({"action": facts["action"]})}), which may differ from what '
      'the environment shows and takes. Export again for that.',
      stacklevel=4)


def _fields(fields):
  """Fields of `policy.json` in words."""
  return ', '.join(
      f'{name} {field["dtype"]} {field["shape"]}' + (
          f' from {np.min(field["minimum"]):g} to {np.max(field["maximum"]):g}'
          if 'minimum' in field else '')
      for name, field in fields.items())
