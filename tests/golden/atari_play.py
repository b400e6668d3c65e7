"""Plays a fixed sequence of actions on one of the emulators of Atari."""

import zlib

import numpy as np

from dreamerv2_tfa.environments import emulators

FRAMES = 400
EVERY = 80  # frames between the checksums that are kept
STARTS = ('loaded', 'reset')  # what stands before the first frame
KINDS = ('pictures', 'rewards', 'memory', 'lives')


def play(emulator, game):
  """Plays one game without anything random.

  Args:
    emulator: One of `emulators.NAMES`.
    game: One of `emulators.games()`.

  Returns:
    uint32 `[2, 4, FRAMES / EVERY]`, of `STARTS` and `KINDS`: each sums up
    all the frames up to it.
  """
  return np.array(
      [_play(emulator, game, start) for start in STARTS], np.uint32)


def _play(emulator, game, start):
  ale = emulators.start(emulator, game, seed=1)
  if start == 'reset':
    ale.reset_game()
  buttons = ale.getMinimalActionSet()
  rng = np.random.default_rng(sum(map(ord, game)))
  # An action is held for a few frames, as players do.
  choices = np.repeat(rng.integers(0, len(buttons), FRAMES), 4)[:FRAMES]
  totals, kept = [0] * len(KINDS), []
  for frame, choice in enumerate(choices):
    if ale.game_over():
      ale.reset_game()
    reward = ale.act(buttons[choice], 1.0)
    seen = (
        np.append(ale.getScreenRGB(), ale.getScreenGrayscale()),
        np.array(reward, np.int64), ale.getRAM(),
        np.array(ale.lives(), np.int64))
    totals = [
        zlib.crc32(np.ascontiguousarray(array), total)
        for array, total in zip(seen, totals, strict=True)]
    if (frame + 1) % EVERY == 0:
      kept.append(totals)
  return np.transpose(kept)
