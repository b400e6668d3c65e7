"""`bin/train`: trains DreamerV2, or resumes the run in its folder."""

import sys

from absl import flags

from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.commands import listing

configuration.define(
    'root_dir', 'gin_file', 'gin_bindings', 'task', 'precision', 'seed',
    'steps', 'environments', 'list_tasks', 'list_presets'
)
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Build everything, print what it is, write nothing.'
)
_SHOW_CONFIG = flags.DEFINE_bool(
    'show_config', False, 'Print every setting after files and bindings, as '
    'gin reads it; those of the command line, and those that differ from '
    'gin/defaults.gin, are marked.'
)
_REPLAY_CRASH = flags.DEFINE_bool(
    'replay_crash', False, 'Run the update again that was not finite and ended '
    'the run in --root_dir, and name the first operation that is not finite.'
)
PAGE = help_lib.Page(
    'train', 'Trains DreamerV2 on a task, or resumes the run in --root_dir.',
    '[TASK] [--flag=VALUE ...]',
    {
        'What to learn': [
            ('TASK', 'The same as --task.'), 'task=TASK', 'steps=N'],
        'Where': ['root_dir=DIR'],
        'How': [
            'gin_file=FILE', "gin_bindings='NAME = VALUE'", 'environments=N',
            'precision=PRECISION', 'seed=N'],
        'Look, do not train': [
            'dry_run', 'show_config', 'replay_crash',
            'list_tasks[=PREFIX]', 'list_presets',
            help_lib.VERSION, help_lib.HELP],
    },
    [
        ('', 'Catch, the embedded game: a few minutes on two cores.'),
        ('atari_pong --root_dir=runs/pong',
         'Pong; the same command again resumes it.'),
        ("dmc_walker_walk --steps=2e5 --gin_bindings='train.batch_size = 32'",
         'Walker from pixels, with one setting changed.'),
    ],
)


def run(argv: list[str]) -> None:
  """Parses gin and calls `train`, or prints what a flag asks for."""
  if listing.shown(argv):
    return
  arguments.task(argv, PAGE)
  # After the flags: slow to import.
  from dreamerv2_tfa.reports import report
  from dreamerv2_tfa.training import crash
  from dreamerv2_tfa.training import train

  root_dir = configuration.root_dir()
  if _REPLAY_CRASH.value:
    help_lib.say('\n'.join(crash.replay(root_dir)))
    return
  presets = configuration.parse(root_dir)
  if _SHOW_CONFIG.value:
    help_lib.say('\n'.join(listing.settings(presets)))
    return
  if _DRY_RUN.value:
    train.describe(root_dir, presets=presets)
  elif ended := train.train(
      root_dir, presets=presets, callbacks=[report.write_after]):
    sys.exit(128 + ended)


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE, words=1)


if __name__ == '__main__':
  main()
