"""The report of runs: what it says, and that no folder breaks out of it."""

import base64
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.reports import overview
from dreamerv2_tfa.reports import page
from dreamerv2_tfa.reports import report
from dreamerv2_tfa.reports import verdict
from dreamerv2_tfa.training import callbacks

_CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
_HOSTILE = ('</script><script>alert(1)</script>', '<!--<script>',
            '"><img src=x onerror=alert(1)>', "' onload='x", '&lt;b&gt;\\u003c')


class _Page(html.parser.HTMLParser):
  """Tags with attributes, the text of all but scripts, and the scripts."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.scripts, self.words = [], [], []
    self._inside = None
    self.feed(text)
    self.close()
    self.text = ' '.join(' '.join(self.words).split())

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    self._inside = tag
    if tag == 'script':
      self.scripts.append('')

  def handle_endtag(self, tag):
    self._inside = None

  def handle_data(self, data):
    if self._inside == 'script':
      self.scripts[-1] += data
    elif self._inside != 'style':
      self.words.append(data)

  @property
  def charts(self):
    return json.loads(self.scripts[0])

  def chart(self, title):
    return next(each for each in self.charts if each['title'] == title)


def _curve(value, end=3_000_000, every=250_000):
  return [{'step': step, 'eval_return': value}
          for step in range(every, end + 1, every)]


def _run(folder, rows=(), task='atari_pong', settings=(), **protocol):
  """A run's folder as bin/train leaves it, in its least form."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'protocol.json').write_text(json.dumps({
      'task': task, 'action_repeat': 4, 'precision': 'float32', 'seed': 7,
      'presets': ['atari'], **protocol}))
  (folder / 'operative_config.gin').write_text(''.join(
      f'{line}\n' for line in settings))
  if rows:
    (folder / 'metrics.jsonl').write_text(''.join(
        json.dumps(row) + '\n' for row in rows))
  return folder


def _read(*folders, out=None):
  return _Page(report.write(folders, out).read_text(encoding='utf-8'))


def _points(task, table='atari_curves'):
  """Lines of a published table: frames, mean, low, high."""
  path = pathlib.Path(verdict.__file__).with_name(f'{table}.csv')
  return [tuple(map(float, line.split(',')[1:5]))
          for line in path.read_text().splitlines()
          if line.startswith(f'{task},')]


def _control(folder, rows=(), *settings, **protocol):
  """A run of DM Control from pixels."""
  return _run(folder, rows, 'dmc_walker_walk', settings, **{
      'action_repeat': 2, 'presets': ['dmc_vision'], **protocol})


# The verdict ------------------------------------------------------------------


@pytest.mark.parametrize('beside, word', [
    (('high', 0.5), 'above'), (('high', 0.0), 'inside'),
    (('low', 0.0), 'inside'), (('low', -0.5), 'below')])
def test_a_run_is_judged_by_the_range_at_the_same_frame(
    beside, word, tmp_path):
  frames, _, low, high = _points('pong')[0]
  edge, off = beside
  value = {'low': low, 'high': high}[edge] + off
  found = overview.gather(_run(tmp_path, _curve(value, int(frames + 1e6))))
  assert found.verdict.word == word
  assert f'{frames:,.0f} frames' in found.verdict.sentence
  assert word in _read(tmp_path).text


def test_the_mean_is_of_evaluations_around_the_frame_alone():
  points = _points('pong')
  (first, *_), (frames, _, low, high) = points[:2]
  end = frames + 1e6
  begin = frames - 2e6
  judge = lambda *curve: verdict.judge('atari_pong', curve)
  inside = (low + high) / 2
  assert first < frames
  assert judge((begin, 1e3), (begin + 1, inside), (end, inside)).word == (
      'inside')
  assert judge((begin + 1, 1e3), (end, inside)).word == 'above'
  assert judge((frames, inside), (end, inside), (end + 1, -1e3)).word == (
      'inside')


