"""A collector without environment and policy: a child process.

    python stub.py catch HOST:PORT stub

sends prepared rows as fast as the server and the learner let it; with `rows`
they give no tickets, so that it waits for no learner.
"""

import itertools
import sys

import limits
import made as made_lib

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import sending

_WARM = 3  # slices, after which it says that it sends


def main():
  """Sends until it is killed."""
  preset, address, kind = sys.argv[1:]
  made = made_lib.make(preset)
  connection = connection_lib.Connection(address, 'stub')
  connection.info()
  outbox = sending.Outbox(
      connection, made.spec, 1, made.settings.sequence_length)
  feed = made_lib.Feed(
      made, made_lib.frames(made), outbox, limits.SLICE,
      tickets=kind == 'stub')
  for number in itertools.count():
    if number == _WARM:
      print('Sending.', flush=True)
    feed.send()


if __name__ == '__main__':
  main()
