"""Tests of the Atari protocol, on a scripted emulator and on real games."""

import ale_py
import numpy as np
import pytest
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.environments import utils
from tf_agents.metrics import tf_metrics
from tf_agents.policies import random_tf_policy
from tf_agents.utils import common

from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import emulators
from dreamerv2_tfa.environments import tasks

PAPER_GAMES = """
    alien amidar assault asterix asteroids atlantis bank_heist battle_zone
    beam_rider berzerk bowling boxing breakout centipede chopper_command
    crazy_climber demon_attack double_dunk enduro fishing_derby freeway
    frostbite gopher gravitar hero ice_hockey james_bond kangaroo krull
    kung_fu_master montezuma_revenge ms_pacman name_this_game phoenix pitfall
    pong private_eye qbert riverraid road_runner robotank seaquest skiing
    solaris space_invaders star_gunner tennis time_pilot tutankham up_n_down
    venture video_pinball wizard_of_wor yars_revenge zaxxon""".split()


def make(game='pong', **settings):
  """Returns an `AtariEnvironment`, with nothing random unless asked for."""
  usual = dict(
      seed=0, emulator='ale_py', action_repeat=4, size=64, grayscale=True,
      noops=0, sticky=0.0,
      full_action_space=False, max_steps=27000, terminal_on_life_loss=False,
      ram=False)
  return atari.AtariEnvironment(game, **{**usual, **settings})


class ScriptedEmulator:
  """Frame `f` after a reset pays `f` and shows 10 * f left, 250 - 10 * f right.

  So of two frames the elementwise maximum has its left half from the later one
  and its right half from the earlier one. Frame 0 is the one after the reset.
  """

  def __init__(self, frames=10**9, life_lost_at=None):
    self.frames = frames              # that a game lasts
    self.life_lost_at = life_lost_at  # frame
    self.acted = []                   # (button, paddle strength) of each frame
    self.frame = None

  def reset_game(self):
    self.frame = 0

  def act(self, action, paddle_strength):
    assert not self.game_over(), 'A finished game was played on.'
    self.frame += 1
    self.acted.append((action, paddle_strength))
    return self.frame

  def game_over(self):
    return self.frame >= self.frames

  def lives(self):
    lost = self.life_lost_at is not None and self.frame >= self.life_lost_at
    return 2 if lost else 3

  def getMinimalActionSet(self):  # pylint: disable=invalid-name
    return [ale_py.Action.NOOP, ale_py.Action.FIRE, ale_py.Action.UP]

  def getScreenGrayscale(self, screen=None):  # pylint: disable=invalid-name
    screen = np.zeros((210, 160), np.uint8) if screen is None else screen
    shade = min(10 * (self.frame or 0), 250)
    screen[:, :80], screen[:, 80:] = shade, 250 - shade
    return screen


@pytest.fixture
def scripted(monkeypatch):
  """Lets environments play the emulator that it is called with."""
  def play_on(emulator):
    def start(*settings):
      emulator.settings = settings
      return emulator
    monkeypatch.setattr(emulators, 'start', start)
    return emulator
  return play_on


def halves(time_step):
  """Returns the grey levels of the left and right half of an image."""
  image = time_step.observation['image']
  assert image.shape == (64, 64, 1) and image.dtype == np.uint8
  left, right = np.unique(image[:, :32]), np.unique(image[:, 32:])
  assert len(left) == len(right) == 1
  return int(left[0]), int(right[0])


def test_an_action_is_held_for_four_frames_and_rewards_are_summed(scripted):
  emulator = scripted(ScriptedEmulator())
  env = make()
  env.reset()
  assert env.step(2).reward == 1 + 2 + 3 + 4
  assert env.step(1).reward == 5 + 6 + 7 + 8
  kept_down = [(ale_py.Action.UP, 1.0)] * 4 + [(ale_py.Action.FIRE, 1.0)] * 4
  assert emulator.acted == kept_down


def test_image_is_the_elementwise_maximum_of_frames_three_and_four(scripted):
  scripted(ScriptedEmulator())
  env = make()
  assert halves(env.reset()) == (0, 250)
  assert halves(env.step(0)) == (40, 250 - 30)
  assert halves(env.step(0)) == (80, 250 - 70)


