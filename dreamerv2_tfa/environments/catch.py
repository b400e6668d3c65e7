"""Catch: five balls fall one after another, a paddle catches them."""

import gin
import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import task as task_lib

CELLS = 10                 # rows and columns of the grid
FALL = CELLS - 1           # steps from the top row to the bottom row
SIZE = 64                  # pixels, height and width of an image
CELL_SIZE = 6              # pixels
MARGIN = 2                 # pixels of background around the grid
BACKGROUND = 64            # grey levels; a black background starves the latents
PADDLE = 160
BALL = 255

_NOWHERE = -2              # a row that no pixel belongs to
# Grid row (or column) of each pixel row (or column), -1 in the margin.
_CELL_OF_PIXEL = np.full(SIZE, -1, np.int32)
_CELL_OF_PIXEL[MARGIN:-MARGIN] = np.arange(CELLS).repeat(CELL_SIZE)


@gin.configurable
class Catch(tf_environment.TFEnvironment):
  """Catch written in TensorFlow, so that a driver never leaves the graph.

  A ball starts in the top row in a random column and falls a row a step; the
  paddle moves a column a step. The step that lands the ball on the paddle's row
  is rewarded: +1 on the paddle, -1 beside it.

    step        0     1    ...   8     9     10   ...   44    45
    ball 1    row 0 row 1      row 8 row 9
    ball 2                           row 0 row 1
    ball 5                                            row 8 row 9
    reward      -     0          0    +-1    0          0    +-1
    step type FIRST  MID                                    LAST, discount 0

  The paddle crosses the grid in the time that a ball falls, so the best return
  is `balls` whatever the columns. A ball's column is drawn independently of all
  else, so a paddle that does not look earns
  `balls * (2 * paddle_width / 10 - 1)` on average: -3 with the defaults.

  Observations are `{'image': uint8 [64, 64, 1]}`; actions are int32 scalars, 0
  left, 1 stay, 2 right. One out of these bounds counts as the nearest.

  Attributes:
    state: tf.train.Checkpoint of all that the next episodes depend on, random
      numbers included; put it in a `tf.train.Checkpoint` to save and restore.
  """

  def __init__(self, batch_size=1, seed=0, balls=5, paddle_width=2):
    """Makes `batch_size` independent games; the first step starts them.

    Args:
      batch_size: Python int, games played side by side.
      seed: Python int; the same seed gives the same episodes.
      balls: Python int, balls an episode; an episode has 9 * balls steps.
      paddle_width: Python int, columns.

    Raises:
      ValueError: If a number is not an integer in its range.
    """
    batch_size = checks.integer(
        'Catch.batch_size', batch_size, 1, 2**31 - 1)
    seed = checks.integer('Catch.seed', seed, 0, 2**63 - 1)
    balls = checks.integer('Catch.balls', balls, 1, 2**31 // FALL - 1)
    paddle_width = checks.integer(
        'Catch.paddle_width', paddle_width, 1, CELLS)
    observation_spec = {
        'image': tensor_spec.BoundedTensorSpec(
            (SIZE, SIZE, 1), tf.uint8, 0, 255, name='image')}
    super().__init__(
        time_step_spec=ts.time_step_spec(observation_spec),
        action_spec=tensor_spec.BoundedTensorSpec(
            (), tf.int32, 0, 2, name='action'),
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
          # The seed is the key: `from_seed` makes it the counter, and then
          # neighbouring seeds draw overlapping streams.
          random=tf.random.Generator.from_key_counter(seed, [0, 0], 'philox'))

  def _current_time_step(self):
    """Returns the time step of the present state; starts a game if none is."""
    with tf.device('/CPU:0'):
      state = self.state
      return tf.cond(
          tf.reduce_any(state.steps < 0), self._reset,
          lambda: self._look(
              state.steps, state.paddle, state.falling, state.landed))

  def _reset(self):
    """Starts a new episode in every row of the batch."""
    with tf.device('/CPU:0'):
      batch = [self.batch_size]
      return self._advance(tf.ones(batch, tf.int32), tf.ones(batch, tf.bool))

  def _step(self, action):
    """Plays `action`; where an episode is over, the next one starts instead."""
    with tf.device('/CPU:0'):
      action = tf.ensure_shape(
          tf.convert_to_tensor(action, tf.int32), [self.batch_size])
      steps = self.state.steps.read_value()
      return self._advance(action, (steps < 0) | (steps == self._last_step))

  def _advance(self, action, restart):
    """Moves paddle and balls, stores the new state and returns what is seen.

    Args:
      action: int32 `[B]`.
      restart: bool `[B]`; an episode begins there, and the action is ignored.

    Returns:
      The next `TimeStep`.
    """
    state = self.state
    rightmost = CELLS - self._paddle_width
    steps = tf.where(restart, 0, state.steps + 1)
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
    """Returns the `TimeStep` of a state; all arguments are int32 `[B]`."""
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

  def _draw(self, paddle, *balls):
    """Draws the grid.

    Args:
      paddle: int32 `[B]`, leftmost column of the paddle.
      *balls: Pairs of row and column, int32 `[B]` each.

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


def games() -> tuple[str, ...]:
  """There is one game, which has no name beside the suite's."""
  return ('',)


def load(game: str = '') -> task_lib.Task:
  """The task `catch`, one frame an agent step. gin's `Catch` has its settings.

  Args:
    game: ''.
  """
  del game

  def make(seed, num_environments=1, processes=False):
    del processes  # it is a batch in TensorFlow by itself
    return Catch(batch_size=num_environments, seed=seed)

  return task_lib.Task('catch', 1, make)
