"""A report's diagnostics: what is found, curves, and files of strangers."""

import json
import os
import re

import pytest

from dreamerv2_tfa.diagnostics import findings as findings_lib
from dreamerv2_tfa.reports import charts
from dreamerv2_tfa.reports import overview
from dreamerv2_tfa.reports import page
from dreamerv2_tfa.reports import report

_WHOLE = {
    'step': 4000,
    'horizon': {
        'image': {'open_loop': [1.0, 2.0], 'filtered': [0.5, None],
                  'copy': [3, 4], 'mean': [5.0, 6.0]},
        'reward': {'open_loop': [0.25]}},
    'reliability': {
        'continue': {'predicted': [0.75, 0.25, None],
                     'observed': [0.5, 0.0, 1.0], 'count': [30, 70, None]},
        'reward': {'predicted': [-2.0], 'observed': [3.0]}},
    'latents': {'kl': [0.1, None, 2.0], 'posterior_entropy': [1.0, 2.0, 3.0],
                'prior_entropy': [4.0, 5.0, 6.0]},
    'value': {'predicted': [1.0, 2.0, 3.0], 'realised': [1.5, 2.5, None]},
    'imagined': {'imagined': [1.0], 'real': [2.0, 3.0]},
}


def _finding(says='', name='diagnostics/x'):
  return findings_lib.Finding(name, 0.75, 'what <it> is', '0 to 0.5', says)


@pytest.fixture
def found(monkeypatch):
  """Sets what is found of every run."""
  def find(*findings):
    monkeypatch.setattr(
        findings_lib, 'findings', lambda metrics: list(findings))
  find()
  return find


