"""Makes `atari_py.npz`: what atari-py plays, game by game.

  bin/python -m pip install -e '.[atari-py]'
  bin/python tests/golden/make_atari.py

Each game has a process of its own, because some end it.
"""

import pathlib
import subprocess
import sys

import atari_play
import numpy as np

from dreamerv2_tfa.environments import emulators

_HERE = pathlib.Path(__file__).resolve().parent


def main():
  """Plays all games, or prints the checksums of the one on the command line."""
  if sys.argv[1:]:
    print(*atari_play.play('atari_py', sys.argv[1]).ravel())
    return
  played = {}
  for game in emulators.games():
    result = subprocess.run(
        [sys.executable, __file__, game], capture_output=True, text=True,
        check=False)
    if result.returncode:
      print(f'{game} ends the process: {result.returncode}')
      continue
    played[game] = np.array(result.stdout.split(), np.uint32).reshape(
        len(atari_play.STARTS), len(atari_play.KINDS), -1)
    differs = (played[game] != atari_play.play('ale_py', game)).any(2)
    for start, kinds in zip(atari_play.STARTS, differs, strict=True):
      if kinds.any():
        print(game, start, 'differs in', *np.array(atari_play.KINDS)[kinds])
  np.savez_compressed(_HERE / 'atari_py.npz', **played)
  print(f'{len(played)} games')


if __name__ == '__main__':
  main()
