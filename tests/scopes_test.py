"""Each part of the agent has settings of its own where gin's scope says so."""

import ast
import pathlib

import gin
import numpy as np
import pytest
import small

from dreamerv2_tfa import scopes
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary


def widths(agent):
  """Units of the hidden layers of each part."""
  model, task = agent.world_model, agent.actor_critic
  mlps = {
      'vectors/encoder': model._encoder._mlp,
      'vectors/decoder': model._decoder._mlp,
      'reward': model._reward_head._mlp,
      'continue': model._continue_head._mlp,
      'actor': task.actor._mlp, 'critic': task.critic._mlp,
      'slow critic': task.slow_critic._mlp,
  }
  if agent.exploration is not None:
    mlps['expl'] = agent.exploration.explorer._heads[0]._mlp
    mlps['expl actor'] = agent.exploration.actor_critic.actor._mlp
    mlps['expl critic'] = agent.exploration.actor_critic.critic._mlp
  return {name: [hidden.output_shape[-1] for hidden in mlp._hidden]
          for name, mlp in mlps.items()}


def optimizers(agent):
  """Clip norm, decay and epsilon of each optimizer."""
  found = {
      'model': agent._model_optimizer, 'actor': agent._actor_optimizer,
      'critic': agent._critic_optimizer,
  }
  if agent.exploration is not None:
    found |= dict(zip(('expl', 'expl actor', 'expl critic'),
                      agent.exploration._optimizers, strict=True))
  return {
      name: (one._clip_norm, one._weight_decay, one._adam.epsilon)
      for name, one in found.items()
  }


_MLPS = {
    'vectors': {'vectors/encoder', 'vectors/decoder'},
    'vectors/encoder': {'vectors/encoder'},
    'vectors/decoder': {'vectors/decoder'},
    'reward': {'reward'}, 'continue': {'continue'},
    'actor': {'actor', 'expl actor'},
    'critic': {'critic', 'slow critic', 'expl critic'}, 'expl': {'expl'},
}
_OPTIMIZERS = {
    'model': {'model'}, 'actor': {'actor', 'expl actor'},
    'critic': {'critic', 'expl critic'}, 'expl': {'expl'},
}
_CURIOUS = ('Plan2Explore.members = 2',)


def make(*bindings):
  return small.make_agent(
      *_CURIOUS, *bindings, exploration='plan2explore', jit='off'
  )


@pytest.mark.parametrize('scope', _MLPS)
def test_a_scope_sets_its_own_mlp_and_nothing_else(scope):
  found = widths(make(f'{scope}/MLP.units = 5', f'{scope}/MLP.layers = 2'))
  assert found == {
      name: [5, 5] if name in _MLPS[scope] else [9] for name in found
  }


@pytest.mark.parametrize('scope', _OPTIMIZERS)
def test_a_scope_sets_its_own_optimizer_and_nothing_else(scope):
  found = optimizers(make(
      f'{scope}/Optimizer.clip_norm = 7.0',
      f'{scope}/Optimizer.weight_decay = 0.5',
      f'{scope}/Optimizer.adam_epsilon = 0.25',
  ))
  assert found == {
      name: (7.0, 0.5, 0.25) if name in _OPTIMIZERS[scope]
      else (100.0, 1e-6, 1e-5) for name in found
  }


def test_what_a_scope_does_not_bind_is_that_of_all():
  agent = make('reward/MLP.layers = 2', 'actor/Optimizer.clip_norm = 7.0')
  assert widths(agent)['reward'] == [9, 9]
  assert optimizers(agent)['actor'] == (7.0, 1e-6, 1e-5)


def test_the_inner_scope_wins_and_the_other_keeps_the_outer():
  found = widths(make(
      'vectors/MLP.units = 5', 'vectors/encoder/MLP.units = 6'))
  assert found['vectors/encoder'] == [6]
  assert found['vectors/decoder'] == [5]


def test_an_agent_whose_parts_all_differ_trains():
  agent = make(
      *(f'{scope}/MLP.units = {5 + i}' for i, scope in enumerate(_MLPS)),
      *(f'{scope}/Optimizer.clip_norm = {5 + i}'
        for i, scope in enumerate(_OPTIMIZERS)),
  )
  assert np.isfinite(agent.train(small.make_batch(agent)).loss)


@pytest.mark.parametrize('binding', [
    'model/Optimizer.clip_norm = 0', 'critic/Optimizer.weight_decay = 1',
    'actor/Optimizer.adam_epsilon = -1.0', 'reward/MLP.units = 0',
])
def test_a_number_out_of_its_range_is_refused(binding):
  with pytest.raises(ValueError, match=r'must be|reads Optimizer'):
    make(binding)


# What a run writes down.


def operative(*bindings):
  """The configuration that an agent of these bindings writes."""
  with small.configured(*_CURIOUS, *bindings):
    time_steps = small.ts.time_step_spec(small.VECTORS)
    made = small.agent.DreamerV2Agent(
        time_steps, small.DISCRETE, exploration='plan2explore', jit='off'
    )
    return made, gin.operative_config_str(), config.unused()


def test_scopes_survive_the_operative_configuration():
  bindings = ('reward/MLP.units = 5', 'vectors/MLP.layers = 2',
              'vectors/decoder/MLP.units = 7', 'critic/MLP.units = 6',
              'model/Optimizer.clip_norm = 3.0')
  made, text, unused = operative(*bindings)
  assert unused == []
  again, twice, _ = operative(*text.splitlines())
  assert widths(again) == widths(made)
  assert optimizers(again) == optimizers(made)
  assert twice == text


def test_without_scopes_the_operative_configuration_has_none():
  _, text, _ = operative()
  lines = [x for x in text.splitlines() if ' = ' in x and x[0] != '#']
  assert not [x for x in lines if '/' in x.split(' = ')[0]]
  assert 'MLP.units = 9' in lines


def test_a_scope_that_there_is_not_is_named_as_unused():
  assert operative('rewrad/MLP.units = 5')[2] == ['rewrad/MLP.units']


def test_a_part_without_bindings_has_no_scope():
  with small.configured('reward/MLP.units = 5'):
    with scopes.part('reward', layers.MLP):
      assert gin.config.current_scope() == ['reward']
    with scopes.part('actor', layers.MLP):
      assert gin.config.current_scope() == []


def test_the_listed_parts_are_those_that_are_built():
  package = pathlib.Path(scopes.__file__).parent
  calls = [
      node for path in package.rglob('*.py')
      for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
      if isinstance(node, ast.Call) and ast.unparse(node.func) == 'scopes.part']
  built = {call.args[0].value for call in calls
           if ast.unparse(call.args[1]) == 'layers.MLP'}
  assert built | {'vectors'} == set(scopes.PARTS['MLP'])


def test_a_misspelt_part_is_noted_with_the_one_that_is_meant(clean, capsys):
  gin.parse_config(['rewad/MLP.units = 7', 'MLP.units = 5'])
  layers.MLP(3)
  summary.print_unused(runs.RunFolder('x'), 'catch')
  assert capsys.readouterr().out == (
      'Note: nothing here reads the bindings rewad/MLP.units. For '
      'rewad/MLP.units, did you mean reward/MLP.units?\n')
