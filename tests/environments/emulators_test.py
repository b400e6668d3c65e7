"""Tests of the two emulators of Atari: what atari-py plays is in the golden."""

import importlib.util
import itertools
import pathlib

import numpy as np
import pytest

from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import emulators

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden'
_HAS_ATARI_PY = importlib.util.find_spec('atari_py') is not None
# Games that the emulators play otherwise, in pictures and rewards;
# docs/environments.md lists them. In a few more the memory alone differs.
DIFFERENT = {
    'adventure', 'air_raid', 'assault', 'beam_rider', 'elevator_action',
    'frogger', 'ice_hockey', 'kaboom', 'keystone_kapers', 'king_kong',
    'laser_gates', 'lost_luggage', 'mr_do', 'seaquest', 'sir_lancelot',
    'solaris', 'tennis', 'yars_revenge',
}
# These do when they are played from loading, without a reset before.
DIFFERENT_FROM_LOADING = {
    'boxing', 'demon_attack', 'fishing_derby', 'freeway', 'frostbite',
    'private_eye',
}
OTHER_MEMORY = {
    'berzerk', 'krull', 'kung_fu_master', 'pooyan', 'turmoil', 'venture',
}


def _player():
  path = _GOLDEN / 'atari_play.py'
  spec = importlib.util.spec_from_file_location('atari_play', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


atari_play = _player()


@pytest.fixture(scope='module')
def golden():
  """What atari-py played: a checksum of each kind, by game."""
  with np.load(_GOLDEN / 'atari_py.npz') as arrays:
    return dict(arrays)


def _differ(game, golden):
  """Kinds of what differs between ale-py now and atari-py then, by start."""
  differs = (atari_play.play('ale_py', game) != golden[game]).any(-1)
  return {
      start: set(itertools.compress(atari_play.KINDS, row))
      for start, row in zip(atari_play.STARTS, differs, strict=True)}


def test_every_game_that_atari_py_can_run_is_in_the_golden(golden):
  assert set(golden) == set(emulators.games()) - set(emulators._CRASHES)
  assert len(golden) == 77


@pytest.mark.slow
def test_most_games_are_played_alike_and_the_others_are_listed(golden):
  found = {game: _differ(game, golden) for game in golden}
  seen = {'pictures', 'rewards', 'lives'}
  differ = lambda start: {
      game for game, kinds in found.items() if kinds[start] & seen}
  assert differ('reset') == DIFFERENT
  assert differ('loaded') - DIFFERENT == DIFFERENT_FROM_LOADING
  memory = {g for g, kinds in found.items() if kinds['reset'] == {'memory'}}
  assert memory == OTHER_MEMORY


@pytest.mark.parametrize('game', ['pong', 'breakout', 'montezuma_revenge'])
def test_a_game_is_played_as_atari_py_plays_it(golden, game):
  assert _differ(game, golden) == {'loaded': set(), 'reset': set()}


def test_the_docs_list_the_games_that_differ():
  page = _GOLDEN.parents[1] / 'docs' / 'environments.md'
  text = page.read_text(encoding='utf-8')
  listed = text.partition('play differently:')[2].partition('.')[0]
  assert set(listed.replace(',', ' ').split()) == DIFFERENT


@pytest.mark.parametrize('game', ['surround', 'klax'])
def test_a_game_that_atari_py_cannot_run_is_refused(game, monkeypatch):
  monkeypatch.setattr(emulators.extras, 'load', lambda module, extra: None)
  with pytest.raises(ValueError, match=f"atari_py cannot run .*'{game}'"):
    atari.load(game, emulator='atari_py').make(0)
  emulators.check('ale_py', game)


@pytest.mark.skipif(_HAS_ATARI_PY, reason='atari-py is installed')
def test_without_atari_py_the_pip_line_is_named():
  with pytest.raises(ValueError, match=r'atari_py is not inst.*\[atari-py\]'):
    atari.load('pong', emulator='atari_py').make(0)


needs_atari_py = pytest.mark.skipif(
    not _HAS_ATARI_PY, reason='atari-py, an extra, is not installed')


@needs_atari_py
@pytest.mark.parametrize('game', ['pong', 'breakout', 'qbert'])
def test_the_golden_is_what_atari_py_plays(golden, game):
  np.testing.assert_array_equal(
      atari_play.play('atari_py', game), golden[game])


@needs_atari_py
@pytest.mark.parametrize('grayscale', [True, False])
@pytest.mark.parametrize('game', ['pong', 'breakout', 'montezuma_revenge'])
def test_both_emulators_show_the_agent_the_same(game, grayscale):
  episodes = []
  for emulator in emulators.NAMES:
    env = atari.AtariEnvironment(
        game, seed=0, emulator=emulator, action_repeat=4, size=64,
        grayscale=grayscale, noops=30, sticky=0.0, full_action_space=False,
        max_steps=27000, terminal_on_life_loss=False, ram=True)
    count = env.action_spec().maximum + 1
    actions = np.random.default_rng(0).integers(0, count, 100)
    episodes.append([env.reset(), *(env.step(action) for action in actions)])
  for one, other in zip(*episodes, strict=True):
    assert one.reward == other.reward and one.step_type == other.step_type
    for key in ('image', 'ram'):
      np.testing.assert_array_equal(
          one.observation[key], other.observation[key])


@needs_atari_py
def test_the_same_seed_gives_the_same_game_with_atari_py():
  def play(seed):
    env = atari.AtariEnvironment(
        'breakout', seed=seed, emulator='atari_py', action_repeat=1, size=64,
        grayscale=True, noops=0, sticky=0.5, full_action_space=False,
        max_steps=27000, terminal_on_life_loss=False, ram=True)
    env.reset()
    return [env.step(i % 4).observation['ram'].tobytes() for i in range(300)]

  assert play(0) == play(0) != play(1)