def test_every_published_frame_that_was_passed_is_in_a_table(tmp_path):
  points = _points('pong')
  _run(tmp_path, _curve(-12.0, int(points[2][0] + 1e6)))
  words = [('inside' if low <= -12 <= high else 'below')
           for _, _, low, high in points[:3]]
  assert [each.word for each in overview.gather(tmp_path).verdict.compared] == (
      words) == ['inside', 'inside', 'below']
  frames, mean, low, high = points[2]
  assert (f'{frames:,.0f} -12 {low:,.4g} {mean:,.4g} {high:,.4g} below'
          in _read(tmp_path).text)


@pytest.mark.parametrize('end', [0, 250_000, 1_750_000])
def test_before_the_first_comparison_it_is_too_early(end, tmp_path):
  found = overview.gather(_run(tmp_path, _curve(99.0, end)))
  assert found.verdict.word == 'too early'
  assert f'2,000,000 frames, and the last eval_return was at {end:,}' in (
      found.verdict.sentence)


@pytest.mark.parametrize(
    'task', ['catch', 'dmc_dog_walk', 'pong', 'walker_walk'])
def test_a_task_without_published_figures_has_no_published_curve(
    task, tmp_path):
  assert overview.gather(_run(tmp_path, _curve(1.0), task)).verdict.word == (
      'no published curve')
  found = _read(tmp_path)
  assert f'No published curve for {task}' in found.text
  assert found.chart(f'eval_return, {task}')['published'] is None


def test_another_protocol_than_the_published_one_is_said(tmp_path):
  _run(tmp_path, settings=['load_atari.sticky = 0.0'])
  assert 'sticky actions 0.0 and 4 frames an agent step' in _read(tmp_path).text


def test_the_chart_of_returns_has_the_published_range(tmp_path):
  chart = _read(_run(tmp_path, _curve(1.0))).chart('eval_return, atari_pong')
  points = _points('pong')
  known = chart['published']
  shown = list(zip(*(known[name] for name in ('xs', 'mean', 'low', 'high')),
                   strict=True))
  assert shown == points[:len(shown)] and len(shown) >= 3
  assert chart['lines'][0]['ys'] == [1.0] * 12


@pytest.mark.parametrize('value, word', [
    (239.5, 'above'), (239.0, 'inside'), (83.0, 'inside'), (82.5, 'below')])
def test_a_run_of_dm_control_is_judged_by_its_training_episodes(
    value, word, tmp_path):
  frames, _, low, high = _points('walker_walk', 'dmc_vision')[0]
  assert (frames, low, high) == (30_000, 83, 239)
  _control(tmp_path, [
      {'step': 0, 'train_return': 9e9}, {'step': 10_000, 'train_return': value},
      {'step': 30_000, 'train_return': value, 'eval_return': 9e9},
      {'step': 30_002, 'train_return': -9e9}])
  found = overview.gather(tmp_path)
  assert found.verdict.word == word and found.warnings == []
  assert f'at 30,000 frames: the mean train_return is {value:,.4g}; 5' in (
      found.verdict.sentence)
  assert word in _read(tmp_path).text


def test_a_young_run_of_dm_control_is_told_when_it_will_be_compared(tmp_path):
  found = overview.gather(_control(
      tmp_path, [{'step': 29_998, 'train_return': 1.0}]))
  assert found.verdict.word == 'too early'
  assert 'at 30,000 frames, and the last train_return was at 29,998' in (
      found.verdict.sentence)


def test_the_training_returns_of_dm_control_have_the_published_range(tmp_path):
  _control(tmp_path, [{'step': 30_000, 'train_return': 90.0, 'eval_return': 9}])
  found = _read(tmp_path)
  points = _points('walker_walk', 'dmc_vision')
  known = found.chart('train_return, dmc_walker_walk')['published']
  assert list(zip(*(known[name] for name in ('xs', 'mean', 'low', 'high')),
                  strict=True)) == points[:3]
  assert found.chart('eval_return, dmc_walker_walk')['published'] is None


@pytest.mark.parametrize('settings, repeat, said', [
    (['load_dmc.pixels = False', 'load_dmc.proprio = True'], 2,
     'this run has joint positions as observations and 2 frames'),
    (['load_dmc.proprio = True'], 2, 'has pixels and joint positions as obs'),
    ([], 4, 'has pixels as observations and 4 frames an agent step; the '
     'published runs have pixels as observations and 2.')])
