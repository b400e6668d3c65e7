"""`policy.json`: what an exported policy is, and which files it consists of."""

from collections.abc import Iterable
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import reading
from dreamerv2_tfa import specs as specs_lib
from dreamerv2_tfa.deployment import names

FILE = 'policy.json'
_KINDS = {  # of what is read of it
    'format': str, 'files': dict, 'inputs': dict, 'observation': dict,
    'parts': list | None,
}
_SUM = 'sum'  # of the file itself; earlier versions wrote none
_VERSIONS = (1, 2)  # of the file, that can be read; the last one is written


def describe(functions: Any, outputs: Iterable[str]) -> dict[str, Any]:
  """What goes in and out: dict, as it stands in the file.

  Args:
    functions: `model.Functions`.
    outputs: Names of the tensors that a step gives.

  Returns:
    Dict. `observation`, `action` and `inputs` are the environment's, `parts`
    how its observation is read; under `agent` what the agent reads.
  """
  parts = functions.parts
  own = functions.observation_spec
  shown = own if parts is None else {part.key: part for part in parts}
  return {
      'signature': 'environment',
      'observation': _observation(shown),
      'parts': None if parts is None else [part.to_json() for part in parts],
      'by_client': [part.key for part in parts or () if part.shrinks],
      'state': _fields(functions.state_spec),
      'action': _field(functions.policy.action_spec),
      'inputs': _inputs(functions.step_inputs()),
      'outputs': sorted(outputs),
      'agent': {
          'signature': 'agent_action',
          'observation': _observation(own),
          'inputs': _inputs(functions.step_inputs(own)),
      },
  }


def _inputs(specs):
  return {
      name: {'shape': spec.shape[1:].as_list(), 'dtype': spec.dtype.name}
      for name, spec in specs.items()
  }


def _fields(specs):
  return {name: _field(spec) for name, spec in specs.items()}


def _observation(specs):
  """Fields of an observation, with the names of the inputs that take them."""
  inputs = names.observations(specs)
  return {
      key: {**field, 'input': inputs[key]}
      for key, field in _fields(specs).items()
  }


def _field(spec):
  """Shape, dtype and finite bounds of a spec, or of an `observations.Part`."""
  dtype = getattr(spec.dtype, 'name', spec.dtype)
  field = {'shape': list(spec.shape), 'dtype': dtype}
  low = getattr(spec, 'minimum', getattr(spec, 'low', None))
  high = getattr(spec, 'maximum', getattr(spec, 'high', None))
  if low is not None and np.isfinite([np.max(high), np.min(low)]).all():  # pyright: ignore[reportArgumentType, reportCallIssue]
    field['minimum'] = specs_lib.plain(low)
    field['maximum'] = specs_lib.plain(high)
  return field


def hashes(folder: str | os.PathLike) -> dict[str, str]:
  """SHA-256 of every file but `policy.json`: dict by path in the folder."""
  return {name: _sha256(path) for name, path in _files(folder).items()}


def _files(folder):
  """Every file but `policy.json`: dict by path in the folder."""
  folder = pathlib.Path(folder)
  return {
      path.relative_to(folder).as_posix(): path
      for path in sorted(folder.rglob('*'))
      if path.is_file() and path != folder / FILE
  }


def _sha256(path):
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def fingerprint(folder: str | os.PathLike) -> str:
  """SHA-256 of `policy.json`, which has that of every other file."""
  return _sha256(pathlib.Path(folder) / FILE)


def write(folder: str | os.PathLike, described: dict[str, Any]) -> None:
  """Writes `policy.json`, with the hashes of the files that are there.

  Args:
    folder: The export.
    described: Dict that JSON can hold.
  """
  described = {
      'version': _VERSIONS[-1], **described, 'tensorflow': tf.__version__,
      'files': hashes(folder),
  }
  described[_SUM] = _sum(described)
  path = pathlib.Path(folder) / FILE
  path.write_text(json.dumps(described, indent=2) + '\n', encoding='utf-8')


def _sum(described):
  """SHA-256 of all that a `policy.json` says but for this sum itself."""
  rest = {key: value for key, value in described.items() if key != _SUM}
  text = json.dumps(rest, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def read(folder: str | os.PathLike) -> dict[str, Any]:
  """Reads `policy.json`.

  Args:
    folder: The export.

  Returns:
    Dict. `signature` is 'environment', or 'agent' where an earlier version has
    exported: then observations are those that the agent reads.

  Raises:
    ValueError: If there is none, or one that a newer version has written, or
      it lacks something.
  """
  path = pathlib.Path(folder) / FILE
  try:
    described = reading.parsed(reading.text(path))
  except (OSError, ValueError) as error:
    raise ValueError(
        f'{folder} is no exported policy: {path} cannot be read '
        f'({getattr(error, "strerror", error)}). Make one with bin/export '
        '--root_dir=RUN --out=DIR.'
    ) from error
  version = described.get('version') if isinstance(described, dict) else None
  if version not in _VERSIONS:
    raise ValueError(
        f'{path} has version {version}; this package reads {_VERSIONS}. Take '
        'the package that wrote it, or export again.'
    )
  is_whole = described.get(_SUM) in (None, _sum(described))
  # Version 1 has the agent's form alone, whatever the environment's is.
  described = {'signature': 'agent', 'parts': None, **described}
  wrong = [
      name for name, kind in _KINDS.items()
      if not isinstance(described.get(name), kind)
  ]
  if wrong:
    raise ValueError(
        f'{path} is damaged: it lacks {", ".join(wrong)}, or has something '
        'else there. Copy the export again, or export again.'
    )
  if not is_whole:
    raise ValueError(
        f'{path} is damaged, or was edited: it is not as bin/export has '
        f'written it. Copy the export again, or export again; delete {_SUM!r} '
        'in it if you have edited it.'
    )
  return described


def check_files(folder: str | os.PathLike, described: dict[str, Any]) -> None:
  """Refuses files that are not those that were exported.

  Args:
    folder: The export.
    described: Dict from `read`.

  Raises:
    ValueError: If one is missing, new or changed.
  """
  there, wanted = _files(folder), described['files']
  # A file that is new is not read: it may be of any size.
  wrong = there.keys() ^ wanted.keys() or {
      name for name, path in there.items() if _sha256(path) != wanted[name]
  }
  if wrong:
    raise ValueError(
        f'In {folder} these files are missing, new or changed since the '
        f'export: {", ".join(sorted(wrong))}. Export again, or copy them and '
        f'{FILE} again.'
    )
