"""Tests of the product of tasks, values and seeds, and of the runs' names."""

import re

import hypothesis
from hypothesis import strategies
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.sweeps import product


@pytest.mark.parametrize('text, wanted', [
    ('1', [0]), ('5', [0, 1, 2, 3, 4]), ('3,4,7', [3, 4, 7]),
    (' 9, 0 ', [9, 0]), ('0,2147483647', [0, 2**31 - 1])])
def test_seeds_are_a_count_or_a_list(text, wanted):
  assert product.seeds(text) == wanted


@pytest.mark.parametrize('text, said', [
    ('0', 'at least 1'), ('-1', 'wanted how many'), ('many', 'wanted how'),
    ('', 'wanted how many'), ('1,', 'wanted how many'), ('1.5', 'wanted how'),
    ('20000', 'at most 10,000'), ('1,2147483648', 'each below 2,147,483,648'),
    ('3,4,3', 'Got the seed 3 twice'), ('\u0663', 'wanted how many'),
    ('9' * 5000, 'wanted how many')])
def test_other_seeds_are_refused(text, said):
  with pytest.raises(checks.UserError, match=said):
    product.seeds(text)


@pytest.mark.parametrize('line, wanted', [
    ('train.batch_size = 16, 32', ['16', '32']),
    ('train.batch_size=16', ['16']),
    ('Encoder.kernels = (4, 4), [3, 3, 3]', ['(4, 4)', '[3, 3, 3]']),
    ("Encoder.image_keys = 'a, b', 'it\\'s = #1'",
     ["'a, b'", "'it\\'s = #1'"]),
    ('reward/MLP.units = 1e2,  2e2', ['1e2', '2e2']),
    ('ActorCritic.entropy_scale = @linear_schedule(), %low',
     ['@linear_schedule()', '%low'])])
def test_values_are_between_commas_outside_brackets_and_quotes(line, wanted):
  name = line.partition('=')[0].strip()
  assert product.varied([line]) == {name: wanted}


@pytest.mark.parametrize('line', [
    '', 'train.batch_size', 'train.batch_size =', 'train.batch_size = 1,',
    'train.batch_size = ,1', 'a.b = (1, 2', "a.b = 'x", 'a.b = 1)\n',
    'a b = 1', '= 1', 'a.b = 1\nimport os', 'a.b = 1,\n2'])
def test_a_line_of_another_form_is_refused_with_an_example(line):
  with pytest.raises(checks.UserError, match='train.batch_size = 16, 32'):
    product.varied([line])


@pytest.mark.parametrize('lines, said', [
    (['a.b = 1', 'a.b = 2'], 'two lists of values of a.b'),
    (['train.seed = 1, 2'], 'Give --seeds=N'),
    (["train.task = 'catch'"], 'the tasks as words'),
    (['a.b = 1, 1'], 'value of a.b 1 twice'),
    (['a.b = 16, 1.6e1'], 'value of a.b 1.6e1 twice'),
    (['a.b = "x", \'x\''], "value of a.b 'x' twice")])
def test_what_would_be_one_run_twice_is_refused(lines, said):
  with pytest.raises(checks.UserError, match=said):
    product.varied(lines)


def test_the_list_is_the_product_with_the_seeds_innermost():
  made = product.make(
      ['catch', 'atari_pong'], [3, 4],
      {'train.batch_size': ['16', '32'], 'RSSM.norm': ["'none'"]},
      ['--gin_file=debug'])
  assert [entry.run for entry in made] == [
      f'{task}-batch_size={size}-norm=none-seed{seed}'
      for task in ('catch', 'atari_pong') for size in (16, 32)
      for seed in (3, 4)]
  assert made[2] == (
      'catch-batch_size=32-norm=none-seed3', 'catch', 3,
      {'train.batch_size': '32', 'RSSM.norm': "'none'"},
      ['--task=catch', '--seed=3', '--gin_file=debug',
       '--gin_bindings=train.batch_size = 32',
       "--gin_bindings=RSSM.norm = 'none'"])


def _names(variations, tasks=('catch',)):
  return {(entry.task, *entry.vary.values()): entry.run
          for entry in product.make(tasks, [0], variations, [])}


def test_a_name_does_not_depend_on_the_other_values_nor_on_their_order():
  values = ["'16'", '16', '@a()', '%a', '(4, 4)', '[4, 4]', "'a'", "'a_'",
            "'a b'", "'None'", 'None', '1e-4', 'x' * 70, 'x' * 71]
  together = _names({'a.b': values}, ['catch', 'own:catch', 'own_catch'])
  for task, value in together:
    alone = _names({'a.b': [value]}, [task])
    assert alone == {(task, value): together[task, value]}
  assert _names({'a.b': values[::-1]}).items() <= together.items()
  assert together['catch', '1e-4'] == 'catch-b=1e-4-seed0'
  assert together['catch', "'a'"] == 'catch-b=a-seed0'


def test_names_that_differ_in_case_alone_do_not_depend_on_the_order():
  assert _names({'a.b': ["'A'", "'a'"]}) == _names({'a.b': ["'a'", "'A'"]})


def test_settings_that_end_alike_are_called_by_all_of_their_names():
  names = _names({'reward/MLP.units': ['7'], 'value/MLP.units': ['5'],
                  'train.steps': ['9']})
  assert list(names.values()) == [
      'catch-reward_MLP.units=7-value_MLP.units=5-steps=9-seed0']


@pytest.mark.parametrize('tasks, seeds, vary, common, said', [
    (['catch', 'catch'], [0], {}, [], 'Got the task catch twice'),
    (['catch'], range(5001), {'a.b': ['1', '2']}, [], '10,002 runs are more'),
    (['catch'], [0], {'train.steps': ['1', '2']}, ['--steps=5'],
     'Got --steps and --vary of train.steps')])
def test_a_product_of_no_use_is_refused(tasks, seeds, vary, common, said):
  with pytest.raises(checks.UserError, match=said):
    product.make(tasks, seeds, vary, common)


_TEXT = strategies.text(min_size=1, max_size=90)


@hypothesis.given(
    strategies.lists(_TEXT, min_size=1, max_size=4, unique=True),
    strategies.lists(_TEXT, min_size=1, max_size=4, unique=True))
@hypothesis.example(['A', 'a', '..', '/', 'x' * 90, 'x' * 89], ['a b', 'a_b'])
def test_names_are_unique_and_safe_whatever_tasks_and_values_are(
    tasks, values):
  names = [entry.run for entry in product.make(
      tasks, [0, 11], {'train.x': values, 'y/z.x': ['1']}, [])]
  assert len({name.lower() for name in names}) == len(tasks) * len(values) * 2
  for name in names:
    assert re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.=+~-]*-seed(0|11)', name)
    assert len(name) < 200
