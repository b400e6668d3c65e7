"""A replay server with the tables of a preset, for `costs`: a child process.

    python serve.py catch 8008 FOLDER

It makes no checkpoint unless asked to, and ends with its standard input.
"""

import sys

import made as made_lib

from dreamerv2_tfa.distributed import reverb as reverb_lib
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.distributed import weights

_CAPACITY = 10**7  # rows; none is dropped while it is measured


def main():
  """Serves until the end of standard input."""
  preset, port, folder = sys.argv[1:]
  reverb = reverb_lib.load()
  made = made_lib.make(preset)
  checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(folder)
  server = reverb.Server(
      tables.make(
          reverb, made.parts.agent, weights.variables(made.parts),
          made.settings, _CAPACITY),
      port=int(port), checkpointer=checkpointer)
  print('The replay server is ready.', flush=True)
  sys.stdin.read()
  server.stop()


if __name__ == '__main__':
  main()
