"""Tests of Catch: by hand, by a naive twin, in a graph, after a restore."""

import os

import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.policies import random_tf_policy
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.specs import tensor_spec
from tf_agents.utils import common

from dreamerv2_tfa.environments import catch

LEFT, STAY, RIGHT = 0, 1, 2
FIRST, MID, LAST = 0, 1, 2


def place(env, **state):
  """Sets variables of the game, each to a list with a number a game."""
  for name, values in state.items():
    getattr(env.state, name).assign(values)


def play(env, actions):
  """Returns the time steps that follow the actions, of one game, as numpy."""
  steps = [env.step([action]) for action in actions]
  return [tf.nest.map_structure(lambda x: x[0].numpy(), s) for s in steps]


def grid(image):
  """Returns the grey level of each cell; fails where a cell has several."""
  inside = image[2:62, 2:62, 0].reshape(10, 6, 10, 6)
  assert (inside.min((1, 3)) == inside.max((1, 3))).all()
  return inside[:, 0, :, 0]


class NaiveCatch:
  """Twin in plain Python; it is told the columns of the balls."""

  def __init__(self, balls=5):
    self.balls = balls

  def reset(self, column):
    self.time, self.paddle = 0, 4
    self.ball, self.row, self.landed = column, 0, None
    return FIRST, 0.0, 1.0, self.draw()

  def step(self, action, column):
    self.time += 1
    self.paddle = min(max(self.paddle + [-1, 0, 1][action], 0), 8)
    self.row += 1
    reward, self.landed = 0.0, None
    if self.row == 9:
      reward = 1.0 if self.ball in (self.paddle, self.paddle + 1) else -1.0
      self.landed, self.ball, self.row = self.ball, column, 0
    over = self.time == 9 * self.balls
    if over:
      self.ball = None
    return (LAST if over else MID), reward, 1.0 - over, self.draw()

  def draw(self):
    cells = np.full((10, 10), 64)
    cells[9, self.paddle:self.paddle + 2] = 160
    if self.landed is not None:
      cells[9, self.landed] = 255
    if self.ball is not None:
      cells[self.row, self.ball] = 255
    return cells


def assert_twin_agrees(step_types, actions, rewards, discount, images):
  """Replays one game's steps; action t led into step t + 1."""
  twin = NaiveCatch()
  for t, image in enumerate(images):
    cells = grid(image)
    column = int(cells[0].argmax())   # The one thing that is random.
    if t == 0 or step_types[t - 1] == LAST:
      wanted = twin.reset(column)
    else:
      wanted = twin.step(int(actions[t - 1]), column)
    got = (step_types[t], rewards[t], discount[t])
    assert got == wanted[:3], f'step {t}: got {got}, wanted {wanted[:3]}'
    np.testing.assert_array_equal(cells, wanted[3], err_msg=f'step {t}')


def test_a_ball_caught_and_a_ball_missed_by_hand():
  env = catch.Catch()
  env.reset()
  place(env, falling=[7])
  steps = play(env, [RIGHT, RIGHT] + 7 * [STAY])   # The paddle covers 6 and 7.
  assert [s.reward for s in steps] == 8 * [0] + [1]
  place(env, falling=[5])
  steps = play(env, 9 * [STAY])
  assert [s.reward for s in steps] == 8 * [0] + [-1]


def test_landed_ball_and_next_ball_are_both_seen_with_the_reward():
  env = catch.Catch()
  env.reset()
  place(env, falling=[2])
  before, arrival = [grid(s.observation['image'])
                     for s in play(env, 9 * [STAY])[-2:]]
  following = grid(play(env, [STAY])[0].observation['image'])
  assert np.argwhere(before == 255).tolist() == [[8, 2]]
  (top, column), bottom = np.argwhere(arrival == 255).tolist()
  assert (top, bottom) == (0, [9, 2])
  assert np.argwhere(following == 255).tolist() == [[1, column]]
  assert np.argwhere(arrival == 160).tolist() == [[9, 4], [9, 5]]


def test_the_ball_is_drawn_over_the_paddle():
  env = catch.Catch()
  env.reset()
  place(env, falling=[5])
  arrival = grid(play(env, 9 * [STAY])[-1].observation['image'])
  assert arrival[9].tolist() == [64] * 4 + [160, 255] + [64] * 4


def test_image_has_a_margin_and_no_black():
  image = catch.Catch().reset().observation['image'][0].numpy()
  assert image.shape == (64, 64, 1) and image.dtype == np.uint8
  assert sorted(np.unique(image)) == [64, 160, 255]
  for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
    assert (edge == 64).all()


