"""Suite `atari`: games on the Arcade Learning Environment."""

from typing import Any

import ale_py
import cv2
import gin
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import emulators
from dreamerv2_tfa.environments import task as task_lib

_LARGEST = 2**31 - 1  # the emulators count with int32
_KEEP = np.ones((), np.float32)  # discount of a step that ends nothing

games = emulators.games


# gin's annotation of a decorator with a name is wrong.
@gin.configurable('load_atari')  # pyright: ignore[reportCallIssue]
def load(
    game: str, *, emulator: str = 'ale_py', action_repeat: int = 4,
    size: int = 64, grayscale: bool = True, noops: int = 30,
    sticky: float = 0.25, full_action_space: bool = False,
    max_steps: int = 27000, terminal_on_life_loss: bool = False,
    ram: bool = False) -> task_lib.Task:
  """Makes the task of a game; the defaults are the protocol of the paper.

  Args:
    game: One of `games()`.
    emulator: 'ale_py', or 'atari_py' from the extra [atari-py].
    action_repeat: Frames an agent step.
    size: Pixels, height and width of the image.
    grayscale: Luminance with one channel; False: RGB.
    noops: Most no-op frames at a reset.
    sticky: Probability that a frame repeats the last action.
    full_action_space: All 18 actions in every game.
    max_steps: Agent steps an episode; 27,000 are 108,000 frames.
    terminal_on_life_loss: A lost life ends the episode.
    ram: Observe the memory of the console as well.

  Returns:
    A task whose `make` raises `ValueError` if a number is not in its range.
  """
  action_repeat = checks.integer(
      'load_atari.action_repeat', action_repeat, 1, 2**31 - 1)

  def construct(seed):
    return AtariEnvironment(
        game, seed=seed, emulator=emulator, action_repeat=action_repeat,
        size=size, grayscale=grayscale, noops=noops, sticky=sticky,
        full_action_space=full_action_space, max_steps=max_steps,
        terminal_on_life_loss=terminal_on_life_loss, ram=ram)
  return task_lib.from_constructor(
      f'atari_{game}', action_repeat, construct, one_thread=False)


