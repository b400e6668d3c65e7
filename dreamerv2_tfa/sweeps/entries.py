"""The list of a sweep, `sweep.jsonl`: one run a line.

Lists travel with their folders. What one says is data: it names folders inside
its own, has flags that `bin/sweep` writes and no others, and has no module
imported, and no gin file read but a preset, unless the command names it again.
"""

import ast
from collections.abc import Sequence
import json
import os
import pathlib
import re
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import presets

FLAGS = ('task', 'seed', 'gin_file', 'gin_bindings', 'steps', 'precision',
         'environments')
_FLAG = re.compile(rf'--({"|".join(FLAGS)})=(.*)', re.S)
_RUN = re.compile(r'[A-Za-z0-9][\w.=+~-]*-seed\d+', re.A)
_NAME = 'sweep.jsonl'


class Entry(NamedTuple):
  """A run of a sweep; a line of its list has these keys."""

  run: str  # name of its folder
  task: str
  seed: int
  vary: dict[str, str]  # settings that vary, and their values as gin reads them
  command: list[str]  # arguments of bin/train, without --root_dir


class Folder:
  """The paths of a sweep's folder, which need not exist.

  Attributes:
    root: The folder.
    path: Its list.
    lock: File that a process locks while it runs the list.
  """

  def __init__(self, root: str | os.PathLike):
    """Knows the paths; reads and writes nothing.

    Raises:
      ValueError: If `root` is no path.
    """
    self.root = checks.folder('--sweep_dir', root)
    self.path = self.root / _NAME
    self.lock = self.root / 'lock'

  def check_kinds(self) -> None:
    """Refuses a folder where a sweep would write elsewhere.

    The runs' folders are left to `bin/train`, which checks its own.

    Raises:
      UserError: If there is a link that leads out of it, a pipe or a device.
    """
    reading.check_kinds(self.root, writes=True, deep=False)

  def run(self, entry: Entry) -> pathlib.Path:
    """The folder of a run."""
    return self._inside(entry.run)

  def log(self, entry: Entry) -> pathlib.Path:
    """The file that has what a run prints."""
    return self._inside(f'{entry.run}.log')

  def _inside(self, name):
    path = self.root / name
    there = os.path.join(os.path.realpath(self.root), name)
    if os.path.realpath(path) != there:
      raise checks.UserError(
          f'{path} is a link to {os.path.realpath(path)}, where a run of this '
          'sweep would write. Put what it leads to in its place; to train on '
          'another disk, move the whole folder there.')
    return path

  def arguments(self, entry: Entry) -> list[str]:
    """The arguments of `bin/train` for a run."""
    return [*entry.command, f'--root_dir={self.run(entry)}']


def settings(entry: Entry) -> tuple[list[str], list[str]]:
  """The gin files of a run, and its bindings, those of flags last."""
  given = [each[2:].partition('=')[::2] for each in entry.command]
  of = lambda wanted: [value for name, value in given if name == wanted]
  return of('gin_file'), of('gin_bindings') + [
      f'train.{name} = {_literal(name, value)}' for name, value in given
      if name in ('precision', 'steps', 'environments')]


def _literal(name, value):
  """The value of a flag as gin reads it; `bin/train` refuses what is none."""
  try:
    return repr(value if name == 'precision' else int(float(value)))
  except (ValueError, OverflowError):
    return repr(value)


def write(folder: Folder, listed: Sequence[Entry]) -> None:
  """Writes a list, whole or not at all.

  Raises:
    UserError: If it cannot be written.
  """
  text = ''.join(
      json.dumps(entry._asdict(), ensure_ascii=False) + '\n'
      for entry in listed)
  try:
    durable.write_text(folder.path, text)
  except OSError as error:
    folder.path.with_name(f'{_NAME}.part').unlink(missing_ok=True)
    raise checks.UserError(
        f'{folder.path} cannot be written ({error.strerror}). Make room, or '
        'give another --sweep_dir.') from error