@pytest.mark.parametrize('repeat, wanted', [
    (1, (10, 240)), (2, (20, 240)), (3, (30, 230))])
def test_other_repeats_show_their_own_last_two_frames(scripted, repeat, wanted):
  scripted(ScriptedEmulator())
  env = make(action_repeat=repeat)
  env.reset()
  env.step(0)
  env.reset()
  assert halves(env.step(0)) == wanted


def test_image_is_resized_by_area(scripted):
  screen = np.random.default_rng(0).integers(0, 256, (210, 160), np.uint8)
  emulator = scripted(ScriptedEmulator())
  blank = np.zeros_like(screen)

  def show(into=blank):
    into[:] = screen
    return into

  emulator.getScreenGrayscale = show

  def shares(pixels):  # [64, pixels], part of each old pixel in a new one
    edge = np.arange(65) * pixels / 64
    old = np.arange(pixels)
    inside = (np.minimum(edge[1:, None], old + 1)
              - np.maximum(edge[:-1, None], old))
    return np.maximum(inside, 0) * 64 / pixels

  image = make().reset().observation['image'][..., 0]
  wanted = shares(210) @ screen @ shares(160).T
  np.testing.assert_allclose(image, wanted, atol=0.51)


def test_gray_is_the_luminance_of_the_colours():
  color = make('seaquest', grayscale=False).reset().observation['image']
  gray = make('seaquest').reset().observation['image']
  assert color.shape == (64, 64, 3) and gray.shape == (64, 64, 1)
  luminance = color @ np.array([0.2989, 0.5870, 0.1140])
  np.testing.assert_allclose(gray[..., 0], luminance, atol=2)


def test_reset_waits_one_to_thirty_frames_without_reward(scripted):
  emulator = scripted(ScriptedEmulator())
  env = make(noops=30)
  waits = []
  for _ in range(400):
    emulator.acted.clear()
    time_step = env.reset()
    assert time_step.is_first() and time_step.reward == 0
    assert set(emulator.acted) == {(ale_py.Action.NOOP, 1.0)}
    waits.append(len(emulator.acted))
    shade = min(10 * waits[-1], 250)
    assert halves(time_step) == (shade, 250 - shade)  # The last frame alone.
  assert set(waits) == set(range(1, 31))
  assert env.step(0).reward == sum(range(waits[-1] + 1, waits[-1] + 5))


def test_game_over_while_waiting_starts_the_game_again(scripted):
  emulator = scripted(ScriptedEmulator(frames=3))
  env = make(noops=30)
  for _ in range(50):
    assert env.reset().is_first()
    assert emulator.frame < 3


@pytest.mark.parametrize('frames, reward, wanted', [
    (5, 5, (50, 200)),                   # Its only frame, none of before.
    (6, 5 + 6, (60, 200)),               # The maximum of its two frames.
    (7, 5 + 6 + 7, (70, 190)),           # The last two of its three.
    (8, 5 + 6 + 7 + 8, (80, 180))])
def test_game_over_ends_the_step_early_and_shows_the_true_last_frames(
    scripted, frames, reward, wanted):
  emulator = scripted(ScriptedEmulator(frames=frames))
  env = make()
  env.reset()
  assert env.step(0).is_mid()
  last = env.step(0)
  assert last.is_last() and last.discount == 0
  assert last.reward == reward and halves(last) == wanted
  assert len(emulator.acted) == frames


def test_the_step_after_the_last_is_the_first_of_the_next_episode(scripted):
  emulator = scripted(ScriptedEmulator(frames=4))
  env = make()
  env.reset()
  assert env.step(0).is_last()
  assert env.step(2).is_first() and emulator.frame == 0
  assert (ale_py.Action.UP, 1.0) not in emulator.acted


def test_the_time_limit_is_last_with_discount_one(scripted):
  scripted(ScriptedEmulator())
  env = make(max_steps=3)
  for _ in range(2):
    env.reset()
    steps = [env.step(0) for _ in range(3)]
    assert [s.is_last() for s in steps] == [False, False, True]
    assert [s.discount for s in steps] == [1, 1, 1]


