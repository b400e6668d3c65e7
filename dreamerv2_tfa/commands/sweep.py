"""`bin/sweep`: seeds x tasks x settings as one list of runs.

It imports no TensorFlow: the runs do, and what looks at them, in processes of
their own.
"""

import os
import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa import children
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product
from dreamerv2_tfa.sweeps import sweep
from dreamerv2_tfa.sweeps import table
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import output

_MOST = 1000  # tasks of a command line
configuration.define(
    'gin_file', 'gin_bindings', 'precision', 'steps', 'environments', 'csv')
_SWEEP_DIR = flags.DEFINE_string(
    'sweep_dir', None, 'Folder of the list, of the runs and of their logs.')
_SEEDS = flags.DEFINE_string(
    'seeds', None, 'How many: 5 is 0 to 4; or which: 3,4,7. Without it: 0.')
_VARY = flags.DEFINE_multi_string(
    'vary', [], "A setting and its values, such as 'train.batch_size = 16, "
    "32'; repeatable: each with each.")
_AT_ONCE = configuration.number(
    'at_once', 1, 'Runs that train at the same time.')
_INDEX = configuration.number(
    'index', None, 'Be the run of this line of the list alone, counted from 0, '
    'as bin/train would be: for arrays of jobs.')
_WRITE_ONLY = flags.DEFINE_bool(
    'write_only', False, 'Write the list and run nothing.')
_TABLE = flags.DEFINE_bool(
    'table', False, 'Print the table and run nothing; the runs may train '
    'meanwhile.')
PAGE = help_lib.Page(
    'sweep', 'Trains each task with each value of each setting and each seed, '
    'each as a run of its own, and shows all in one table. The same command, '
    'or --sweep_dir alone, resumes.',
    '[TASK ...] --sweep_dir=DIR [--flag=VALUE ...]',
    {
        'What to learn': [
            ('TASK', 'A task, as of bin/train. Without: the list in '
             '--sweep_dir.'),
            'seeds=SEEDS', "vary='NAME = A, B'", 'steps=N'],
        'Where': [
            'sweep_dir=DIR', ('csv=FILE', 'File to write the table to.')],
        'How': [
            'at_once=N', 'index=K', 'gin_file=FILE',
            "gin_bindings='NAME = VALUE'", 'environments=N',
            'precision=PRECISION'],
        'Look, do not train': [
            'write_only', 'table', help_lib.VERSION, help_lib.HELP],
    },
    [
        ('catch --seeds=5 --sweep_dir=runs/catch --at_once=2',
         'Five seeds of Catch, two at a time.'),
        ("atari_pong atari_freeway --sweep_dir=runs/atari --write_only",
         'Writes runs/atari/sweep.jsonl; --index=0 then is the first run.'),
        ('--sweep_dir=runs/catch --table', 'The table, at any time.'),
    ],
)


def run(argv: list[str]) -> None:
  """Writes the list, or reads it, and runs it, or one of it, or shows it."""
  with output.unbroken():
    sys.exit(_do(argv[1:]))


def _do(tasks):
  """Does what the flags ask for; returns the exit status."""
  folder = _folder(tasks)
  listed = _listed(folder, tasks)
  if _TABLE.value:
    _show(folder, listed)
  elif _INDEX.value is not None:
    _become(folder, listed)
  else:
    at_once = checks.integer('--at_once', _AT_ONCE.value)
    with lock.locked(folder.lock, 'sweep', '--sweep_dir'):
      _write(folder, listed)
      return 0 if _WRITE_ONLY.value else _run(folder, listed, at_once)
  return 0