def test_what_differs_from_the_published_runs_of_dm_control_is_said(
    settings, repeat, said, tmp_path):
  _control(tmp_path, [], *settings, action_repeat=repeat)
  warning, = overview.gather(tmp_path).warnings
  assert said in warning


# What else is said ------------------------------------------------------------


def test_progress_and_the_time_left_are_said(tmp_path):
  rows = [{'step': 400 * i, 'fps': fps}
          for i, fps in enumerate([1e-9, *10 * [60.0, 12.0], None], 1)]
  _run(tmp_path, rows, settings=['train.steps = 102200'])
  done = overview.gather(tmp_path).progress
  assert done == (8800, 2200, 102_200, 20.0, 20_000.0)
  text = _read(tmp_path).text
  assert '2,200 of 102,200 agent steps, 8,800 environment frames.' in text
  assert '20 frames a second lately. About 5 hours 33 minutes left' in text


def test_a_finished_run_has_no_time_left(tmp_path):
  _run(tmp_path, [{'step': 400, 'fps': 5}], settings=['train.steps = 100'])
  assert ' left at' not in _read(tmp_path).text


@pytest.mark.parametrize('seconds, said', [
    (1, '1 minute'), (3600, '1 hour'), (90_061, '1 day 1 hour'),
    (3 * 86_400 + 300, '3 days')])
def test_a_time_has_its_two_largest_units(seconds, said):
  assert page._duration(seconds) == said


def test_settings_that_the_preset_binds_otherwise_are_differences(tmp_path):
  _run(tmp_path, settings=[
      'RSSM.deter = 77', 'load_atari.sticky = 0.250', 'Own.setting = 1',
      "train.task = 'atari_freeway'", 'load_atari.size = 64.0'])
  assert overview.gather(tmp_path).differences == [
      ('RSSM.deter', '600', '77')]
  text = _read(tmp_path).text
  assert 'RSSM.deter 600 77' in text
  assert 'Own.setting = 1' in text  # among all settings


def test_an_overlay_counts_as_the_preset(tmp_path):
  _run(tmp_path, settings=['train.eager = True', 'train.batch_size = 2'],
       presets=['atari', 'debug'])
  assert [each.name for each in overview.gather(tmp_path).differences] == [
      'train.batch_size']


def test_a_gin_file_that_a_run_names_is_not_read(tmp_path):
  own = tmp_path / 'own.gin'
  own.write_text('import no_such_module_of_ours\n')
  run = _run(tmp_path / 'run', settings=['RSSM.deter = 600'],
             presets=[str(own), str(own.with_suffix(''))])
  found = overview.gather(run)
  assert not found.differences
  assert f'{own} is no preset of this package' in found.notes[0]


def test_the_protocol_card_has_what_the_files_say(tmp_path):
  _run(tmp_path, settings=[
      'load_atari.sticky = 0.25', 'load_atari.full_action_space = True',
      'train.steps_per_update = 16'], versions={'keras': '2.15.0', 'gym': None},
       devices=['/device:GPU:0'], python='3.11.7')
  text = _read(tmp_path).text
  for said in ('Seed 7', 'Sticky actions 0.25 a frame', 'all 18 of Atari',
               'Frames an update 64 (16 agent steps)', 'Precision float32',
               'Devices /device:GPU:0', 'python 3.11.7 keras 2.15.0'):
    assert said in text
  assert 'gym' not in overview.gather(tmp_path).versions


@pytest.mark.parametrize('row, said', [
    ({'skipped_updates': 3.0}, '3 updates were skipped'),
    ({'env_restarts': 2.0}, 'restarted 2 times'),
    ({'eval_return': 1.0, 'eval_cut': 1.0}, '1 evaluations had episodes'),
    ({'actor_loss_scale': 1.0}, 'actor_loss_scale is 1, the smallest'),
    ({'kl_loss': None}, 'Not finite at times: kl_loss.')])
