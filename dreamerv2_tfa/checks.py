"""Checks of settings, which say at once what was got and what was wanted."""

import numbers
import pathlib
import re

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


def folder(name, value):
  """Checks the path of a folder that TensorFlow shall read and write.

  Args:
    name: What the user calls it, such as '--root_dir'.
    value: str or path; a leading ~ is expanded.

  Returns:
    `pathlib.Path`.

  Raises:
    ValueError: If it is empty or a URL, or TensorFlow takes it for a pattern.
  """
  text = str(value)
  if re.match(r'[A-Za-z][A-Za-z0-9+.-]*:/', text) or not text:
    raise ValueError(
        f'{name} must be the path of a folder of this machine; got {text!r}. '
        'Give a local path, and copy the folder from or to other places.'
    )
  found = re.search(r'[][*?\\]', text)
  if found:
    raise ValueError(
        f'{name} = {text!r} has the character {found.group()!r}, which '
        'TensorFlow takes for a pattern. Give a path without [ ] * ? and \\.'
    )
  return pathlib.Path(text).expanduser()


def _is_number(value):
  return isinstance(value, numbers.Real) and not isinstance(value, bool)
