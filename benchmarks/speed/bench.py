"""`bin/bench`: what each stage costs, its limit beside it, in one run.

  bin/bench update --gin_file=gin/atari.gin --precision=32 --json=update.json

Subcommands: update, policy, collect, replay, train, peers. Each takes the flags
of `bin/train` but --root_dir; benchmarks/README.md says what each reports.
"""

import functools
import json
import pathlib

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

configuration.define('gin_file', 'gin_bindings', 'task', 'precision', 'seed')
_JSON = flags.DEFINE_string('json', None, 'File that the result is written to.')
_REPEAT = flags.DEFINE_integer(
    'repeat', 5, 'Measurements of each kind, after one to warm up.',
    lower_bound=1,
)
_BATCH = flags.DEFINE_multi_integer(
    'batch', [1, 8], 'Environments that `policy` acts in at once; repeatable.',
    lower_bound=1,
)
_PEERS = flags.DEFINE_multi_enum(
    'peer', ['published', 'sheeprl'],
    ['published', 'sheeprl', 'published_onednn'],
    'Whom `peers` measures; repeatable.',
)
_SIMULATED = {
    part: flags.DEFINE_float(
        f'simulated_{part}_ms', None, f'In the place of the {part}, `train` '
        'waits so long and leaves the processor free, as on a GPU.',
        lower_bound=0.0)
    for part in ('update', 'policy')
}
PAGE = help_lib.Page(
    'bench', 'Measures what a stage costs, with its limit beside it. '
    'benchmarks/README.md says what each stage reports.',
    'STAGE [--flag=VALUE ...]',
    {
        'What to measure': [
            ('STAGE', 'update, policy, collect, replay, train or peers.'),
            'repeat=N', 'batch=N', 'peer=NAME',
            'simulated_update_ms=X', 'simulated_policy_ms=X'],
        'Of which run': [
            'task=TASK', 'gin_file=FILE', "gin_bindings='NAME = VALUE'",
            'precision=PRECISION', 'seed=N'],
        'Where': ['json=FILE'],
        'Look, do not measure': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('update --gin_file=atari --precision=32', 'An update on Atari.'),
        ('collect --task=dmc_walker_walk', 'Steps of Walker.'),
        ('peers --peer=published --json=peers.json',
         'Beside the published package; the result in a file.'),
    ],
)


def _stages():
  """Function of each subcommand; imported late, for TensorFlow is slow."""
  import compare
  import loop
  import stages

  simulated = loop.Simulated(**{
      part: flag.value and flag.value / 1e3
      for part, flag in _SIMULATED.items()})

  return {
      'update': stages.update,
      'policy': functools.partial(stages.policy, batches=_BATCH.value),
      'collect': stages.collect, 'replay': stages.replay,
      'train': functools.partial(stages.train, simulated=simulated),
      'peers': functools.partial(compare.peers, names=_PEERS.value),
  }


def run(argv):
  """Measures one stage, prints the result and writes it to --json."""
  import measure
  import setting as setting_lib

  known = _stages()
  if len(argv) != 2 or argv[1] not in known:
    raise checks.UserError(
        f'Which stage? Got {argv[1:]}; wanted one of {", ".join(known)}.')
  setting = setting_lib.make()
  result = {
      'stage': argv[1], **setting.described, **measure.machine(),
      **known[argv[1]](setting, _REPEAT.value),
      'peak_rss_mb': measure.peak_rss_mb(), **measure.peak_gpu_mb(),
  }
  for key, value in result.items():
    print(f'{key}: {_readable(value)}', flush=True)
  if _JSON.value:
    text = json.dumps(result, indent=2) + '\n'
    pathlib.Path(_JSON.value).write_text(text, encoding='utf-8')


def _readable(value):
  if isinstance(value, float):
    return f'{value:.4g}'
  if isinstance(value, dict):
    return ', '.join(f'{k} {_readable(v)}' for k, v in value.items())
  if isinstance(value, list):
    return ' '.join(map(_readable, value))
  return str(value)


if __name__ == '__main__':
  arguments.main(run, PAGE, words=1)
