"""What the tensors of an exported policy are called.

A step takes a flat dict of `observation_<key>`, `is_first` and `state_<field>`.
It gives `action` and the state after it: `state_<field>` in a SavedModel,
`next_state_<field>` in other formats.
"""

from collections.abc import Iterable
from typing import Any

from dreamerv2_tfa import specs

FIRST = 'is_first'
_STATE = 'state_'


def observations(keys: Iterable[str]) -> dict[str, str]:
  """Names of observations as inputs.

  Args:
    keys: Keys of the observation, such as 'image' or 'arm/position'.

  Returns:
    Dict from key to name: 'observation_image', 'observation_arm_position'; no
    two keys share one, see `specs.tensor_names`.
  """
  return {
      key: f'observation_{name}'
      for key, name in specs.tensor_names(keys).items()
  }


def state(fields: dict[str, Any]) -> dict[str, Any]:
  """Fields of a state, or of its specification, under their names: dict."""
  return {_STATE + field: value for field, value in fields.items()}


def next_state(fields: Any) -> dict[str, Any]:
  """The same of the state after a step, where names may not repeat: dict."""
  return {'next_' + name: value for name, value in state(fields).items()}


def fields(tensors: dict[str, Any]) -> dict[str, Any]:
  """The state among named tensors, by field: the inverse of `state`."""
  return {
      name.removeprefix(_STATE): value for name, value in tensors.items()
      if name.startswith(_STATE)
  }