def _run(folder, content=None):
  """A run's folder with the text, or the content, of its diagnostics."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'protocol.json').write_text(json.dumps({
      'task': 'catch', 'action_repeat': 1, 'precision': 'float32', 'seed': 3,
      'presets': []}))
  if content is not None:
    (folder / 'diagnostic_curves.json').write_text(
        content if isinstance(content, str) else json.dumps(content))
  return folder


def _charts(*folders):
  drawn = charts.charts([overview.gather(folder) for folder in folders])
  return {chart.title: chart for chart in drawn.get(charts.DIAGNOSTICS, [])}


def _notes(folder):
  return [note for note in overview.gather(folder).notes
          if 'diagnostic_curves.json' in note]


def _lines(chart):
  return [(line['label'], line['xs'], line['ys']) for line in chart.lines]


# What is found ----------------------------------------------------------------


def test_what_is_wrong_is_marked_in_words_and_a_warning(tmp_path, found):
  found(_finding(), _finding('Too many latents are dead.', 'diagnostics/y'))
  run = overview.gather(_run(tmp_path))
  assert run.warnings == [
      'diagnostics/y is 0.75, healthy is 0 to 0.5. Too many latents are dead.']
  text = page.render([run])
  healthy, wrong = re.findall(
      '<tr><th scope="row">(diagnostics/.*?)</tr>', text)
  assert wrong.startswith('diagnostics/y') and 'not healthy' in wrong
  assert '<strong>Too many latents are dead.</strong>' in wrong
  assert 'not healthy' not in healthy and '<strong>' not in healthy
  assert '0.75' in healthy and '0 to 0.5' in healthy
  assert 'what &lt;it&gt; is' in healthy


def test_findings_are_those_of_the_last_values(tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr(findings_lib, 'findings', lambda x: asked.append(x) or [])
  _run(tmp_path)
  (tmp_path / 'metrics.jsonl').write_text(
      '{"step": 4, "a": 1.0, "b": 2.0}\n{"step": 8, "a": 3.0, "b": null}\n')
  overview.gather(tmp_path)
  assert asked == [{'a': 3.0, 'b': 2.0}]


def test_a_run_without_diagnostics_has_no_such_section(tmp_path, found):
  text = report.write([_run(tmp_path)]).read_text()
  assert '<h2>Diagnostics</h2>' not in text
  assert _notes(tmp_path) == []


def test_the_diagnostics_of_several_runs_have_a_card_and_charts_each(
    tmp_path, found):
  old, one, two = (
      _run(tmp_path / name, content)
      for name, content in (('old', None), ('one', _WHOLE), ('two', {
          'step': 5, 'value': _WHOLE['value']})))
  drawn = _charts(old, one, two)
  assert 'one: value and realised return' in drawn
  assert [line['run'] for line in drawn[
      'two: value and realised return'].lines] == [2, 3]
  found(_finding())
  text = report.write([old, one, two], tmp_path / 'all.html').read_text()
  assert 'Curves as of 4,000 frames.' in text
  assert text.count('<h2>Diagnostics</h2>') == 1
  assert text.count('<td class="number" data-head="Value">0.75') == 3


# Curves -----------------------------------------------------------------------


def test_each_curve_has_a_chart(tmp_path):
  drawn = _charts(_run(tmp_path, _WHOLE))
  assert list(drawn) == [
      'mean squared error of image', 'mean squared error of reward',
      'reliability of continue, 100 steps', 'reliability of reward',
      'latents, nats', 'value and realised return',
      'imagined and real rewards']
  assert _lines(drawn['mean squared error of image']) == [
      ('model', [1, 2], [1.0, 2.0]), ('filtered', [1, 2], [0.5, None]),
      ('copy', [1, 2], [3.0, 4.0]), ('mean', [1, 2], [5.0, 6.0])]
  assert _lines(drawn['imagined and real rewards']) == [
      ('imagined', [1], [1.0]), ('real', [1, 2], [2.0, 3.0])]


def test_reliability_is_drawn_beside_the_diagonal(tmp_path):
  drawn = _charts(_run(tmp_path, _WHOLE))
  assert _lines(drawn['reliability of continue, 100 steps']) == [
      ('observed', [0.25, 0.75], [0.0, 0.5]),
      ('as predicted', [0.0, 0.75], [0.0, 0.75])]
  reward = drawn['reliability of reward'].lines
  assert (reward[1]['xs'], reward[1]['ys']) == ([-2.0, 3.0], [-2.0, 3.0])
  assert reward[1]['guide'] and 'guide' not in reward[0]


def test_latents_are_sorted_by_their_kl(tmp_path):
  chart = _charts(_run(tmp_path, _WHOLE))['latents, nats']
  assert _lines(chart) == [
      ('KL', [1, 2, 3], [2.0, 0.1, None]),
      ('posterior entropy', [1, 2, 3], [3.0, 1.0, 2.0]),
      ('prior entropy', [1, 2, 3], [6.0, 4.0, 5.0])]


@pytest.mark.parametrize('content', [
    {}, {'step': 3}, {'horizon': {}, 'latents': {'kl': [None]}},
    {'reliability': {'continue': {'predicted': [None], 'observed': [1]}}}])
def test_curves_without_a_number_have_no_chart(content, tmp_path):
  _run(tmp_path, content)
  assert _charts(tmp_path) == {} and _notes(tmp_path) == []


# Files of strangers -----------------------------------------------------------


@pytest.mark.parametrize('text, said', [
    ('', 'Expecting value'), ('[1]', 'no object'), ('{"value": ', 'Expecting'),
    ('[' * 10**5, 'nested too deep'), (f'{{"step": {"9" * 5000}}}', 'digits'),
    (' ' * (2**23 + 1), 'at most 8,388,608 are read'), ('null', 'no object'),
])
def test_a_damaged_file_is_a_note(text, said, tmp_path):
  note, = _notes(_run(tmp_path, text))
  assert note.startswith('diagnostic_curves.json is not shown: ')
  assert said in note
  assert report.write([tmp_path]).exists()


def test_bytes_that_are_no_text_a_pipe_and_a_folder_are_notes(tmp_path):
  for name in 'abc':
    _run(tmp_path / name)
  (tmp_path / 'a' / 'diagnostic_curves.json').write_bytes(b'\xff\xfe')
  os.mkfifo(tmp_path / 'b' / 'diagnostic_curves.json')
  (tmp_path / 'c' / 'diagnostic_curves.json').mkdir()
  for name in 'abc':
    assert len(_notes(tmp_path / name)) == 1
    assert report.write([tmp_path / name]).exists()


def test_lines_count_where_their_evaluation_does_and_damaged_ones_are_a_note(
    tmp_path):
  _run(tmp_path)
  (tmp_path / 'metrics.jsonl').write_text(
      '{"step": 10, "eval_return": 1.0}\n{"step": 20, "eval_return": 2.0}\n'
      '{"step": 15, "resumed": 15}\n{"step": 30, "eval_return": 3.0}\n')
  (tmp_path / 'diagnostics.jsonl').write_text(
      '{"step": 10, "diagnostics/kl": 1.0}\n'
      '{"step": 20, "diagnostics/kl": 2.0}\n'
      '[3]\n{"a": 1}\nnull\n{"step": [4]}\n'
      '{"step": 30, "diagnostics/kl": 3.0}\n'
      '{"step": 30, "diagnostics/kl": 4.0}\n{"step": 30, "diag')
  found = overview.gather(tmp_path)
  assert found.metrics['diagnostics/kl'].xs == [10, 30]
  assert found.metrics['diagnostics/kl'].ys == [1.0, 4.0]
  note, = [note for note in found.notes if 'diagnostics.jsonl' in note]
  assert note == 'Damaged lines of diagnostics.jsonl, left out: 4.'
  (tmp_path / 'diagnostics.jsonl').unlink()
  os.mkfifo(tmp_path / 'diagnostics.jsonl')
  notes = overview.gather(tmp_path).notes
  assert any('diagnostics.jsonl is not shown' in note for note in notes)


@pytest.mark.parametrize('name, content, said', [
    ('value', [1], 'TypeError'), ('value', None, 'TypeError'),
    ('value', {'predicted': [1.0]}, "KeyError: 'realised'"),
    ('value', {'predicted': 'ab', 'realised': [1]}, 'wanted a list, got str'),
    ('latents', {'kl': [[1.0]]}, 'wanted a number, got list'),
    ('latents', {'kl': [True]}, 'wanted a number, got bool'),
    ('latents', {'kl': [1, 2], 'prior_entropy': [1]}, 'not equally long'),
    ('reliability', {'x': {'predicted': [1], 'observed': []}}, 'equally'),
    ('reliability', {'x': 3}, 'TypeError'), ('horizon', 3, 'AttributeError'),
    ('horizon', {'image': {'copy': {'a': 1}}}, 'wanted a list, got dict'),
    ('imagined', {'imagined': [1.0] * 1001, 'real': []}, '1,001 numbers'),
])
def test_a_damaged_curve_is_a_note_and_the_others_are_shown(
    name, content, said, tmp_path):
  whole = len(_charts(_run(tmp_path, _WHOLE)))
  note, = _notes(_run(tmp_path, {**_WHOLE, name: content}))
  assert note.startswith(f'{name} of diagnostic_curves.json is not shown')
  assert said in note
  assert 0 < len(_charts(tmp_path)) < whole
  assert report.write([tmp_path]).exists()


@pytest.mark.parametrize('number', [
    'NaN', 'Infinity', '-Infinity', '1e999', '1e300', '-1e39', '9' * 400])
def test_numbers_that_cannot_be_drawn_are_gaps(number, tmp_path):
  _run(tmp_path, f'{{"latents": {{"kl": [2.5, {number}]}}, "step": {number}}}')
  (_, _, ys), = _lines(_charts(tmp_path)['latents, nats'])
  assert ys == [2.5, None]
  assert overview.gather(tmp_path).diagnostics.step is None


def test_names_are_cut_counted_and_escaped(tmp_path):
  name = '</script><img src=x onerror=alert(1)>'
  parts = {f'{name}{"x" * 10**4}': {'copy': [1.0]},
           **{f'p{i}': {'copy': [1.0]} for i in range(30)}}
  _run(tmp_path, {'horizon': parts, name: 1, 'step': name,
                  'reliability': {name: {'predicted': [1], 'observed': [1]}}})
  assert len(_charts(tmp_path)) == 21
  text = report.write([tmp_path]).read_text()
  assert text.count('</script>') == 3 and '<img' not in text
  assert 'x' * 100 not in text.replace('uPlot', '')
