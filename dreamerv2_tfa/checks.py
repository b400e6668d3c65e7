"""Checks of settings, which say at once what was got and what was wanted."""

import numbers

_ENDLESS = 2**63 - 1


def integer(name, value, low=1, high=_ENDLESS):
  """Checks a whole number; 1e6 is one as well.

  Args:
    name: What the user calls the setting, such as 'RSSM.deter'.
    value: What was given.
    low: int, the smallest allowed.
    high: int, the largest allowed.

  Returns:
    int.

  Raises:
    ValueError: If it is no whole number from `low` to `high`.
  """
  if not _is_number(value) or value != value // 1 or not low <= value <= high:
    reach = f'from {low} to {high}' if high < _ENDLESS else f'of {low} or more'
    raise ValueError(
        f'{name} must be a whole number {reach}; got {value!r}. Change its '
        'binding, or leave it out for the default.'
    )
  return int(value)


def number(name, value, low=0.0, high=float('inf')):
  """Checks that a value is a number from `low` to `high`; see `integer`."""
  if not _is_number(value) or not low <= value <= high:
    reach = f'from {low} to {high}' if high < float('inf') else f'>= {low}'
    raise ValueError(
        f'{name} must be a number {reach}; got {value!r}. Change its binding, '
        'or leave it out for the default.'
    )


def positive(name, value):
  """Checks that a value is a number above 0."""
  if not _is_number(value) or not value > 0:
    raise ValueError(
        f'{name} must be a number above 0; got {value!r}. Change its binding, '
        'or leave it out for the default.'
    )


def choice(name, value, choices):
  """Checks that a value is one of a few."""
  if value not in choices:
    raise ValueError(
        f'{name} must be one of {", ".join(map(repr, choices))}; got '
        f'{value!r}.'
    )


def flag(name, value):
  """Checks that a value is True or False."""
  if not isinstance(value, bool):
    raise ValueError(f'{name} must be True or False; got {value!r}.')


def _is_number(value):
  return isinstance(value, numbers.Real) and not isinstance(value, bool)