def test_what_the_metrics_warn_of_is_said(row, said, tmp_path):
  _run(tmp_path, [{'step': 4, **row}])
  warnings = overview.gather(tmp_path).warnings
  assert len(warnings) == 1 and said in warnings[0]
  assert warnings[0] in _read(tmp_path).text


def test_a_healthy_run_has_no_warning(tmp_path):
  _run(tmp_path, [{'step': 4, 'skipped_updates': 0.0, 'kl_loss': 1.0,
                   'actor_loss_scale': 2.0}])
  assert overview.gather(tmp_path).warnings == []
  assert 'Warnings' not in _read(tmp_path).text


def test_files_that_were_changed_and_a_crash_are_warnings(tmp_path):
  _run(tmp_path, checksums=True)
  (tmp_path / 'crash').mkdir()
  one, other = overview.gather(tmp_path).warnings
  assert 'sums.json is missing' in one and 'crash/' in other


def test_each_metric_has_a_chart_and_its_last_value(tmp_path):
  found = _read(_run(tmp_path, [
      {'step': 4, 'kl_loss': 2.0, 'fps': 9, 'actor_grad_norm': 1.5},
      {'step': 8, 'kl_loss': 0.25}]))
  assert found.chart('kl_loss')['lines'] == [
      {'run': 0, 'label': tmp_path.name, 'xs': [4.0, 8.0], 'ys': [2.0, 0.25]}]
  assert 'kl_loss 0.25' in found.text and 'actor_grad_norm 1.5' in found.text
  ids = {attrs.get('id') for _, attrs in found.tags}
  assert {chart['id'] for chart in found.charts} <= ids


def test_a_long_line_is_drawn_by_means_and_ends_as_it_does(tmp_path):
  _run(tmp_path, [{'step': i, 'kl_loss': float(i)} for i in range(2500)])
  series = overview.gather(tmp_path).metrics['kl_loss']
  assert len(series.xs) == 1000 and series.last == 2499.0
  assert series.ys[0] == 1.0 and series.xs == series.ys
  assert 'means over 1,000 spans' in _read(tmp_path).text


def test_a_run_without_metrics_has_a_page(tmp_path):
  found = _read(_run(tmp_path))
  assert 'There are no metrics yet.' in found.text
  assert [each['title'] for each in found.charts] == ['eval_return, atari_pong']


def test_open_loop_errors_and_videos_are_shown(tmp_path):
  _run(tmp_path, task='catch')
  ways = {'open_loop': [1.0, 2.0], 'filtered': [0.5, float('nan')],
          'mean': [3, 3]}
  (tmp_path / 'open_loop.json').write_text(json.dumps({'image': ways}))
  (tmp_path / 'videos').mkdir()
  (tmp_path / 'videos' / 'a.gif').write_bytes(b'GIF89a-------')
  (tmp_path / 'videos' / 'b.mp4').write_bytes(b'\0\0\0\x20ftypisom')
  (tmp_path / 'videos' / 'c.gif').write_bytes(b'<script>')
  (tmp_path / 'videos' / 'd.gif').write_bytes(b'GIF8' + bytes(5 * 10**6))
  found = _read(tmp_path)
  chart, = found.charts
  assert [line['ys'] for line in chart['lines']] == [
      [1.0, 2.0], [0.5, None], [3.0, 3.0]]
  sources = [attrs['src'] for _, attrs in found.tags if 'src' in attrs]
  assert sorted(source.partition(',')[0] for source in sources) == [
      'data:image/gif;base64', 'data:video/mp4;base64']
  assert 'c.gif is not shown: it is no image/gif' in found.text
  assert 'd.gif is not shown: it has 5,000,004 bytes' in found.text


def test_the_picture_of_open_loop_errors_is_shown_without_their_numbers(
    tmp_path):
  _run(tmp_path)
  (tmp_path / 'open_loop.png').write_bytes(b'\x89PNG\r\n\x1a\n')
  assert [one.name for one in overview.gather(tmp_path).media] == [
      'open_loop.png']
  (tmp_path / 'open_loop.json').write_text('{}')
  assert overview.gather(tmp_path).media == []


