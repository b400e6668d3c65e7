"""The two emulators of Atari, `ale_py` and `atari_py`, behind one interface.

Both read the ROM files in the wheel of ale-py. With the same actions most games
give the same screens and memory in both; docs/environments.md
lists those that differ.
"""

from collections.abc import Sequence
import functools
from importlib import metadata
from typing import Any

import ale_py
from ale_py import roms
import numpy as np

from dreamerv2_tfa.environments import extras

NAMES = ('ale_py', 'atari_py')
# Names of the literature that differ from the name of the ROM.
_ROM_NAMES = {'james_bond': 'jamesbond'}
_CRASHES = (  # games that crash the process under atari-py, which is older
    'atlantis2', 'backgammon', 'basic_math', 'blackjack', 'casino',
    'crossbow', 'darkchambers', 'earthworld', 'entombed', 'et',
    'flag_capture', 'hangman', 'haunted_house', 'human_cannonball', 'klax',
    'mario_bros', 'miniature_golf', 'othello', 'pacman', 'pitfall2',
    'space_war', 'superman', 'surround', 'tic_tac_toe_3d', 'video_checkers',
    'video_chess', 'video_cube', 'word_zapper',
)


@functools.cache
def games() -> tuple[str, ...]:
  """Sorted names, in snake case, of the games that can be played.

  These are the ROMs in the wheel of ale-py that it supports. Loading another
  one (combat, joust, maze_craze, warlords) would crash the process.
  """
  supported = ale_py.ALEInterface.isSupportedROM
  names = [
      name for name in roms.get_all_rom_ids() if supported(_rom(name))]
  return tuple(sorted(names + list(_ROM_NAMES)))


def check(emulator: str, game: str) -> None:
  """Refuses a game that the emulator cannot run.

  Args:
    emulator: One of `NAMES`.
    game: The name to check.

  Raises:
    ValueError: If there is no such game, or it would crash the process.
  """
  if game not in games():
    raise ValueError(
        f'There is no Atari game {game!r}. Take one of these: '
        f'{", ".join(games())}.')
  if emulator == 'atari_py':
    extras.load('atari_py', 'atari-py')
  rom = _ROM_NAMES.get(game, game)
  if emulator == 'atari_py' and rom in _CRASHES:
    raise ValueError(
        f'The emulator {emulator} cannot run the game {game!r}: it would end '
        "the process. Take load_atari.emulator = 'ale_py'.")


def start(emulator: str, game: str, seed: int) -> Any:
  """Starts an emulator without a banner, and without sticky actions.

  An emulator's state lacks the action that a sticky one would repeat.

  Args:
    emulator: One of `NAMES`.
    game: One of `games()` that `check` accepts.
    seed: In [0, 2**31), of the console's memory when it is switched on.

  Returns:
    An `ale_py.ALEInterface`, or an object with the methods that are used here.
  """
  rom = _rom(_ROM_NAMES.get(game, game))
  if emulator == 'atari_py':
    return _AtariPy(rom, seed)
  ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
  ale = ale_py.ALEInterface()
  ale.setInt('random_seed', seed)
  ale.setFloat('repeat_action_probability', 0.0)
  ale.loadROM(rom)
  return ale


def version(emulator: str) -> str:
  """Name and version of an emulator, whose states no other one can read."""
  return f'{emulator} {metadata.version(emulator)}'  # names of packages too


def state(ale: Any) -> bytes:
  """The state of an emulator that `start` has made, its random numbers too."""
  return ale.state() if isinstance(ale, _AtariPy) else (
      ale.cloneSystemState().serialize())


def restore(ale: Any, data: bytes) -> None:
  """Restores what `state` has returned.

  The emulator trusts the data: one that is not its own may end the process or
  run code in it. `seal` admits only what this user has saved.
  """
  if isinstance(ale, _AtariPy):
    ale.restore(data)
  else:
    ale.restoreSystemState(ale_py.ALEState(data))


def _rom(name: str) -> Any:
  """Path of a ROM; ale-py annotates that it takes a str, and takes a Path."""
  return roms.get_rom_path(name)


class _AtariPy:
  """atari-py's emulator, with the methods of ale-py's that are used here."""

  def __init__(self, rom, seed):
    atari_py = extras.load('atari_py', 'atari-py')
    atari_py.ALEInterface.setLoggerMode('error')
    self._ale = atari_py.ALEInterface()
    # Its seed 0 is the time of day.
    self._ale.setInt('random_seed', seed or 2**31 - 1)
    self._ale.setFloat('repeat_action_probability', 0.0)
    self._ale.loadROM(str(rom))
    self.reset_game = self._ale.reset_game
    self.game_over = self._ale.game_over
    self.lives = self._ale.lives
    self.getRAM = self._ale.getRAM
    self.getRAMSize = self._ale.getRAMSize
    self.getScreenRGB = self._ale.getScreenRGB2  # the other one is BGR

  def act(self, action: Any, paddle_strength: float) -> float:
    """Plays a frame and returns its reward; paddles move at full strength."""
    del paddle_strength
    return self._ale.act(getattr(action, 'value', action))

  def state(self) -> bytes:
    """The state, the random numbers included."""
    cloned = self._ale.cloneSystemState()
    data = self._ale.encodeState(cloned)
    self._ale.deleteState(cloned)
    return data.tobytes()

  def restore(self, data: bytes) -> None:
    """Restores what `state` has returned."""
    cloned = self._ale.decodeState(np.frombuffer(data, np.uint8).copy())
    self._ale.restoreSystemState(cloned)
    self._ale.deleteState(cloned)

  def getMinimalActionSet(self) -> Sequence[Any]:
    """The actions of the game, as ale-py's."""
    return [ale_py.Action(int(a)) for a in self._ale.getMinimalActionSet()]

  def getScreenGrayscale(
      self, screen: np.ndarray | None = None) -> np.ndarray:
    """The luminance, uint8 `[210, 160]`, written to `screen` if given."""
    if screen is None:
      return self._ale.getScreenGrayscale()[..., 0]
    return self._ale.getScreenGrayscale(screen)
