"""Tests of the command `bin/evaluate`: what it prints, and how it ends."""

import json
import signal

from absl import flags
from absl.testing import flagsaver
import pytest

from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import evaluate as evaluate_command
from dreamerv2_tfa.reports import episodes
from dreamerv2_tfa.reports import evaluate
from dreamerv2_tfa.training import evaluation

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def command(capsys):
  """Returns a function that runs the command: exit code, output and errors."""
  def call(*arguments):
    with flagsaver.flagsaver():
      flags.FLAGS(['evaluate', *arguments])
      try:
        configuration.guarded(evaluate_command.run)([])
        code = 0
      except SystemExit as error:
        code = error.code
    return code, *capsys.readouterr()

  return call


@pytest.fixture
def plays(monkeypatch):
  """Two episodes in place of any; a list of the options that were asked for."""
  asked = []

  def play(options):
    asked.append(options)
    return episodes.Played(
        {'run': 'r', 'checkpoint': 12_000, 'task': 'catch', 'seed': 10_000,
         'actions': 'greedy', 'environments': 1}, [10_000],
        [evaluation.Episode(0, 0, 1.0, 45, 'terminated'),
         evaluation.Episode(0, 1, 4.0, 44, 'truncated')],
        2 if options.episodes is None else options.episodes,
    ), None if options.episodes is None else signal.SIGINT

  monkeypatch.setattr(evaluate, 'evaluate', play)
  return asked


def test_a_table_says_what_was_played_and_how_well(command, plays):
  code, out, err = command('--root_dir=r')
  assert (code, err) == (0, '')
  assert out.splitlines()[0] == (
      'Run r at 12,000 steps, catch, greedy actions, seed 10000, 1 at once.')
  assert out.splitlines()[2].split() == [
      'return', '2.50', '1.50', '2.50', '1.00', '4.00']
  assert out.splitlines()[-1] == '2 episodes: 1 terminated, 1 truncated.'


def test_json_is_all_that_is_printed(command, plays):
  _, out, _ = command('--root_dir=r', '--json')
  assert json.loads(out)['return']['mean'] == 2.5


def test_every_flag_is_an_option(command, plays):
  command('--logdir=r', '--checkpoint=best', '--sampled', '--environments=3',
          '--seed=5', '--csv=c', '--video=v', '--video_episodes=1e1')
  assert plays == [evaluate.Options(
      root_dir='r', checkpoint='best', sampled=True, environments=3, seed=5,
      csv='c', video='v', video_episodes=10)]


def test_after_ctrl_c_it_says_what_it_has_and_ends_with_130(command, plays):
  code, out, err = command('--root_dir=r', '--episodes=9', '--csv=c.csv')
  assert code == 130 and '2 episodes' in out
  assert err == 'Stopped after 2 of 9 episodes. c.csv has them.\n'


@pytest.mark.parametrize('arguments, message', [
    ([], 'Give one: --root_dir=RUN'), (['--root_dir=nowhere'], 'no run in'),
    (['--policy=nowhere'], 'nowhere is no exported policy'),
    (['--root_dir=nowhere', '--episodes=-1'], '--episodes must be'),
])
def test_a_mistake_is_one_line_and_exit_code_1(command, arguments, message):
  code, out, err = command(*arguments)
  line, = err.splitlines()
  assert (code, out) == (1, '') and message in line