def test_what_is_left_out_of_many_videos_and_metrics_is_said(tmp_path):
  _run(tmp_path, [{'step': 4, **{f'm{i:03}': 1.0 for i in range(201)}}])
  (tmp_path / 'videos').mkdir()
  for i in range(6):
    path = tmp_path / 'videos' / f'{i}.gif'
    path.write_bytes(b'GIF89a')
    os.utime(path, (i, i))
  (tmp_path / 'videos' / 'nowhere.gif').symlink_to(tmp_path / 'none')
  found = overview.gather(tmp_path)
  assert [one.name for one in found.media] == [
      '5.gif', '4.gif', '3.gif', '2.gif']
  assert len(found.metrics) == 200 and 'm200' not in found.metrics
  metrics, videos = found.notes[0], found.notes[-1]
  assert '201 metrics; 200 are shown' in metrics
  assert 'has 6 videos; the newest 4' in videos


# While a run trains -----------------------------------------------------------


def _event(kind, root):
  return callbacks.Event(kind, 4, 1, {}, root, lambda reason: None)


def _age(path, seconds):
  then = time.time() - seconds
  os.utime(path, (then, then))


@pytest.mark.parametrize('kind, seconds, metrics, writes', [
    ('save', 1000, 0, False), ('evaluation', 1000, 0, True),
    ('evaluation', 5, 0, False), ('evaluation', 15, 0, True),
    ('evaluation', 15, 10**6, False), ('evaluation', 25, 10**6, True),
    ('evaluation', -1000, 0, True), ('end', 5, 10**6, True)])
def test_a_page_is_written_at_the_end_and_at_evaluations_that_are_far_apart(
    kind, seconds, metrics, writes, tmp_path):
  _run(tmp_path, [{'step': 4, 'kl_loss': 1.0, 'text': 'x' * metrics}])
  (tmp_path / 'report.html').write_text('old')
  _age(tmp_path / 'report.html', seconds)
  report.write_after(_event(kind, tmp_path))
  assert ((tmp_path / 'report.html').read_text() != 'old') == writes


def test_the_first_evaluation_writes_the_page(tmp_path):
  _run(tmp_path)
  report.write_after(_event('evaluation', tmp_path))
  assert _Page((tmp_path / 'report.html').read_text()).charts


@pytest.mark.parametrize('name, said', [
    ('report.html', 'it is a folder'), ('report.html.part', 'Is a directory'),
    ('metrics.jsonl', 'no regular file')])
def test_a_page_that_cannot_be_written_is_one_note(
    name, said, tmp_path, capsys):
  _run(tmp_path)
  (tmp_path / name).mkdir()
  report.write_after(_event('end', tmp_path))
  text = capsys.readouterr().out
  assert text.startswith('Note: report.html was not written: ')
  assert said in text and text.count('\n') == 1


# Several runs -----------------------------------------------------------------


def test_several_runs_have_a_card_and_a_line_each(tmp_path):
  runs = [_run(tmp_path / name, [*_curve(value), {'step': 9, 'kl_loss': 1.0}])
          for name, value in (('one', 20.5), ('two', -21.0))]
  runs.append(_run(tmp_path / 'far' / 'one', [{'step': 4, 'kl_loss': 2.0}],
                   'catch'))
  found = _read(*runs, out=tmp_path / 'all.html')
  assert found.tags.count(('article', {'class': 'card'})) == 6
  assert [line['run'] for line in found.chart('kl_loss')['lines']] == [0, 1, 2]
  assert [line['label'] for line in found.chart('kl_loss')['lines']] == [
      str(runs[0]), 'two', str(runs[2])]
  assert len(found.chart('eval_return, atari_pong')['lines']) == 2
  assert 'above' in found.text and 'below' in found.text
  assert sorted(path.name for path in runs[0].iterdir()) == [
      'metrics.jsonl', 'operative_config.gin', 'protocol.json']


# Safety -----------------------------------------------------------------------


