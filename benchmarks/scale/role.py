"""A role of a run, which notes when its weights come or go: a child process.

    python role.py FILE catch --role=collector ...

writes a JSON object a line: a collector one for each slice of steps, with the
steps at which its weights were sent; a learner one before each update.
"""

import json
import sys
import time

from dreamerv2_tfa.commands import train
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import weights as weights_lib


def main():
  """Runs `bin/train`."""
  path, *arguments = sys.argv[1:]
  with open(path, 'w', encoding='utf-8', buffering=1) as file:
    _watch(lambda **line: file.write(
        json.dumps(dict(time=time.monotonic(), **line)) + '\n'))
    sys.argv = ['train', *arguments]
    train.main()


def _watch(note):
  spent = {}

  def timed(owner, name):
    before = getattr(owner, name)

    def call(self):
      start = time.monotonic()
      before(self)
      spent[name.strip('_')] = time.monotonic() - start

    setattr(owner, name, call)

  timed(weights_lib.Weights, '_push')
  timed(weights_lib.Weights, '_pull_new')
  timed(receiving.Samples, 'fetch')
  pull, exchange = weights_lib.Weights.pull, receiving.Elsewhere.exchange
  number = 0

  def pulled(self):
    spent.clear()
    pull(self)
    note(kind='slice', arrived=self.arrived,
         steps=int(self._variables['steps']), **spent)

  def exchanged(self):
    nonlocal number
    spent.clear()
    exchange(self)
    number += 1
    note(kind='update', number=number,
         steps=int(self._weights._variables['steps']), **spent)

  weights_lib.Weights.pull = pulled
  receiving.Elsewhere.exchange = exchanged


if __name__ == '__main__':
  main()