def test_the_paddle_stops_at_the_walls():
  env = catch.Catch()
  env.reset()
  paddles = lambda steps: [
      int(grid(s.observation['image'])[9].argmax()) for s in steps]
  assert paddles(play(env, 6 * [LEFT])) == [3, 2, 1, 0, 0, 0]
  env.reset()
  assert paddles(play(env, 6 * [RIGHT])) == [5, 6, 7, 8, 8, 8]


def test_an_action_out_of_bounds_counts_as_the_nearest():
  env = catch.Catch(batch_size=2)
  env.reset()
  env.step([-3, 7])
  assert env.state.paddle.numpy().tolist() == [3, 5]


def test_five_balls_take_45_steps_and_then_truly_end():
  env = catch.Catch()
  env.reset()
  steps = play(env, 46 * [STAY])
  assert [s.step_type for s in steps] == 44 * [MID] + [LAST, FIRST]
  assert [s.discount for s in steps] == 44 * [1] + [0, 1]
  assert [i + 1 for i, s in enumerate(steps) if s.reward] == [9, 18, 27, 36, 45]
  last = grid(steps[44].observation['image'])
  assert (last[:9] == 64).all() and (last[9] == 255).sum() == 1


def test_rows_of_a_batch_end_each_by_itself():
  env = catch.Catch(batch_size=3)
  env.reset()
  place(env, steps=[44, 8, 0])
  first, second = env.step([STAY] * 3), env.step([LEFT] * 3)
  assert first.step_type.numpy().tolist() == [LAST, MID, MID]
  assert first.discount.numpy().tolist() == [0, 1, 1]
  assert second.step_type.numpy().tolist() == [FIRST, MID, MID]
  assert (first.reward.numpy() != 0).tolist() == [True, True, False]
  assert second.reward.numpy().tolist() == [0, 0, 0]
  assert env.state.paddle.numpy().tolist() == [4, 3, 3]


def test_every_ball_can_be_caught_from_every_place():
  # All 9 paddles times all 10 columns, at a ball's first row. The next ball
  # starts from such a state again, so by induction 5 of 5 can be caught.
  paddles, columns = [list(x.ravel()) for x in np.mgrid[0:9, 0:10]]
  env = catch.Catch(batch_size=90)
  env.reset()
  place(env, paddle=paddles, falling=columns)
  total = 0
  for _ in range(9):
    target = np.clip(env.state.falling.numpy(), 0, 8)
    time_step = env.step(1 + np.sign(target - env.state.paddle.numpy()))
    total += time_step.reward
  assert total.numpy().tolist() == 90 * [1.0]


@pytest.mark.parametrize('width', [1, 3, 10])
def test_the_best_return_is_the_number_of_balls_for_every_width(width):
  env = catch.Catch(batch_size=40, seed=2, balls=3, paddle_width=width)
  env.reset()
  total = 0
  for _ in range(27):
    target = np.clip(env.state.falling.numpy(), 0, 10 - width)
    time_step = env.step(1 + np.sign(target - env.state.paddle.numpy()))
    total += time_step.reward
  assert time_step.is_last().numpy().all()
  assert total.numpy().tolist() == 40 * [3.0]


def test_random_play_gets_minus_three():
  env = catch.Catch(batch_size=4000)
  random = np.random.default_rng(0)
  env.reset()
  total = sum(
      env.step(random.integers(0, 3, 4000, np.int32)).reward.numpy()
      for _ in range(45))
  np.testing.assert_allclose(total.mean(), -3, atol=4 * 1.79 / 4000 ** 0.5)


def test_columns_are_uniform():
  env = catch.Catch(batch_size=20000)
  env.reset()
  counts = np.bincount(env.state.falling.numpy(), minlength=10)
  np.testing.assert_allclose(counts, 2000, atol=4 * (20000 * 0.09) ** 0.5)


def test_same_seed_same_episodes_and_neighbouring_seeds_share_nothing():
  columns = lambda seed: catch.Catch(40, seed).reset().observation[
      'image'].numpy()[:, 2, ::6, 0].argmax(1).tolist()
  one, two = columns(1), columns(2)
  assert one == columns(1)
  windows = lambda row: {tuple(row[i:i + 8]) for i in range(33)}
  assert not windows(one) & windows(two)


def test_current_time_step_starts_the_game_once_and_moves_nothing():
  env = catch.Catch(batch_size=2, seed=3)
  first = env.current_time_step()
  assert first.step_type.numpy().tolist() == [FIRST, FIRST]
  tf.nest.map_structure(
      np.testing.assert_array_equal, first, env.current_time_step())
  for _ in range(9):
    moved = env.step([RIGHT, LEFT])
  tf.nest.map_structure(
      np.testing.assert_array_equal, moved, env.current_time_step())


