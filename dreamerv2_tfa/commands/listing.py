"""Lists of tasks, of presets, and of the settings of a run."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import re
import sys

from dreamerv2_tfa import checks
from dreamerv2_tfa import columns
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.training import presets

_LINE = re.compile(r'^(\S+) = (.*)$')
_WIDTH = 80


def shown(argv: Sequence[str]) -> bool:
  """Prints the list that a flag asks for.

  Args:
    argv: The program and its words.

  Returns:
    Whether a flag asked for a list.

  Raises:
    UserError: If no task has the given prefix.
  """
  if configuration.value('list_presets'):
    help_lib.say('\n'.join(list_presets()))
    return True
  prefix = configuration.value('list_tasks')
  if prefix is None:
    return False
  given = prefix or (argv[1] if argv[1:] else '')
  help_lib.say('\n'.join(tasks(given)))
  return True


def tasks(prefix: str = '') -> list[str]:
  """Names of the tasks with a prefix.

  Suites whose packages are not installed are named on standard error.

  Raises:
    UserError: If there is none.
  """
  from dreamerv2_tfa.environments import tasks as tasks_lib  # slow to import

  known = {suite: tasks_lib.names(suite) for suite in tasks_lib.SUITES}
  names = [name for each in known.values() for name in each]
  found = [name for name in names if name.startswith(prefix)]
  missing = [
      suite for suite, each in known.items()
      if not each and f'{suite}_'.startswith(prefix[:len(suite) + 1])]
  if missing:
    print(
        f'Note: the packages of {", ".join(missing)} are not installed, so '
        'their tasks are not listed.', file=sys.stderr)
  if not found and not missing:
    inside = [name for name in names if prefix.lower() in name.lower()][:3]
    raise checks.UserError(f'No task begins with {prefix!r}.' + (
        f' Did you mean {" or ".join(inside)}?' if inside else
        checks.did_you_mean(prefix, [*names, *known])))
  return found


def list_presets() -> list[str]:
  """Lines of presets, then overlays, with the first sentence of each file."""
  found = presets.describe()
  lines = []
  for heading, overlay in (
      ('Presets, one a run: --gin_file=NAME', False),
      ('Overlays, after a preset, or over the one of the task', True)):
    summaries = {
        name: re.sub('^An overlay[^:]*: ', '', preset.summary)
        for name, preset in found.items() if preset.overlay == overlay}
    lines += [heading, *columns.layout(
        [[name, said[:1].upper() + said[1:]]
         for name, said in summaries.items()],
        width=_WIDTH, indent=2).splitlines()]
  return lines


def settings(names: Sequence[str]) -> list[str]:
  """Lines of gin: all settings after files and bindings.

  A comment marks settings of the command line, and gives the default of those
  that differ from gin/defaults.gin. gin can read the lines.

  Args:
    names: Names of the presets.
  """
  from dreamerv2_tfa.training import config  # slow to import

  text = re.sub(r'\n# =+\n', '\n', config.text())
  with config.isolated():
    config.parse(['defaults'], [])
    defaults = dict(_bound(config.text()))
  given = {
      line.partition('=')[0].strip() for line in configuration.bindings()}
  lines = [f'# Presets: {", ".join(names)}.']
  for line in text.splitlines():
    found = _LINE.match(line)
    if found and (mark := _mark(found[1], found[2], defaults, given)):
      line = f'{line}  # {mark}'
    lines.append(line)
  return lines


def _bound(text: str) -> list[tuple[str, str]]:
  return [(found[1], found[2]) for found in map(_LINE.match, text.splitlines())
          if found]


def _mark(
    name: str, value: str, defaults: Mapping[str, str], given: Collection[str]
) -> str:
  """The comment of a setting; '' if it is the default."""
  marks = ['command line'] if name in given else []
  if name in defaults and defaults[name] != value:
    marks.append(f'default: {defaults[name]}')
  return ', '.join(marks)
