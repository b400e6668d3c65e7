"""Suite `catch`: a paddle catches five balls that fall one after another."""

from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import task as task_lib

CELLS = 10                 # height and width of the grid
FALL = CELLS - 1           # steps from the top of the grid to its bottom
SIZE = 64                  # pixels, height and width of an image
CELL_SIZE = 6              # pixels
MARGIN = 2                 # pixels of background around the grid
BACKGROUND = 64            # grey level; with black the latents learn nothing
PADDLE = 160
BALL = 255

_NOWHERE = -2              # outside of the grid: no pixel is there
# Grid row (or column) of each pixel row (or column), -1 in the margin.
_CELL_OF_PIXEL = np.full(SIZE, -1, np.int32)
_CELL_OF_PIXEL[MARGIN:-MARGIN] = np.arange(CELLS).repeat(CELL_SIZE)


def games() -> tuple[str, ...]:
  """One game without a name: the task is called `catch`."""
  return ('',)


def load(game: str = '') -> task_lib.Task:
  """Makes the task `catch`, one frame an agent step; gin binds `Catch`."""
  del game

  def make(seed, num_environments=1, processes=False):
    del processes  # one `Catch` is a batch of games in TensorFlow
    return Catch(batch_size=num_environments, seed=seed)

  return task_lib.Task('catch', 1, make)


