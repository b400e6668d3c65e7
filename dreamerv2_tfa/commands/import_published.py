"""`bin/import`: a run of the published package becomes one of ours."""

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

configuration.define(
    'root_dir', 'gin_file', 'gin_bindings', 'task', 'precision', 'seed'
)
_FROM = flags.DEFINE_string(
    'from', None, 'Log folder of a run of the published package, with '
    'variables.pkl and train_episodes/.'
)
_KEYS = flags.DEFINE_list(
    'keys', None, 'Keys of the observation in the order of its environment, '
    'where its episodes do not say it: --keys=position,velocity.'
)
PAGE = help_lib.Page(
    'import', 'Makes a run of the published package into one of this package, '
    'which bin/train resumes.',
    '--from=OLD --root_dir=DIR [--flag=VALUE ...]',
    {
        'What to import': ['from=OLD', 'keys=KEY,KEY'],
        'Where': [
            ('root_dir=DIR', 'Folder of the new run. --logdir is the same '
             'flag. Without it: a new folder in runs/.')],
        'How': [
            ('gin_file=FILE', 'Preset or file of your own with the settings of '
             'the old run, such as atari; repeatable, a later one wins.'),
            "gin_bindings='NAME = VALUE'",
            ('task=TASK', 'The task of the old run, such as atari_pong.'),
            'precision=PRECISION', 'seed=N'],
        'Look, do not import': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--from=logdir/pong --root_dir=runs/pong --task=atari_pong',
         'A run of Pong with the settings of its preset.'),
        ('--from=logdir/walker --task=dmc_walker_walk '
         '--gin_file=dmc_proprio', 'With the settings of another preset.'),
        ('--from=logdir/own --task=my_module:make --keys=position,velocity',
         'Two vectors, in the order of the old environment.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Parses gin and imports a run."""
  if not _FROM.value:
    raise checks.UserError(
        'Which run? Give the log folder of the published package: --from=DIR.'
    )
  from dreamerv2_tfa.migration import run as run_lib  # slow to import

  root_dir = configuration.root_dir()
  presets = configuration.parse(root_dir)
  run_lib.import_run(
      _FROM.value, root_dir, keys=_KEYS.value, presets=presets
  )


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