@pytest.fixture
def hostile(tmp_path):
  """The page of a folder whose every text is HTML."""
  task = ' '.join(_HOSTILE)
  run = _run(
      tmp_path / '<b>run', [
          {'step': 4, **dict.fromkeys(_HOSTILE, 1.5), '\ud800': 2.0},
          {'step': 10**400, 'kl_loss': 10**400, 'fps': [1], 'x': '<i>',
           **dict.fromkeys(_HOSTILE)}],
      task, [f'RSSM.deter = {json.dumps(task)}', f'x.y = {_HOSTILE[0]}',
             'train.steps = 1e400'],
      presets=['atari', _HOSTILE[0]], devices=[task], python=task,
      versions={task: task}, parameters={task: task}, action={'dtype': task},
      environments=_HOSTILE[1], action_repeat=10**400)
  (run / 'open_loop.json').write_text(json.dumps({task: dict.fromkeys(
      ('open_loop', 'filtered', 'mean'), [1])}))
  (run / 'videos').mkdir()
  (run / 'videos' / '"onerror=x.gif').write_bytes(b'GIF89a')
  return run


def test_hostile_strings_do_not_break_out(hostile, tmp_path):
  tame = _read(_run(tmp_path / 'tame', [{'step': 4, 'kl_loss': 1.0}]))
  found = _read(hostile)
  assert len(found.scripts) == len(tame.scripts) == 3
  assert found.scripts[1:] == tame.scripts[1:]
  assert {tag for tag, _ in found.tags} <= {
      tag for tag, _ in tame.tags} | {'img', 'table', 'details', 'summary',
                                      'pre', 'li', 'ul'}
  for tag, attrs in found.tags:
    assert not [name for name in attrs if name.startswith('on')], tag
  assert [attrs['src'] for _, attrs in found.tags if 'src' in attrs] == [
      'data:image/gif;base64,' + base64.b64encode(b'GIF89a').decode()]


def test_the_json_of_hostile_strings_parses_back(hostile):
  found = _read(hostile)
  assert not set('<>&') & set(found.scripts[0])
  for name in _HOSTILE:
    assert found.chart(name)['lines'][0]['ys'] == [1.5]
    assert name in ''.join(found.words)
  assert found.chart('?')['lines'][0]['ys'] == [2.0]  # no half of a character


def test_the_page_loads_nothing_and_its_policy_names_its_own_scripts(tmp_path):
  found = _read(_run(tmp_path, _curve(1.0)))
  assert not [each for each in found.tags
              if {'src', 'href', 'data', 'srcset', 'action'} & set(each[1])]
  assert not [tag for tag, attrs in found.tags if 'style' in attrs]
  text = (tmp_path / 'report.html').read_text(encoding='utf-8')
  style = re.search('<style>(.*)</style>', text, re.S).group(1)
  assert not re.search(r'url\(|@import', style)
  policy, = (attrs['content'] for tag, attrs in found.tags
             if attrs.get('http-equiv') == 'Content-Security-Policy')
  rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
  mark = lambda text: "'sha256-" + base64.b64encode(
      hashlib.sha256(text.encode()).digest()).decode() + "'"
  assert rules == {
      'default-src': "'none'", 'base-uri': "'none'", 'form-action': "'none'",
      'img-src': 'data:', 'media-src': 'data:', 'style-src': mark(style),
      'script-src': ' '.join(map(mark, found.scripts[1:]))}


def test_the_page_can_be_read_by_all(tmp_path):
  found = _read(_run(tmp_path, [{'step': 4, 'kl_loss': 1.0}]))
  names = [tag for tag, _ in found.tags]
  assert ('html', {'lang': 'en'}) in found.tags and names.count('h1') == 1
  levels = [int(name[1]) for name in names if re.fullmatch('h[1-6]', name)]
  assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
  assert names.count('figure') == names.count('figcaption') == len(
      found.charts)
  assert all(chart['described'] for chart in found.charts)