@gin.configurable
class Catch(tf_environment.TFEnvironment):
  """Catch in TensorFlow: a driver steps it without leaving the graph.

  A ball starts in the top row in a random column and falls a row a step; the
  paddle moves a column a step. The step that lands the ball on the paddle's row
  is rewarded: +1 on the paddle, -1 beside it.

    step        0     1    ...   8     9     10   ...   44    45
    ball 1    row 0 row 1      row 8 row 9
    ball 2                           row 0 row 1
    ball 5                                            row 8 row 9
    reward      -     0          0    +-1    0          0    +-1
    step type FIRST  MID                                    LAST, discount 0

  The paddle can cross the grid while a ball falls, so the best return is always
  `balls`. A ball's column is independent of everything else, so a paddle that
  ignores the balls earns `balls * (2 * paddle_width / 10 - 1)` on average: -3
  with the defaults.

  Observations are `{'image': uint8 [64, 64, 1]}`; actions are int32 scalars, 0
  left, 1 stay, 2 right. One out of these bounds counts as the nearest.

  Attributes:
    state: `tf.train.Checkpoint` of everything that the next episodes depend on,
      the random generator included.
  """

  def __init__(
      self, batch_size: int = 1, seed: int = 0, balls: int = 5,
      paddle_width: int = 2):
    """Makes `batch_size` independent games; the first step starts them.

    Args:
      batch_size: Games side by side.
      seed: The same seed gives the same episodes.
      balls: Balls an episode; an episode has 9 * balls steps.
      paddle_width: Columns.

    Raises:
      ValueError: If a number is not an integer in its range.
    """
    batch_size = checks.integer(
        'Catch.batch_size', batch_size, 1, 2**31 - 1)
    seed = checks.integer('Catch.seed', seed, 0, 2**63 - 1)
    balls = checks.integer('Catch.balls', balls, 1, 2**31 // FALL - 1)
    paddle_width = checks.integer(
        'Catch.paddle_width', paddle_width, 1, CELLS)
    observation_spec: Any = {
        'image': _spec((SIZE, SIZE, 1), tf.uint8, 255, 'image')}
    super().__init__(
        time_step_spec=ts.time_step_spec(observation_spec),
        action_spec=_spec((), tf.int32, 2, 'action'),
        batch_size=batch_size)
    self._last_step = FALL * balls
    self._paddle_width = paddle_width
    with tf.device('/CPU:0'):  # Tiny operations, and the replay is there too.
      variable = lambda value, name: tf.Variable(
          tf.fill([batch_size], value), trainable=False, name=name)
      self.state = tf.train.Checkpoint(
          steps=variable(-1, 'steps'),      # in this episode, -1 before any
          paddle=variable(0, 'paddle'),     # leftmost column of the paddle
          falling=variable(0, 'falling'),   # column of the ball in the air
          landed=variable(0, 'landed'),     # column of the ball before it
          # The seed is the key. `from_seed` makes it the counter, which gives
          # neighbouring seeds overlapping streams.
          random=tf.random.Generator.from_key_counter(seed, [0, 0], 'philox'))

  def _current_time_step(self):
    """The time step of the current state; starts a game if there is none."""
    with tf.device('/CPU:0'):
      state = self.state
      return tf.cond(
          tf.reduce_any(state.steps < 0), self._reset,
          lambda: self._look(
              state.steps, state.paddle, state.falling, state.landed))

  def _reset(self):
    """Starts a new episode of every game."""
    with tf.device('/CPU:0'):
      shape = [self.batch_size]
      return self._advance(tf.ones(shape, tf.int32), tf.ones(shape, tf.bool))

  def _step(self, action):
    """Plays `action`; games at the end of an episode start the next one."""
    with tf.device('/CPU:0'):
      action = tf.ensure_shape(
          tf.convert_to_tensor(action, tf.int32), [self.batch_size])
      steps = self.state.steps.read_value()
      return self._advance(action, (steps < 0) | (steps == self._last_step))

  def _advance(self, action, restart):
    """Moves paddle and balls, and stores the new state.

    Args:
      action: int32 `[B]`.
      restart: bool `[B]`, games that begin an episode and ignore their action.

    Returns:
      The next `TimeStep`.
    """
    state = self.state
    rightmost = CELLS - self._paddle_width
    steps: Any = tf.where(restart, 0, state.steps + 1)
    move = tf.clip_by_value(action, 0, 2) - 1
    paddle = tf.clip_by_value(state.paddle + move, 0, rightmost)
    paddle = tf.where(restart, rightmost // 2, paddle)
    landed = state.falling.read_value()
    drawn = state.random.uniform([self.batch_size], 0, CELLS, tf.int32)
    falling = tf.where(steps % FALL == 0, drawn, landed)
    state.steps.assign(steps)
    state.paddle.assign(paddle)
    state.falling.assign(falling)
    state.landed.assign(landed)
    return self._look(steps, paddle, falling, landed)

  def _look(self, steps, paddle, falling, landed):
    """The `TimeStep` of a state; all arguments are int32 `[B]`."""
    first, last = steps == 0, steps == self._last_step
    lands = (steps % FALL == 0) & ~first
    caught = (landed >= paddle) & (landed < paddle + self._paddle_width)
    reward = tf.where(lands, tf.where(caught, 1.0, -1.0), 0.0)
    step_type = tf.where(
        first, ts.StepType.FIRST,
        tf.where(last, ts.StepType.LAST, ts.StepType.MID))
    image = self._draw(
        paddle,
        (tf.where(last, _NOWHERE, steps % FALL), falling),
        (tf.where(lands, FALL, _NOWHERE), landed))
    return ts.TimeStep(
        step_type, reward, tf.where(last, 0.0, 1.0), {'image': image})

  def _draw(self, paddle: tf.Tensor, *balls: tuple[Any, Any]) -> tf.Tensor:
    """Draws the grid.

    Args:
      paddle: int32 `[B]`, leftmost column of the paddle.
      *balls: Pairs of row and column in the grid, int32 `[B]` each.

    Returns:
      uint8 `[B, 64, 64, 1]`.
    """
    row = _CELL_OF_PIXEL[:, None, None]
    column = _CELL_OF_PIXEL[:, None]
    spread = lambda cell: cell[:, None, None, None]
    right = spread(paddle + self._paddle_width)
    is_paddle = (row == FALL) & (column >= spread(paddle)) & (column < right)
    is_ball = False
    for ball_row, ball_column in balls:
      is_ball |= (row == spread(ball_row)) & (column == spread(ball_column))
    grey = lambda level: tf.constant(level, tf.uint8)
    return tf.where(
        is_ball, grey(BALL),
        tf.where(is_paddle, grey(PADDLE), grey(BACKGROUND)))


def _spec(shape, dtype, largest, name) -> Any:
  # TensorFlow annotates no arguments of the class.
  bounded: Any = tensor_spec.BoundedTensorSpec
  return bounded(shape, dtype, 0, largest, name=name)
