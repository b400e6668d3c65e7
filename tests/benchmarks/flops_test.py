"""Operations of an update, counted by hand for a small agent."""

import pathlib
import sys

import pytest
import small

sys.path.append(
    str(pathlib.Path(__file__).resolve().parents[2] / 'benchmarks' / 'speed'))

import flops

_N = small.B * small.T
# Multiplications a row, from the sizes in `small`: F = 3 * 4 + 8 = 20.
_INPUT, _CELL = (12 + 6) * 7, (7 + 8) * 24
_PRIOR, _POSTERIOR = 8 * 7 + 7 * 12, (8 + 9) * 7 + 7 * 12
_HEAD, _ACTOR = 20 * 9 + 9, 20 * 9 + 9 * 6


def test_the_parts_of_an_update_are_those_counted_by_hand():
  found = flops.update(small.make_agent(), small.B, small.T)
  assert found == {
      # Forward and for the weights: observations have no gradient.
      'encoder': 2 * _N * 2 * (4 * 9),
      'rssm': 2 * _N * 3 * (_INPUT + _CELL + _PRIOR + _POSTERIOR),
      'decoder': 2 * _N * 3 * (20 * 9 + 9 * 3 + 9 * 1),
      'reward and continue heads': 2 * _N * 3 * 2 * _HEAD,
      'imagination': 2 * 3 * _N * (_INPUT + _CELL + _PRIOR + _ACTOR),
      'rewards, discounts, values': 2 * 4 * _N * 3 * _HEAD,
      'actor': 2 * 2 * _N * (2 * _ACTOR - 20 * 9),
      'critic': 2 * 3 * _N * (3 * _HEAD - 20 * 9),
  }


def test_gradients_through_the_dynamics_double_the_imagined_part():
  plain = flops.update(small.make_agent(), small.B, small.T)
  dynamics = flops.update(
      small.make_agent("ActorCritic.actor_gradient = 'dynamics'"),
      small.B, small.T)
  moved = 2 * 3 * _N * (_INPUT + _CELL + _PRIOR)
  assert dynamics['imagination'] - plain['imagination'] == moved
  judged = plain['rewards, discounts, values']
  assert dynamics['rewards, discounts, values'] == 2 * judged


def test_convolutions_count_every_position_of_their_kernels():
  agent = small.make_agent(observation=small.IMAGE)
  found = flops.update(agent, small.B, small.T)
  # Kernel elements, times positions: of the output, or of the input.
  encoder = [16 * 1 * 2 * 31**2, 16 * 2 * 4 * 14**2, 16 * 4 * 8 * 6**2,
             16 * 8 * 16 * 2**2]
  assert found['encoder'] == 2 * _N * (3 * sum(encoder) - encoder[0])
  decoder = [20 * 64, 25 * 64 * 8, 25 * 8 * 4 * 5**2, 36 * 4 * 2 * 13**2,
             36 * 2 * 1 * 30**2]
  assert found['decoder'] == 2 * _N * 3 * sum(decoder)


@pytest.mark.parametrize('exploration', ['plan2explore', 'model_loss'])
def test_an_exploration_behaviour_is_counted_too(exploration):
  agent = small.make_agent(exploration=exploration)
  found = flops.update(agent, small.B, small.T)
  assert found['explorer'] > 0
  assert found['exploration critic'] == found['critic']