def test_the_first_step_starts_the_game_and_ignores_its_action():
  env = catch.Catch()
  time_step = env.step([LEFT])
  assert time_step.is_first().numpy().all()
  assert env.state.paddle.numpy().tolist() == [4]


def test_driver_in_a_graph_in_slices_agrees_with_the_twin():
  env = catch.Catch(seed=5)
  policy = random_tf_policy.RandomTFPolicy(
      env.time_step_spec(), env.action_spec())
  buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(
      policy.trajectory_spec, batch_size=1, max_length=400)
  driver = dynamic_episode_driver.DynamicEpisodeDriver(
      env, policy, observers=[buffer.add_batch])
  run = common.function(driver.run)
  time_step, state = env.reset(), policy.get_initial_state(1)
  for _ in range(50):
    time_step, state = run(
        time_step, state, num_episodes=100, maximum_iterations=7)
  rows = tf.nest.map_structure(lambda x: x[0].numpy(), buffer.gather_all())
  assert len(rows.reward) == 350
  # A row holds the reward and discount of the step after it: shift by one.
  reward = np.concatenate([[0], rows.reward[:-1]])
  discount = np.concatenate([[1], rows.discount[:-1]])
  assert_twin_agrees(
      rows.step_type, rows.action, reward, discount, rows.observation['image'])


def test_a_graph_loop_and_eager_steps_are_the_same_game():
  actions = np.random.default_rng(1).integers(0, 3, (100, 2), np.int32)

  @tf.function
  def loop(env):
    rewards = tf.TensorArray(tf.float32, 100)
    sums = tf.TensorArray(tf.int32, 100)
    for t in tf.range(100):
      time_step = env.step(tf.constant(actions)[t])
      rewards = rewards.write(t, time_step.reward)
      image = tf.cast(time_step.observation['image'], tf.int32)
      image *= tf.range(64)[:, None]   # A sum that moves with what is drawn.
      sums = sums.write(t, tf.reduce_sum(image, (1, 2, 3)))
    return rewards.stack(), sums.stack()

  graph = loop(catch.Catch(2, seed=4))
  eager = loop.python_function(catch.Catch(2, seed=4))
  np.testing.assert_array_equal(graph[0], eager[0])
  np.testing.assert_array_equal(graph[1], eager[1])


def test_time_steps_and_actions_fit_the_specs():
  env = catch.Catch(batch_size=2)
  assert list(env.observation_spec()) == ['image']
  spec = env.action_spec()
  assert (spec.shape, spec.dtype, spec.minimum, spec.maximum) == (
      (), tf.int32, 0, 2)
  action = tensor_spec.sample_spec_nest(spec, outer_dims=(2,))
  for time_step in (env.reset(), env.step(action), env.current_time_step()):
    for got, spec in zip(
        tf.nest.flatten(time_step), tf.nest.flatten(env.time_step_spec()),
        strict=True):
      assert (got.shape, got.dtype) == ((2,) + tuple(spec.shape), spec.dtype)


def test_a_restored_checkpoint_goes_on_with_the_same_episodes(tmp_path):
  actions = np.random.default_rng(2).integers(0, 3, (120, 2), np.int32)
  env = catch.Catch(batch_size=2, seed=6)
  for action in actions[:20]:
    env.step(action)
  path = tf.train.Checkpoint(environment=env.state).save(
      os.path.join(tmp_path, 'checkpoint'))
  here = env.current_time_step()
  wanted = [env.step(action) for action in actions[20:]]

  other = catch.Catch(batch_size=2, seed=7)
  tf.train.Checkpoint(environment=other.state).restore(path).assert_consumed()
  tf.nest.map_structure(
      np.testing.assert_array_equal, here, other.current_time_step())
  got = [other.step(action) for action in actions[20:]]
  tf.nest.map_structure(np.testing.assert_array_equal, got, wanted)


@pytest.mark.parametrize('name, value', [
    ('batch_size', 0), ('seed', -1), ('seed', 0.5), ('balls', 0),
    ('balls', True), ('paddle_width', 11)])
def test_a_wrong_number_is_named_with_what_was_wanted(name, value):
  with pytest.raises(ValueError, match=f'Catch.{name} .*got {value}'):
    catch.Catch(**{name: value})


def test_actions_of_another_batch_size_are_refused():
  wanted = 'not compatible with expected shape .2.'
  with pytest.raises(tf.errors.InvalidArgumentError, match=wanted):
    catch.Catch(batch_size=2).step([STAY])


def test_gin_sets_the_number_of_balls():
  with gin.unlock_config():
    gin.parse_config('Catch.balls = 2')
  try:
    env = catch.Catch()
  finally:
    gin.clear_config()
  env.reset()
  assert [s.step_type for s in play(env, 18 * [STAY])] == 17 * [MID] + [LAST]