def test_game_over_at_the_time_limit_is_terminal(scripted):
  scripted(ScriptedEmulator(frames=12))
  env = make(max_steps=3)
  env.reset()
  last = [env.step(0) for _ in range(3)][-1]
  assert last.is_last() and last.discount == 0


def test_by_default_no_ops_and_stickiness_are_the_papers(scripted):
  emulator = scripted(ScriptedEmulator())
  env = tasks.load('atari_pong').make(7).pyenv.envs[0]
  assert emulator.settings == ('ale_py', 'pong', 7)
  assert {env.reset() and emulator.frame for _ in range(400)} == set(
      range(1, 31))
  emulator.acted.clear()
  for step in range(2000):
    env.step(1 + step % 2)
  buttons = [button for button, _ in emulator.acted]
  held = np.mean([buttons[4 * i - 1] == buttons[4 * i] for i in range(1, 2000)])
  assert abs(held - 0.25) < 0.04


@pytest.mark.slow
def test_by_default_an_episode_is_cut_after_108000_frames(scripted):
  emulator = scripted(ScriptedEmulator())
  env = tasks.load('atari_pong').make(0).pyenv.envs[0]
  env.reset()
  emulator.acted.clear()
  while not (time_step := env.step(0)).is_last():
    pass
  assert len(emulator.acted) == 108000 and time_step.discount == 1


def test_a_lost_life_ends_the_episode_only_where_asked(scripted):
  scripted(ScriptedEmulator(life_lost_at=6))
  env = make()
  env.reset()
  assert not any(env.step(0).is_last() for _ in range(5))
  env = make(terminal_on_life_loss=True)
  env.reset()
  assert env.step(0).is_mid()
  last = env.step(0)
  assert last.is_last() and last.discount == 0 and last.reward == 5 + 6


def test_a_life_lost_while_waiting_does_not_count(scripted):
  emulator = scripted(ScriptedEmulator(life_lost_at=10))
  env = make(terminal_on_life_loss=True, noops=30)
  for _ in range(100):
    env.reset()
    wait = emulator.frame
    assert env.step(0).is_last() == (wait < 10 <= wait + 4)


@pytest.mark.parametrize('game, minimal', [
    ('pong', 6), ('breakout', 4), ('skiing', 3), ('alien', 18)])
def test_actions_are_the_minimal_set_or_all_eighteen(game, minimal):
  assert make(game).action_spec().maximum == minimal - 1
  env = make(game, full_action_space=True)
  assert env.action_spec().maximum == 17
  env.reset()
  for action in range(18):
    env.step(action)


def test_the_full_set_is_numbered_like_the_joystick(scripted):
  emulator = scripted(ScriptedEmulator())
  env = make(full_action_space=True, action_repeat=1)
  env.reset()
  for action in range(18):
    env.step(action)
  assert [button for button, _ in emulator.acted] == [
      ale_py.Action(i) for i in range(18)]


def repeats(sticky, steps):
  """Returns the share of frames that repeat, where another action was asked.

  Memory byte 14 of Boxing holds the joystick's port: 191 left, 127 right.
  """
  env = make('boxing', sticky=sticky, full_action_space=True, action_repeat=1,
             ram=True, max_steps=10**6)
  left, right = ale_py.Action.LEFT.value, ale_py.Action.RIGHT.value
  env.reset()
  asked, repeated, port = 0, 0, None
  for i in range(steps):
    time_step = env.step([left, right][i % 2])
    before, port = port, time_step.observation['ram'][14]
    wanted = [191, 127][i % 2]
    if before in (191, 127) and before != wanted and port in (191, 127):
      asked += 1
      repeated += port == before
    if time_step.is_last():
      env.reset()
      port = None
  assert asked > steps / 2
  return repeated / asked


def test_a_quarter_of_the_frames_repeat_the_action_before():
  assert abs(repeats(sticky=0.25, steps=10000) - 0.25) < 0.02


def test_without_stickiness_no_frame_does():
  assert repeats(sticky=0.0, steps=1000) == 0


