r"""Memory over many updates: sampled from replay, as the training loop does.

  bin/python benchmarks/speed/growth.py --updates=20000 \\
      --gin_file=gin/quickstart.gin --gin_file=gin/debug.gin \\
      --gin_bindings='train.eager = False'

Prints the memory that the process has every twentieth of the way. A leak is the
same number of bytes an update whatever the model's size, so the smallest does.
"""

import pathlib
import sys

from absl import app
from absl import flags

from dreamerv2_tfa.commands import configuration

configuration.define('gin_file', 'gin_bindings', 'task', 'precision', 'seed')
flags.adopt_module_key_flags(configuration)  # for --help
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

_UPDATES = flags.DEFINE_integer('updates', 20000, 'Updates.', lower_bound=20)
_REPORTS = 20


def _resident_mb():
  """Memory that this process has now, in 10**6 bytes."""
  pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  return int(pages) * 4096 / 1e6


def run(argv):
  """Updates and prints."""
  del argv
  import loop
  import setting as setting_lib

  setting = setting_lib.make()
  each = loop.Loop(setting)
  for update in range(1, _UPDATES.value + 1):
    each.run(1)
    if update % (_UPDATES.value // _REPORTS) == 0:
      print(f'{update} updates: {_resident_mb():.1f} MB', flush=True)


if __name__ == '__main__':
  app.run(configuration.guarded(run))