def read(folder: Folder) -> list[Entry]:
  """The list in a folder; empty where there is none.

  Raises:
    UserError: If it is damaged, or no list that `write` writes.
  """
  if not os.path.lexists(folder.path):
    return []
  number, found = 0, []
  try:
    text = reading.text(folder.path).removesuffix('\n')
    for line in text.split('\n') if text else []:
      number += 1
      found.append(_entry(reading.parsed(line)))
    names = [entry.run.lower() for entry in found]
    if len(set(names)) < len(names) or not names:
      raise ValueError('two runs have one folder' if names else 'it is empty')
  except (ValueError, OSError) as error:
    place = f', line {number},' if number else ''
    raise checks.UserError(
        f'{folder.path}{place} is damaged ({error}). Put it back from a copy; '
        'or move it away and give the tasks and flags that wrote it again: '
        'runs of the same names resume.') from error
  return found


def _entry(line):
  """An entry of what JSON says."""
  if not isinstance(line, dict) or set(line) != set(Entry._fields):
    raise ValueError(f'wanted an object with {", ".join(Entry._fields)}')
  entry = Entry(**line)
  command = entry.command if isinstance(entry.command, list) else [None]
  flags = [_FLAG.fullmatch(each) if isinstance(each, str) else None
           for each in command]
  if not all(flags):
    raise ValueError(f'wanted a command of the flags {", ".join(FLAGS)} alone')
  given = [match.groups() for match in flags if match]
  vary = entry.vary if isinstance(entry.vary, dict) else {'': None}
  if not isinstance(entry.run, str) or not _RUN.fullmatch(entry.run):
    raise ValueError(f'{entry.run!r} is no name of a run')
  if not all(isinstance(value, str) for value in vary.values()):
    raise ValueError('wanted texts by name in vary')
  if type(entry.seed) is not int or not isinstance(entry.task, str) or (
      sorted(pair for pair in given if pair[0] in ('task', 'seed'))
      != [('seed', str(entry.seed)), ('task', entry.task)]):
    raise ValueError('task and seed are others than those of the command')
  return entry


def check_same(
    folder: Folder, listed: Sequence[Entry], given: Sequence[Entry],
) -> None:
  """Refuses runs that differ from those of the list.

  Args:
    folder: Of the sweep.
    listed: Of `read`.
    given: Those of the command line.

  Raises:
    UserError: If they differ, with the first difference.
  """
  if list(listed) == list(given):
    return
  said = lambda entry: ' '.join(entry.command) if entry else 'no run'
  longest = max(len(listed), len(given))
  pad = lambda entries: [*entries, *[None] * (longest - len(entries))]
  number, there, here = next(
      (number, *pair) for number, pair in enumerate(
          zip(pad(listed), pad(given), strict=True), 1) if pair[0] != pair[1])
  raise checks.UserError(
      f'{folder.path} lists other runs: line {number} is {said(there)}; got '
      f'{said(here)}. Without tasks, the list there is run; for other runs '
      'give another --sweep_dir; or move the list away: runs of the same names '
      'resume.')


def check_imports(
    folder: Folder, listed: Sequence[Entry], again: str,
) -> None:
  """Refuses a list that would have a module imported.

  Args:
    folder: Of the sweep.
    listed: Of `read`.
    again: The program.

  Raises:
    UserError: If there is such an entry, with the way to give one's word.
  """
  for number, entry in enumerate(listed, 1):
    if found := _imports(entry):
      raise checks.UserError(
          f'{folder.path}, line {number}, has {found}, which may import and '
          'run a module. If it is yours, or you trust it, give the tasks and '
          f'flags that wrote it again: {again} {entry.task} ... '
          f'--sweep_dir={folder.root}.')


def _imports(entry):
  """What in an entry may import a module, in words; None where nothing does."""
  if tasks.names_module(entry.task):
    return f'the task {entry.task!r}'
  for argument in entry.command:
    name, _, value = argument[2:].partition('=')
    if name == 'gin_bindings' and not _is_plain(value):
      return f'the binding {value!r}'
    if name == 'gin_file' and f'{value}.gin' not in presets.names():
      return f'the gin file {value!r}'
  return None


def _is_plain(binding):
  """Whether a binding sets a setting to a value in which no module is named.

  References, macros and constants may lead to any value, so they are not plain.
  """
  match = re.fullmatch(r'[ \t]*[\w./]+[ \t]*=([^\r\n]*)', binding, re.A)
  if not match:
    return False
  try:
    value = ast.parse(match[1].strip(), mode='eval')
    ast.literal_eval(value)
  except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
    return False
  return not any(
      isinstance(node, ast.Constant) and tasks.names_module(str(node.value))
      for node in ast.walk(value))