class AtariEnvironment(py_environment.PyEnvironment):
  """One game under the protocol of the DreamerV2 paper.

    frame        1     2     3     4          an agent step: one action, its
    screen                   s3    s4         rewards summed, elementwise
    reward       r1  + r2  + r3  + r4         maximum of the last two screens,
                               max(s3, s4)    resized by area

  If the game ends within a step, the step shows its own last two screens. Game
  over is LAST with discount 0; the time limit is LAST with discount 1. A reset
  plays 1 to `noops` frames without action and drops their reward.

  Observations are `{'image': uint8 [size, size, 1 or 3]}`, with `'ram'`: uint8
  `[128]` where asked for. The action is an int32 index into the game's minimal
  action set, or into the 18 actions of the joystick.
  """

  def __init__(
      self, game: str, *, seed: int, emulator: str, action_repeat: int,
      size: int, grayscale: bool, noops: int, sticky: float,
      full_action_space: bool, max_steps: int, terminal_on_life_loss: bool,
      ram: bool):
    """Starts an emulator; `load` documents the settings.

    Args:
      game: One of `games()`.
      seed: In [0, 2**31), of sticky actions and no-ops.
      emulator: One of `emulators.NAMES`.
      action_repeat: 1 or more.
      size: 1 or more, pixels.
      grayscale: See `load`.
      noops: 0 or more.
      sticky: In [0, 1].
      full_action_space: See `load`.
      max_steps: 1 or more.
      terminal_on_life_loss: See `load`.
      ram: See `load`.

    Raises:
      ValueError: If the game is unknown or a number is not in its range.
    """
    super().__init__(handle_auto_reset=True)
    checks.choice('load_atari.emulator', emulator, emulators.NAMES)
    emulators.check(emulator, game)
    seed = checks.integer('load_atari.seed', seed, 0, _LARGEST)
    self._action_repeat = checks.integer(
        'load_atari.action_repeat', action_repeat, 1, _LARGEST)
    self._size = checks.integer('load_atari.size', size, 1, 2**15)
    self._noops = checks.integer('load_atari.noops', noops, 0, _LARGEST)
    self._max_steps = checks.integer(
        'load_atari.max_steps', max_steps, 1, _LARGEST)
    self._sticky = checks.number('load_atari.sticky', sticky, 0, 1)
    checks.flag('load_atari.grayscale', grayscale)
    checks.flag('load_atari.full_action_space', full_action_space)
    checks.flag('load_atari.terminal_on_life_loss', terminal_on_life_loss)
    checks.flag('load_atari.ram', ram)
    self._terminal_on_life_loss = terminal_on_life_loss
    self._ram = ram
    self._random = np.random.default_rng(seed)
    self._made_by = f'{game} on {emulators.version(emulator)}'
    self._button = ale_py.Action.NOOP  # held in the last frame
    self._ale = emulators.start(emulator, game, seed)
    # The legal set of some games is smaller (skiing has 9), the joystick not.
    self._actions = (
        list(ale_py.Action.__members__.values()) if full_action_space
        else self._ale.getMinimalActionSet())
    self._read_screen = (
        self._ale.getScreenGrayscale if grayscale else self._ale.getScreenRGB)
    self._screens = np.stack([self._read_screen()] * 2)  # by frame, alternately
    self._channels = 1 if grayscale else 3
    self._steps = 0
    self._lives = 0

  def action_spec(self) -> array_spec.BoundedArraySpec:
    """Spec of the action index, int32 `[]`."""
    return array_spec.BoundedArraySpec(
        (), np.int32, 0, len(self._actions) - 1, name='action')

  def observation_spec(self) -> dict[str, array_spec.BoundedArraySpec]:
    """Specs by key, uint8 in [0, 255]."""
    spec = lambda shape, name: array_spec.BoundedArraySpec(
        shape, np.uint8, 0, 255, name=name)
    specs = {'image': spec((self._size, self._size, self._channels), 'image')}
    if self._ram:
      specs['ram'] = spec((self._ale.getRAMSize(),), 'ram')
    return specs

  def render(self, mode: str = 'rgb_array') -> np.ndarray:
    """The screen of the console, uint8 `[210, 160, 3]`."""
    del mode
    return self._ale.getScreenRGB()

  def get_state(self) -> dict[str, Any]:
    """All that the next steps depend on, the random numbers included."""
    return {
        'emulator': self._made_by, 'system': emulators.state(self._ale),
        'random': self._random.bit_generator.state, 'screens': self._screens,
        'steps': self._steps, 'lives': self._lives,
        'button': self._button.value}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`, of the same game and emulator."""
    if state['emulator'] != self._made_by:
      raise ValueError(
          f'it is of {state["emulator"]}, wanted {self._made_by}')
    emulators.restore(self._ale, state['system'])
    self._random.bit_generator.state = state['random']
    self._screens[:] = state['screens']
    self._steps, self._lives = state['steps'], state['lives']
    self._button = ale_py.Action(state['button'])

  def _reset(self):
    """Starts a new game and plays 1 to `noops` frames without action."""
    self._ale.reset_game()
    wait = self._random.integers(1, self._noops + 1) if self._noops else 0
    for _ in range(wait):
      self._ale.act(ale_py.Action.NOOP, 1.0)
      if self._ale.game_over():
        self._ale.reset_game()
    self._read_screen(self._screens[0])
    self._steps, self._button = 0, ale_py.Action.NOOP
    self._lives = self._ale.lives()
    return ts.restart(self._observe(self._screens[0]))

  def _step(self, action: Any):
    """Plays one action for `action_repeat` frames, fewer if the game ends."""
    if not 0 <= action < len(self._actions):
      raise ValueError(
          f'AtariEnvironment got action {action}, wanted an index from 0 to '
          f'{len(self._actions) - 1}. Take actions from action_spec().')
    button = self._actions[int(action)]
    reward, over = 0.0, False
    for frame in range(self._action_repeat):
      # A sticky frame holds the button of the frame before it.
      if not self._sticky or self._random.random() >= self._sticky:
        self._button = button
      # Paddles (Pong, Breakout) move at full strength, as in atari-py.
      reward += self._ale.act(self._button, 1.0)
      self._read_screen(self._screens[frame % 2])
      over = self._is_over()
      if over:
        break
    # In a step of one frame, the other screen is of the step before.
    screen = self._screens.max(0) if frame else self._screens[0]
    observation = self._observe(screen)
    reward = np.asarray(reward, np.float32)
    self._steps += 1
    if over:
      return ts.termination(observation, reward)
    if self._steps == self._max_steps:
      return ts.truncation(observation, reward)
    # `ts.transition` would take a tenth of the time of the step.
    return ts.TimeStep(ts.StepType.MID, reward, _KEEP, observation)

  def _is_over(self):
    """Whether the episode has ended: the game, or the life if that counts."""
    lives = self._ale.lives()
    life_lost, self._lives = lives < self._lives, lives
    return self._ale.game_over() or (self._terminal_on_life_loss and life_lost)

  def _observe(self, screen):
    """The observation of a screen, uint8 `[210, 160, ...]`."""
    image = cv2.resize(
        screen, (self._size, self._size), interpolation=cv2.INTER_AREA)
    observation = {
        'image': image.reshape(self._size, self._size, self._channels)}
    if self._ram:
      observation['ram'] = self._ale.getRAM()
    return observation

