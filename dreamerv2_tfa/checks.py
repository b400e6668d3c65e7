"""Checks of settings, which say at once what was got and what was wanted.

A check of a number returns it as what it was checked to be: 3.0 as the int 3,
the int 1 or a NumPy number as a float. Callers use that, never what
they were given (tests/architecture_test.py).
"""

from collections.abc import Iterable
import difflib
import linecache
import numbers
import pathlib
import re
import traceback
from typing import Any

_ENDLESS = 2**63 - 1


class UserError(ValueError):
  """What a check of this package refuses, with the way to fix it.

  Programs show it as one line. See `is_refusal` for what else is shown so.
  """


def is_refusal(error: BaseException) -> bool:
  """Whether an error says what a user can fix, so that it needs no traceback.

  That is told by where it comes from, not by its type: an error of the same
  type out of an environment's code, NumPy, or a slip of our own is a fault.

  Args:
    error: An exception that has been raised.

  Returns:
    True for a `UserError`, for a `ValueError` or `TypeError` that a `raise` of
    this package's made, or that came up in gin or TF-Agents.
  """
  if isinstance(error, UserError):
    return True
  frames = list(traceback.walk_tb(error.__traceback__))
  if not frames or not isinstance(error, ValueError | TypeError):
    return False
  frame, line = frames[-1]
  package = frame.f_globals.get('__name__', '').partition('.')[0]
  if package == 'dreamerv2_tfa':
    source = linecache.getline(frame.f_code.co_filename, line)
    return source.lstrip().startswith('raise ')
  return package in ('gin', 'tf_agents')


def near(word: str, choices: Iterable[str]) -> list[str]:
  """Returns the choices that a misspelt word may mean, the nearest first.

  Args:
    word: What was given. Case does not matter, nor '-' for '_'.
    choices: Iterable of str.

  Returns:
    List of str, at most three.
  """
  word = _fold(word)
  ratio = lambda choice: difflib.SequenceMatcher(
      None, _fold(choice), word).ratio()
  found = {choice: ratio(choice) for choice in choices}
  best = max(found.values(), default=0.0)
  least = max(best - 0.05, 0.7)
  return [
      choice for choice in sorted(found, key=found.__getitem__, reverse=True)
      if found[choice] >= least][:3]


def did_you_mean(word: Any, choices: Iterable[str]) -> str:
  """Returns ' Did you mean X?' for the nearest choices, '' without one."""
  found = near(word, choices) if isinstance(word, str) else []
  return f' Did you mean {" or ".join(found)}?' if found else ''


def _fold(word):
  return word.lower().replace('-', '_')


def integer(
    name: str, value: Any, low: float = 1, high: float = _ENDLESS,
) -> int:
  """Checks a whole number; 1e6 is one as well.

  Args:
    name: What the user calls the setting, such as 'RSSM.deter'.
    value: What was given.
    low: The smallest allowed.
    high: The largest allowed.

  Raises:
    UserError: If it is no whole number from `low` to `high`.
  """
  if not _is_number(value) or value != value // 1 or not low <= value <= high:
    reach = f'from {low} to {high}' if high < _ENDLESS else f'of {low} or more'
    raise UserError(
        f'{name} must be a whole number {reach}; got {value!r}. '
        f'{_way_out(name)}'
    )
  return int(value)


def number(
    name: str, value: Any, low: float = 0.0, high: float = float('inf'),
) -> float:
  """Checks a number from `low` to `high` and returns it as a float."""
  if not _is_number(value) or not low <= value <= high:
    reach = f' from {low} to {high}' if high < float('inf') else f' >= {low}'
    reach = reach if low > float('-inf') else ''
    raise UserError(
        f'{name} must be a number{reach}; got {value!r}. '
        f'{_way_out(name)}'
    )
  return float(value)


def positive(name: str, value: Any) -> float:
  """Checks a number above 0 and returns it as a float."""
  if not _is_number(value) or not value > 0:
    raise UserError(
        f'{name} must be a number above 0; got {value!r}. '
        f'{_way_out(name)}'
    )
  return float(value)


def choice(name: str, value: Any, choices: Iterable[Any]) -> None:
  """Checks that a value is one of a few."""
  if not any(value == each for each in choices):
    texts = [repr(each) for each in choices if isinstance(each, str)]
    raise UserError(
        f'{name} must be one of {", ".join(map(repr, choices))}; got '
        f'{value!r}.{did_you_mean(repr(value), texts)}'
    )


def flag(name: str, value: Any) -> None:
  """Checks that a value is True or False."""
  if not isinstance(value, bool):
    raise UserError(f'{name} must be True or False; got {value!r}.')


def several(name: str, values: Any) -> tuple[Any, ...]:
  """Checks that there are several values, and returns them as a tuple."""
  if not isinstance(values, list | tuple):
    raise UserError(
        f'{name} must be several values in brackets, such as (4, 4); got '
        f'{values!r}.'
    )
  return tuple(values)


def pattern(name: str, value: Any) -> re.Pattern[str]:
  """Checks a regular expression.

  Args:
    name: What the user calls the setting, such as 'Encoder.image_keys'.
    value: What was given.

  Returns:
    Compiled pattern.

  Raises:
    UserError: If it is none.
  """
  try:
    return re.compile(value)
  except (re.error, TypeError) as error:
    raise UserError(
        f'{name} must be a regular expression; got {value!r} ({error}).'
    ) from error


def folder(name: str, value: Any) -> pathlib.Path:
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


def _way_out(name):
  what = 'it' if name.startswith('--') else 'its binding'
  return f'Change {what}, or leave it out for the default.'