def episode(seed, noops, sticky):
  """Returns memory and rewards under a fixed sequence of actions."""
  env = make('breakout', seed=seed, noops=noops, sticky=sticky, ram=True)
  actions = np.random.default_rng(0).integers(0, 4, 200)
  steps = [env.reset()] + [env.step(action) for action in actions]
  return np.stack([np.append(s.observation['ram'], s.reward) for s in steps])


@pytest.mark.parametrize('seed', [0, 1, 2**31 - 1])
def test_the_same_seed_gives_the_same_episode(seed):
  np.testing.assert_array_equal(
      episode(seed, 30, 0.25), episode(seed, 30, 0.25))


@pytest.mark.parametrize('noops, sticky', [(0, 0.25), (10**3, 0.0)])
def test_other_seeds_give_other_episodes(noops, sticky):
  episodes = {episode(seed, noops, sticky).tobytes() for seed in range(4)}
  assert len(episodes) == 4


@pytest.mark.slow
def test_all_55_games_of_the_paper_can_be_made():
  assert len(PAPER_GAMES) == 55
  for game in PAPER_GAMES:
    env = make(game)
    env.reset()
    assert env.step(1).observation['image'].any(), game


def test_games_that_would_end_the_process_are_refused():
  for game in ('combat', 'joust', 'maze_craze', 'warlords'):
    with pytest.raises(ValueError, match=game):
      make(game)
  assert 'klax' in emulators.games() and len(emulators.games()) == 105


@pytest.mark.parametrize('settings', [
    dict(ram=True), dict(grayscale=False, size=50),
    dict(noops=30, sticky=0.25)])
def test_episodes_fit_the_specs(settings):
  env = make('space_invaders', max_steps=20, **settings)
  utils.validate_py_environment(env, episodes=3)
  assert all(
      spec.minimum == 0 and spec.maximum == 255
      for spec in env.observation_spec().values())


def test_observations_are_not_overwritten_by_later_steps():
  env = make('boxing', ram=True)
  first = env.reset().observation
  copies = {key: value.copy() for key, value in first.items()}
  for _ in range(50):
    env.step(1)
  for key in first:
    np.testing.assert_array_equal(first[key], copies[key])


def test_a_driver_in_a_graph_plays_a_whole_episode():
  env = atari.load('pong', max_steps=12).make(1)
  policy = random_tf_policy.RandomTFPolicy(
      env.time_step_spec(), env.action_spec())
  steps, episodes = tf_metrics.EnvironmentSteps(), tf_metrics.NumberOfEpisodes()
  driver = dynamic_episode_driver.DynamicEpisodeDriver(
      env, policy, observers=[steps, episodes])
  run = common.function(driver.run)
  time_step, state = env.reset(), policy.get_initial_state(1)
  for _ in range(8):
    time_step, state = run(
        time_step, state, num_episodes=9, maximum_iterations=5)
  # 40 rows: three episodes of 12 steps, three rows between, one step.
  assert (steps.result(), episodes.result()) == (37, 3)
  assert time_step.observation['image'].shape == (1, 64, 64, 1)


def test_the_emulator_prints_nothing(capfd):
  make('pong').reset()
  assert ''.join(capfd.readouterr()) == ''


@pytest.mark.parametrize('name, value', [
    ('emulator', 'stella'), ('seed', -1), ('seed', 2**31),
    ('action_repeat', 0), ('action_repeat', 2.5),
    ('size', 0), ('noops', -1), ('sticky', 1.5), ('sticky', 'on'),
    ('max_steps', 0), ('max_steps', True), ('grayscale', 1), ('ram', 'no'),
    ('full_action_space', None), ('terminal_on_life_loss', 0)])
def test_a_wrong_setting_is_named_with_what_was_wanted(name, value):
  wanted = f'load_atari.{name} must .*got {value!r}'
  with pytest.raises(ValueError, match=wanted):
    make(**{name: value})


@pytest.mark.parametrize('action', [-1, 6])
def test_an_action_out_of_the_set_is_refused(action):
  env = make('pong')
  env.reset()
  with pytest.raises(ValueError, match=f'got action {action}, .*0 to 5'):
    env.step(action)
