"""What clients send: JSON to arrays, or an error that names the fault.

Everything here raises `ValueError` for what a client got wrong.
"""

from collections.abc import Iterable
import json
from typing import Any

import numpy as np

from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import json_size
from dreamerv2_tfa.deployment import loaded
from dreamerv2_tfa.deployment import names

_FEW = 64  # values, in a request without arrays
_DEPTH = 32  # lists and objects around a number; NumPy's arrays have as many


def most_values(policy: loaded.SavedPolicy) -> int:
  """Values that a request's JSON may hold: twice what a policy can use."""
  row = sum(1 + _values(each['shape']) for each in policy.inputs.values())
  shown = sum(
      len(part.path) + _values(part.shape) for part in policy.parts or ())
  return 2 * max(batching.MOST * (row + 1), shown) + _FEW


def _values(shape):
  """Numbers and lists in one nested list of a shape."""
  return 1 + sum(np.cumprod(shape, dtype=int).tolist())


def read(body: bytes, known: Iterable[str], most: int = _FEW) -> dict[str, Any]:
  """A JSON object, which is measured before it is made.

  Args:
    body: UTF-8.
    known: Keys that it may have. The value of `signature_name` may be text,
      all others are numbers: NumPy would give each number beside a text as
      much room as that text takes.
    most: Values that it may hold.

  Returns:
    Dict; empty where the body is.
  """
  size = json_size.measure(body)
  if size.values > most or size.depth > _DEPTH:
    raise ValueError(
        f'The body is too large: got {size.values} values, nested '
        f'{size.depth} deep; wanted at most {most}, nested {_DEPTH} deep. Send '
        f'one observation, or {batching.MOST} instances at most.'
    )
  try:
    value = json.loads(
        body.decode() or '{}', parse_constant=_refuse_constant)
  except ValueError as error:
    raise ValueError(f'The body is no JSON: {error}.') from error
  if not isinstance(value, dict):
    raise ValueError(
        f'The body must be a JSON object; got {type(value).__name__}.'
    )
  if unknown := sorted(set(value) - set(known)):
    raise ValueError(
        f'The body has unknown keys {str(unknown)[:500]}; it may have '
        f'{sorted(known)}.'
    )
  if size.texts > isinstance(value.get('signature_name'), str):
    raise ValueError(
        'The body has text where numbers belong. Give numbers without quotes; '
        'only keys and signature_name are text.'
    )
  return value


def _refuse_constant(name):
  raise ValueError(f'{name} is no number in JSON')


def seed(body: dict[str, Any]) -> int | None:
  """The `seed` of a body, int32; None where there is none."""
  return _scalar('seed', body['seed'], 0) if 'seed' in body else None


def _scalar(name, value, low, high=2**31 - 1):
  whole = isinstance(value, int) and not isinstance(value, bool)
  if not whole or not low <= value <= high:
    raise ValueError(
        f'{name} must be a whole number from {low} to {high}; got '
        f'{str(value)[:40]}.'
    )
  return value


def observation(policy: loaded.SavedPolicy, body: dict[str, Any]) -> Any:
  """One environment's observation, `is_first` included.

  Args:
    policy: `loaded.SavedPolicy`.
    body: Dict with `observation`, and `is_first` or not.

  Returns:
    Dict of arrays `[1, ...]` by the inputs' names, and a bool or None.
  """
  if 'observation' not in body:
    raise ValueError("The body lacks the key 'observation'.")
  arrays, batched = client.read(policy, body['observation'])
  if batched:
    raise ValueError(
        'The observation must be that of one environment; got one axis more. '
        'A session is one environment.'
    )
  arrays = {name: array[None] for name, array in arrays.items()}
  is_first = body.get('is_first')
  if is_first is not None and not isinstance(is_first, bool):
    raise ValueError('is_first must be true, false or left out.')
  return arrays, is_first


def step_inputs(policy: loaded.SavedPolicy, body: dict[str, Any]) -> Any:
  """Inputs of `action` from the `instances` or `inputs` of a request.

  Args:
    policy: `loaded.SavedPolicy`.
    body: Dict with one of the two.

  Returns:
    Dict of arrays `[B, ...]` by name, and whether they came as instances.
  """
  if ('instances' in body) == ('inputs' in body):
    raise ValueError("The body must have either 'instances' or 'inputs'.")
  if by_row := 'instances' in body:
    fields = _columns(body['instances'], policy.inputs)
  else:
    fields = body['inputs']
    _check_names('inputs', fields, policy.inputs)
  arrays = {
      name: client.as_array(name, fields[name], spec)
      for name, spec in policy.inputs.items()
  }
  sizes = {array.shape[:1] for array in arrays.values()}
  for name, array in arrays.items():
    client.check_shape(name, array, policy.inputs[name])
  if len(sizes) > 1 or not 0 < len(arrays[names.FIRST]) <= batching.MOST:
    raise ValueError(
        f'All inputs must have the same size, 1 to {batching.MOST}; '
        f'got {sorted({len(array) for array in arrays.values()})}.'
    )
  client.check_parts(policy, arrays)
  return arrays, by_row


def _columns(instances, wanted):
  if not isinstance(instances, list) or not instances:
    raise ValueError("'instances' must be a list of one object or more.")
  for i, instance in enumerate(instances):
    _check_names(f'instances[{i}]', instance, wanted)
  return {name: [instance[name] for instance in instances] for name in wanted}


def _check_names(where, fields, wanted):
  got = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
  if got != sorted(wanted):
    raise ValueError(
        f'{where} must be an object of {sorted(wanted)}; got {str(got)[:500]}.'
    )


def initial_inputs(body: dict[str, Any]) -> Any:
  """`batch_size` and `seed` of `get_initial_state`: two ints."""
  if 'instances' in body or 'inputs' not in body:
    raise ValueError(
        "get_initial_state takes 'inputs': one batch_size and one seed."
    )
  _check_names('inputs', body['inputs'], ('batch_size', 'seed'))
  return (
      _scalar('batch_size', body['inputs']['batch_size'], 1, batching.MOST),
      _scalar('seed', body['inputs']['seed'], 0),
  )


def plain(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
  """Arrays as JSON has them: dict of lists; float32 comes back bit by bit."""
  return {name: np.asarray(array).tolist() for name, array in arrays.items()}


def instances_of(arrays: dict[str, Any]) -> list[dict[str, Any]]:
  """The same, instance by instance: list of dicts."""
  columns = plain(arrays)
  return [
      dict(zip(columns, instance, strict=True))
      for instance in zip(*columns.values(), strict=True)
  ]
