"""`bin/check_env`: plays a few random steps of a task and names its faults."""

import sys

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.commands import listing

configuration.define(
    'gin_file', 'gin_bindings', 'task', 'seed', 'steps', 'list_tasks')
_STEPS = 300
PAGE = help_lib.Page(
    'check_env', 'Plays random steps of a task; says what the agent would see '
    'and do, and what is wrong with the environment. Exit status 1: a fault.',
    'TASK [--flag=VALUE ...]',
    {
        'What to check': [
            ('TASK', 'The same as --task.'),
            ('task=TASK', 'Task, such as atari_pong, gymnasium_CartPole-v1, or '
             'module:factory for your own.'),
            ('steps=N', f'Random steps to play (default: {_STEPS}).'),
            ('seed=N', 'Of the environment (default: 0).')],
        'How': ['gin_file=FILE', "gin_bindings='NAME = VALUE'"],
        'Look, do not check': [
            'list_tasks[=PREFIX]', help_lib.VERSION, help_lib.HELP],
    },
    [
        ('atari_pong', 'A task of a suite.'),
        ('my_module:make --steps=1000',
         'The function make() of my_module.py in this folder.'),
        ("dmc_walker_walk --gin_bindings='load_dmc.proprio = True'",
         'With a setting of its suite changed.'),
    ],
)


def run(argv: list[str]) -> None:
  """Parses gin, inspects the task and ends with 1 where it has a fault."""
  if listing.shown(argv):
    return
  arguments.task(argv, PAGE)
  task = configuration.value('task')
  if not task:
    name = help_lib.program(PAGE.name)
    raise checks.UserError(
        f'Which task? For example: {name} atari_pong, or {name} '
        'module:factory.'
    )
  from dreamerv2_tfa.reports import inspection  # after the flags: slow

  configuration.parse()
  steps = configuration.value('steps')
  report = inspection.inspect(
      task, steps=_STEPS if steps is None else steps,
      seed=configuration.value('seed') or 0
  )
  print('\n'.join(report.lines))
  for fault in report.faults:
    print(f'Fault: {fault}')
  if report.faults:
    sys.exit(1)
  print('No fault was found.')


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE, words=1)


if __name__ == '__main__':
  main()