# Contrast of text on what is behind it, WCAG 2: 4.5 for text.
def _luminance(colour):
  digits = colour.lstrip('#')
  if len(digits) == 3:
    digits = ''.join(2 * digit for digit in digits)
  parts = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
  linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
            for x in parts]
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize('scheme', [0, 1])
def test_text_and_lines_stand_out_in_light_and_dark(scheme):
  style = page._file('report.css')
  block = re.findall(r':root \{(.*?)\}', style, re.S)[scheme]
  colours = dict(re.findall(r'--([\w-]+): (#\w+);', block))

  def contrast(one, other):
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)

  for behind in ('paper', 'card', 'warn'):
    assert contrast(colours['ink'], colours[behind]) > 7
  for name in ('soft', *(f'line-{i}' for i in range(6))):
    assert contrast(colours[name], colours['card']) > 4.5, name
  for name in ('good', 'bad', 'plain'):
    assert contrast('#fff', colours[name]) > 4.5, name


# Refusals and files -----------------------------------------------------------


def test_a_link_in_the_folder_is_not_written_through(tmp_path):
  run = _run(tmp_path / 'run')
  mine = tmp_path / 'mine'
  mine.write_text('mine')
  for name in ('report.html', 'report.html.part'):
    (run / name).symlink_to(mine)
  _read(run)
  assert mine.read_text() == 'mine'
  assert not (run / 'report.html').is_symlink()


@pytest.mark.parametrize('name, content, said', [
    ('protocol.json', '{', 'protocol.json is damaged'),
    ('protocol.json', None, 'protocol.json is missing'),
    ('metrics.jsonl', '{"step": "x"}\n', 'Line 1 of'),
    ('open_loop.json', '[1]', 'open_loop.json is damaged'),
    ('open_loop.json', '{"image": {"mean": [1]}}', 'Write it again')])
def test_a_damaged_file_is_one_message_and_writes_nothing(
    name, content, said, tmp_path):
  _run(tmp_path)
  if content is None:
    (tmp_path / name).unlink()
  else:
    (tmp_path / name).write_text(content)
  with pytest.raises(ValueError, match=re.escape(said)):
    report.write([tmp_path])
  assert not list(tmp_path.glob('report*'))


def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path):
  _run(tmp_path)
  os.mkfifo(tmp_path / 'metrics.jsonl')
  with pytest.raises(ValueError, match='no regular file'):
    report.write([tmp_path])


@pytest.mark.parametrize('places, out, said', [
    ([], None, 'Got no folder of a run'), (['a', 'b'], None, 'Got 2 runs'),
    (['none'], None, 'cannot be written'), (['none'], 'x.html', 'no folder'),
    (['.'], 'none/x.html', 'there is no folder none'),
    (['.'], '.', 'it is a folder'), (['.'], None, 'There is no run in')])
def test_a_mistake_is_said_with_a_way_out(
    places, out, said, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(checks.UserError, match=said) as error:
    report.write(places, out)
  assert 'Give' in str(error.value)
  assert not list(tmp_path.iterdir())


def test_the_same_folder_gives_the_same_page(tmp_path):
  _run(tmp_path, _curve(1.0))
  one = report.write([tmp_path]).read_bytes()
  assert report.write([tmp_path]).read_bytes() == one


@pytest.mark.slow
@pytest.mark.skipif(not _CHROMIUM, reason='no browser')
def test_a_browser_draws_every_chart_from_the_disk(hostile, tmp_path):
  path = report.write(
      [hostile, _run(tmp_path / 'other', _curve(1.0))], tmp_path / 'all.html')
  process = subprocess.run(
      [_CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu',
       '--disable-quic', '--no-first-run', '--disable-background-networking',
       '--disable-component-update', '--disable-sync',
       '--enable-logging=stderr',
       f'--user-data-dir={tmp_path / "browser"}', '--virtual-time-budget=4000',
       '--dump-dom', path.as_uri()],
      capture_output=True, text=True, errors='replace', check=True,
      timeout=120)
  assert 'CONSOLE' not in process.stderr  # an error, or a refusal by the policy
  drawn = _Page(process.stdout)
  assert [tag for tag, _ in drawn.tags].count('canvas') == len(drawn.charts)
