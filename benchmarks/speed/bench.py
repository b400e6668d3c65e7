"""`bin/bench`: what each stage costs, its limit beside it, in one run.

  bin/bench update --gin_file=gin/atari.gin --precision=32 --json=update.json

Subcommands: update, policy, collect, replay, train, peers. Each takes the flags
of `bin/train` but --root_dir; benchmarks/README.md says what each reports.
"""

import functools
import json
import pathlib

from absl import app
from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration

configuration.define('gin_file', 'gin_bindings', 'task', 'precision', 'seed')
flags.adopt_module_key_flags(configuration)  # for --help
_JSON = flags.DEFINE_string('json', None, 'File that the result is written to.')
_REPEAT = flags.DEFINE_integer(
    'repeat', 5, 'Measurements of each kind, after one to warm up.',
    lower_bound=1,
)
_PEERS = flags.DEFINE_multi_enum(
    'peer', ['published', 'sheeprl'],
    ['published', 'sheeprl', 'published_onednn'],
    'Whom `peers` measures; repeatable.',
)


def _stages():
  """Function of each subcommand; imported late, for TensorFlow is slow."""
  import compare
  import stages

  return {
      'update': stages.update, 'policy': stages.policy,
      'collect': stages.collect, 'replay': stages.replay,
      'train': stages.train,
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
      'peak_rss_mb': measure.peak_rss_mb(),
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
  app.run(configuration.guarded(run, arguments=1))
