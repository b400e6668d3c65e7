"""`bin/import`: a run of the published package becomes one of ours."""

from absl import app
from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration

configuration.define(
    'root_dir', 'gin_file', 'gin_bindings', 'task', 'precision', 'seed'
)
flags.adopt_module_key_flags(configuration)  # for --help
_FROM = flags.DEFINE_string(
    'from', None, 'Log folder of a run of the published package, with '
    'variables.pkl and train_episodes/.'
)
_KEYS = flags.DEFINE_list(
    'keys', None, 'Keys of the observation in the order of its environment, '
    'where its episodes do not say it: --keys=position,velocity.'
)


def run(unused_argv):
  """Parses gin and calls `train` to take over a run."""
  from dreamerv2_tfa.training import train  # after the flags: slow to import

  if not _FROM.value:
    raise checks.UserError(
        'Which run? Give the log folder of the published package: --from=DIR.'
    )
  root_dir = configuration.root_dir()
  presets = configuration.parse(root_dir)
  train.train(
      root_dir, presets=presets,
      adopt=_FROM.value, adopt_keys=_KEYS.value,
  )


def main():
  """Entry point of the console script."""
  app.run(configuration.guarded(run))


if __name__ == '__main__':
  main()
