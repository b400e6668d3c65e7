"""`bin/check_env`: plays a few random steps of a task and names its faults."""

import sys

from absl import app
from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration

configuration.define('gin_file', 'gin_bindings', 'task', 'seed')
flags.adopt_module_key_flags(configuration)  # for --help
_STEPS = flags.DEFINE_integer('steps', 300, 'Random steps to play.')


def run(argv):
  """Parses gin, inspects the task and ends with 1 where it has a fault."""
  # After the flags: they are slow to import. Gin must know all of `train`.
  from dreamerv2_tfa.training import inspection
  from dreamerv2_tfa.training import train  # noqa: F401

  if argv[1:] and configuration.value('task'):
    raise checks.UserError(
        f'Got two tasks, {argv[1]!r} and --task={configuration.value("task")}.'
    )
  if argv[1:]:
    flags.FLAGS['task'].value = argv[1]
  task = configuration.value('task')
  if not task:
    raise checks.UserError(
        'Which task? For example: bin/check_env atari_pong, or '
        'bin/check_env module:factory.'
    )
  configuration.parse()
  report = inspection.inspect(
      task, steps=_STEPS.value, seed=configuration.value('seed') or 0
  )
  print('\n'.join(report.facts))
  for fault in report.faults:
    print(f'Fault: {fault}')
  if report.faults:
    sys.exit(1)
  print('No fault was found.')


def main():
  """Entry point of the console script."""
  app.run(configuration.guarded(run, arguments=1))


if __name__ == '__main__':
  main()
