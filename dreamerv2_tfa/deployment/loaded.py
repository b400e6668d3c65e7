"""An export of any format, loaded: a function from elements to elements."""

import os
import warnings

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa.deployment import formats
from dreamerv2_tfa.deployment import manifest as manifest_lib
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.deployment import player
from dreamerv2_tfa.deployment import trust as trust_lib
from dreamerv2_tfa.environments import extras


class SavedPolicy:
  """The greedy policy of an export, a step at a time.

  A SavedModel draws its latents from a seed, and computes each batch element by
  itself, whatever the others are. TensorFlow Lite and ONNX take the mode of the
  latent, so that no seed matters, and compute the elements together: the last
  bits of one depend on how many there are.

  Attributes:
    manifest: Dict, the export's `policy.json`.
    inputs: Dict of `{'shape': ..., 'dtype': ...}` of one element, by name.
    observations: Dict from each key of the observation to its input's name.
    parts: List of `observations.Part`: how the environment's observation is
      read. None: `action` takes what the agent reads.
  """

  def __init__(self, path: str | os.PathLike, trust: str | None = None):
    """Loads an export.

    Args:
      path: A folder that `bin/export` wrote.
      trust: See `trust.check`.

    Raises:
      ValueError: If it is no export, or one that is not trusted, or its file
        cannot be read, or the package that runs its format is not installed, or
        TensorFlow cannot read at this path.
    """
    path = checks.folder("The policy's folder", path)
    self.manifest = manifest_lib.read(path)
    if self.manifest['signature'] == 'agent':
      _warn_of_earlier(path, self.manifest)
    parts = self.manifest['parts']
    self.parts = None if parts is None else [
        observations.from_json(part) for part in parts]
    self.inputs = self.manifest['inputs']
    self.observations = names.observations(self.manifest['observation'])
    self._initial_state, self._step = _functions(
        path, self.manifest, trust)

  def initial_state(self, batch_size: int, seed: int) -> dict[str, np.ndarray]:
    """The state before an episode.

    Args:
      batch_size: int B.
      seed: int32, of the latents, if the format draws any.

    Returns:
      Dict of arrays `[B, ...]` by name, `state_...`.
    """
    return self._initial_state(batch_size, seed)

  def step(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes one step.

    Args:
      inputs: Dict of arrays `[B, ...]`, one for each of `self.inputs`.

    Returns:
      Dict of arrays `[B, ...]`: `action`, and the state after it,
      `state_...`.
    """
    return self._step(inputs)


def _functions(path, manifest, trust):
  """Functions from a count and a seed to states, and from inputs to outputs."""
  name = manifest['format']
  if name not in formats.names():
    raise ValueError(
        f'{path} holds a policy in the format {name!r}; this package reads '
        f'{", ".join(map(repr, formats.names()))}. Export again, with '
        '--format=saved_model.')
  trust_lib.check(path, manifest, trust)
  modules, extra = formats.get(name).PACKAGES
  if extra is not None:
    extras.load(modules[0], extra)
  try:
    start, step = player.load(path, manifest, 'action', manifest['inputs'])
  except Exception as error:  # of TensorFlow, TFLite, ONNX Runtime
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    raise ValueError(
        f'The policy in {path} cannot be read: {reason} Copy the export again, '
        'or export again.') from error

  def renamed(inputs):
    outputs = step({
        name: np.ascontiguousarray(value) for name, value in inputs.items()})
    return {name.removeprefix('next_'): x for name, x in outputs.items()}

  return start, renamed


def _warn_of_earlier(path, manifest):
  """Tells that an export takes and gives what the agent does."""
  warnings.warn(
      f'{path} was exported by an earlier version: it takes what the agent '
      f'reads ({_fields(manifest["observation"])}) and gives its action '
      f'({_fields({"action": manifest["action"]})}), which may differ from '
      'what the environment shows and takes. Export again for that.',
      stacklevel=4)


def _fields(fields):
  """Fields of `policy.json` in words."""
  return ', '.join(
      f'{name} {field["dtype"]} {field["shape"]}' + (
          f' from {np.min(field["minimum"]):g} to {np.max(field["maximum"]):g}'
          if 'minimum' in field else '')
      for name, field in fields.items())