def _folder(tasks):
  """The sweep's folder; refuses flags that do not go together."""
  for word in tasks:
    arguments.check_task(word, PAGE)
  program = help_lib.program(PAGE.name)
  root = _SWEEP_DIR.value
  if not root:
    raise checks.UserError(f'Where? {program} TASK ... --sweep_dir=DIR.')
  looks = [
      f'--{name}' for name, is_given in (
          ('index', _INDEX.value is not None), ('table', _TABLE.value),
          ('write_only', _WRITE_ONLY.value)) if is_given]
  if len(looks) > 1:
    raise checks.UserError(f'Got {" and ".join(looks)}. Give one of them.')
  if configuration.value('csv') and looks and not _TABLE.value:
    raise checks.UserError(f'Got --csv and {looks[0]}, which shows no table.')
  given = [word.partition('=')[0] for word in configuration.given()]
  given += ['--seeds'] * bool(_SEEDS.value) + ['--vary'] * bool(_VARY.value)
  if given and not tasks:
    raise checks.UserError(
        f'Got {", ".join(dict.fromkeys(given))} without a task. Give the '
        'tasks as well, or --sweep_dir alone for the list that is there.')
  folder = entries.Folder(root)
  folder.check_kinds()
  return folder


def _listed(folder, tasks):
  """The list that is there, or the one that the command line makes."""
  program = help_lib.program(PAGE.name)
  made = product.make(
      tasks, product.seeds(_SEEDS.value or '1'), product.varied(_VARY.value),
      configuration.given()) if tasks else []
  there = entries.read(folder)
  if there and made:
    entries.check_same(folder, there, made)
  elif there:
    entries.check_imports(folder, there, program)
  elif not made:
    raise checks.UserError(
        f'There is no list in {folder.root}. Which tasks? For example: '
        f'{program} catch --seeds=5 --sweep_dir={folder.root}')
  elif _INDEX.value is not None or _TABLE.value:
    raise checks.UserError(
        f'There is no list in {folder.root} yet. Write it once: the same '
        'command with --write_only.')
  else:
    _check_settings(made)
  return there or made


def _write(folder, listed):
  """Writes the list where none is there; the caller has locked the folder.

  Raises:
    UserError: If another command has written another one since it was read.
  """
  if there := entries.read(folder):
    entries.check_same(folder, there, listed)
    return
  entries.write(folder, listed)
  print(f'Written: {folder.path}, {len(listed)} runs.', flush=True)


def _check_settings(made):
  """Refuses what gin or a suite would refuse of the runs.

  Raises:
    UserError: With what the first run that is refused would say.
  """
  bindings = configuration.bindings()
  first = {product.mark(entry): entry for entry in made[::-1]}
  refused = children.ask('dreamerv2_tfa.sweeps.refusals', [
      [entry.task, configuration.value('gin_file'), [
          *bindings, *(f'{name} = {each}' for name, each in entry.vary.items())
      ]] for entry in reversed(first.values())])
  if refused:
    raise checks.UserError(refused)


def _become(folder, listed):
  """Becomes the process of one run."""
  index = checks.integer('--index', _INDEX.value, 0, len(listed) - 1)
  options = ['-P'] if sys.flags.safe_path else []
  sys.stdout.flush()
  os.execv(sys.executable, [
      sys.executable, *options, '-m', sweep.PROGRAM,
      *folder.arguments(listed[index])])


def _run(folder, listed, at_once):
  """Runs what is not finished; returns the exit status."""
  with children.Noted() as noted:
    found = table.states(folder, listed)
    waiting = [entry for entry in listed
               if not found.get(entry.run, {}).get('finished')]
    done = len(listed) - len(waiting)
    print('\n'.join([
        f'{len(listed)} runs in {folder.root}, {done} finished.',
        *table.notes({entry.run: found[entry.run] for entry in waiting
                      if entry.run in found})]), flush=True)
    running = sweep.Sweep(folder, waiting, at_once, _say)
    running.run(noted)
    if not noted.signal:
      _show(folder, listed, None if waiting else found)
    for name, why in running.failed.items():
      print(f'Failed: {name} {why}', file=sys.stderr)
    if noted.signal:
      print('Stopped. The same command resumes.', file=sys.stderr)
      return 128 + noted.signal
  return 1 if running.failed else 0


def _say(line):
  print(line, flush=True)


def _show(folder, listed, found=None):
  """Prints the table, and writes it as CSV where that is asked for."""
  found = table.states(folder, listed) if found is None else found
  summed = table.lines(listed, found)
  help_lib.say('\n'.join([table.text(summed), *table.notes(found)]))
  if configuration.value('csv'):
    table.write_csv(configuration.value('csv'), summed)


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE, words=_MOST)


if __name__ == '__main__':
  main()
