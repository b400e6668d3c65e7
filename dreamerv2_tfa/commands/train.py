"""`bin/train`: trains DreamerV2, or goes on where the folder's run stopped."""

from absl import app
from absl import flags

from dreamerv2_tfa.commands import configuration

configuration.define(
    'root_dir', 'gin_file', 'gin_bindings', 'task', 'precision', 'seed'
)
flags.adopt_module_key_flags(configuration)  # for --help
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Build everything, print what it is, write nothing.'
)


def run(unused_argv):
  """Parses gin and calls `train`."""
  from dreamerv2_tfa.training import train  # after the flags: slow to import

  root_dir = configuration.root_dir()
  presets = configuration.parse(root_dir)
  train.train(
      root_dir, presets=presets,
      dry_run=_DRY_RUN.value,
  )


def main():
  """Entry point of the console script."""
  app.run(configuration.guarded(run))


if __name__ == '__main__':
  main()
