"""A report as one HTML page that loads nothing.

What a run's folder says is escaped wherever it stands: as HTML, and `<`, `>`
and `&` inside the JSON that the charts are drawn of. The page's policy allows
its own scripts and styles alone, by their hashes.
"""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import html
import json
import pathlib
import string
from typing import Any

from dreamerv2_tfa.reports import charts as charts_lib
from dreamerv2_tfa.reports import overview as overview_lib

_WEB = pathlib.Path(__file__).with_name('web')
_COLOURS = 6  # of lines, in web/report.css


def render(runs: Sequence[overview_lib.Overview]) -> str:
  """The page of one run, or of several side by side."""
  charts = charts_lib.charts(runs)
  style = _file('uPlot.min.css') + _file('report.css')
  library, script = _file('uPlot.iife.min.js'), _file('report.js')
  title = (f'{runs[0].name}: {runs[0].task}' if len(runs) == 1
           else f'{len(runs)} runs')
  return string.Template(_file('report.html')).substitute(
      policy=_policy(style, library, script), title=_text(title), style=style,
      body='\n'.join(_body(runs, charts)),
      data=_json(_drawn(charts)), library=library, script=script)


def _body(runs, charts):
  """Sections: how the runs do first, then what they are."""
  figures = _figures(charts)
  returns = figures.pop(charts_lib.RETURNS, [])
  measured = figures.pop(charts_lib.DIAGNOSTICS, [])
  return [
      _section('Run' if len(runs) == 1 else 'Runs', *_cards(runs, _standing)),
      '<noscript><p>The charts need JavaScript; the last values are in a '
      'table below.</p></noscript>',
      *([_section(charts_lib.RETURNS, *returns)] if returns else []),
      *_diagnostics(runs, measured),
      _section('Protocol and settings', *_cards(runs, _protocol)),
      *(_section(heading, *lines) for heading, lines in figures.items()),
      *_last(runs), *_media(runs)]


def _file(name):
  return (_WEB / name).read_text(encoding='utf-8')


def _text(content: Any) -> str:
  """Any text as HTML."""
  return html.escape(_whole(str(content)))


def _whole(text):
  """A text with a question mark for what UTF-8 cannot hold."""
  return text.encode('utf-8', 'replace').decode('utf-8')


def _json(content: Any) -> str:
  """JSON that no HTML parser finds a tag or a comment in."""
  written = _whole(json.dumps(
      content, allow_nan=False, ensure_ascii=False, separators=(',', ':')))
  for character in '<>&':
    written = written.replace(character, f'\\u{ord(character):04x}')
  return written


def _policy(style, *scripts):
  """The Content-Security-Policy: nothing but what is in the page."""
  mark = lambda text: "'sha256-{}'".format(base64.b64encode(
      hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii'))
  return (
      f"default-src 'none'; script-src {' '.join(map(mark, scripts))}; "
      f"style-src {mark(style)}; img-src data:; media-src data:; "
      "base-uri 'none'; form-action 'none'")


def _section(heading, *lines):
  return '\n'.join(
      ['<section>', f'<h2>{_text(heading)}</h2>', *lines, '</section>'])


def _cards(runs, lines):
  """A card a run."""
  return ['<div class="cards">', *(
      '\n'.join([
          '<article class="card">',
          f'<h3><span class="swatch s{number % _COLOURS}"></span>'
          f'{_text(run.name)}</h3>', *lines(run), '</article>'])
      for number, run in enumerate(runs)), '</div>']


def _standing(run):
  """How a run does: verdict, progress, warnings."""
  word = run.verdict.word
  lines = [
      f'<p>Task {_text(run.task)}</p>',
      f'<p><span class="badge {_text(word.replace(" ", "-"))}">{_text(word)}'
      f'</span></p>', f'<p>{_text(run.verdict.sentence)}</p>',
      *_compared(run.verdict.compared), *_progress(run)]
  for heading, sentences, name in (
      ('Warnings', run.warnings, 'warnings'), ('Notes', run.notes, 'soft')):
    if sentences:
      items = ''.join(f'<li>{_text(each)}</li>' for each in sentences)
      lines.append(f'<h4>{heading}</h4><ul class="{name}">{items}</ul>')
  return lines


def _compared(compared):
  """A run at each published frame that it has passed, folded."""
  if not compared:
    return []
  rows = [
      [f'{point.frames:,.0f}', f'{value:,.4g}', f'{point.low:,.4g}',
       f'{point.mean:,.4g}', f'{point.high:,.4g}', word]
      for point, value, word in compared]
  return ['<details><summary>At every published frame</summary>', _table(
      ['Frames', 'This run', 'Lowest seed', 'Mean', 'Highest seed', 'Verdict'],
      rows, 'number'), '</details>']


def _protocol(run):
  """What a run is: protocol, differences, settings."""
  lines = ['<dl>', *(
      f'<dt>{_text(what)}</dt><dd>{_text(value)}</dd>'
      for what, value in run.protocol), '</dl>', *_differences(run)]
  for what, content in (
      ('Versions', run.versions), ('All settings', run.settings)):
    if content:
      lines.append(f'<details><summary>{what}</summary><pre tabindex="0">'
                   f'{_text(content)}</pre></details>')
  return lines


def _progress(run):
  """How far the run is, and when it ends."""
  done = run.progress
  lines, said = [], f'{done.steps:,} agent steps'
  if done.wanted is not None:
    said = f'{done.steps:,} of {done.wanted:,} agent steps'
    share = min(done.steps / max(done.wanted, 1), 1.0)
    lines.append(f'<progress max="1" value="{share:.4f}" aria-label="'
                 f'{share:.0%} of the steps"></progress>')
  said += f', {done.frames:,} environment frames.'
  if done.fps is not None:
    said += f' {done.fps:,.0f} frames a second lately.'
  if done.seconds:
    said += (f' About {_duration(done.seconds)} left at this speed, if it '
             'trains on.')
  lines.append(f'<p>{_text(said)}</p>')
  lines.append(
      f'<p class="soft">Metrics as of {_text(run.written)}.</p>' if run.metrics
      else '<p class="soft">There are no metrics yet.</p>')
  return lines


def _duration(seconds: float) -> str:
  """A time in its two largest units, as '3 days 4 hours'."""
  minutes = max(round(seconds / 60), 1)
  units = (('day', minutes // 1440), ('hour', minutes // 60 % 24),
           ('minute', minutes % 60))
  first = next(i for i, (_, count) in enumerate(units) if count)
  return ' '.join(
      f'{count:,} {unit}{"s" * (count != 1)}'
      for unit, count in units[first:first + 2] if count)


def _differences(run):
  """How the run's settings differ from those of its presets."""
  lines = ['<h4>Differences from the preset</h4>']
  if not run.differences:
    return [*lines, '<p>None.</p>']
  rows = [[each.name, each.preset, each.run] for each in run.differences]
  return [*lines, _table(['Setting', 'Preset', 'This run'], rows)]


def _table(heads, rows, name=''):
  """A table; its first column heads the rows, the others are of a class."""
  mark = f' class="{name}"' if name else ''
  cells = lambda row: ''.join(f'<td{mark}>{_text(each)}</td>'
                              for each in row[1:])
  return '\n'.join([
      '<div class="scroll" tabindex="0"><table><thead><tr>',
      *(f'<th scope="col"{mark * (i > 0)}>{_text(head)}</th>'
        for i, head in enumerate(heads)),
      '</tr></thead><tbody>', *(
          f'<tr><th scope="row">{_text(row[0])}</th>{cells(row)}</tr>'
          for row in rows), '</tbody></table></div>'])


def _numbered(charts: Mapping[str, Sequence[charts_lib.Chart]]):
  """Headings, ids and charts, in the order of the page."""
  each = [(heading, chart) for heading, some in charts.items()
          for chart in some]
  return [(heading, f'chart-{number}', chart)
          for number, (heading, chart) in enumerate(each)]


def _figures(charts):
  """Lines by heading, with a place for each chart."""
  return {
      heading: ['<div class="charts">', *(
          f'<figure><figcaption>{_text(chart.title)}</figcaption>'
          f'<div id="{name}"></div></figure>'
          for each, name, chart in _numbered(charts) if each == heading),
                '</div>']
      for heading in charts}


def _diagnostics(runs, figures):
  """What is found healthy or not, and the curves of the last evaluation."""
  found = any(run.findings for run in runs)
  if not found and not figures:
    return []
  return [_section(
      charts_lib.DIAGNOSTICS, *(_cards(runs, _findings) if found else []),
      *figures)]


def _findings(run):
  """A table of what is found of a run."""
  lines = []
  if run.diagnostics is not None and run.diagnostics.step is not None:
    lines.append(f'<p class="soft">Curves as of {run.diagnostics.step:,} '
                 'frames.</p>')
  if not run.findings:
    return [*lines, '<p>There are no diagnostics among the metrics.</p>']
  return [
      *lines, '<div class="scroll" tabindex="0"><table class="findings">',
      '<thead><tr><th scope="col">Metric</th>',
      '<th scope="col" class="number">Value</th>',
      '<th scope="col">Healthy</th><th scope="col">Meaning</th></tr></thead>',
      '<tbody>', *map(_found, run.findings), '</tbody></table></div>']


def _found(finding):
  """A row of the table; what is wrong is marked by words too."""
  mark = said = ''
  if finding.says:
    mark = '<br><span class="badge below">not healthy</span>'
    said = f'<br><strong>{_text(finding.says)}</strong>'
  return (
      f'<tr><th scope="row">{_text(finding.name)}{mark}</th>'
      f'<td class="number" data-head="Value">{finding.value:,.4g}</td>'
      f'<td data-head="Healthy">{_text(finding.healthy or "any")}</td>'
      f'<td>{_text(finding.meaning)}{said}</td></tr>')


def _drawn(charts):
  """What web/report.js draws."""
  return [
      {'id': name, **chart._asdict(), 'described':
       f'{chart.title} by {chart.x}, lines: '
       + ', '.join(line['label'] for line in chart.lines)}
      for _, name, chart in _numbered(charts)]


def _last(runs):
  """The last value of each metric."""
  names = sorted({name for run in runs for name in run.metrics})
  if not names:
    return []
  value = lambda run, name: (
      f'{run.metrics[name].last:,.5g}' if name in run.metrics else '')
  return [_section('Last values', _table(
      ['Metric', *(run.name for run in runs)],
      [[name, *(value(run, name) for run in runs)] for name in names],
      'number'))]


def _media(runs):
  """Videos and pictures."""
  found = []
  for run in runs:
    for each in run.media:
      said = _text(f'{run.name}: {each.name}')
      show = (
          f'<video controls muted loop src="{each.uri}" aria-label="{said}">'
          '</video>' if each.kind == 'video/mp4' else
          f'<img src="{each.uri}" alt="{said}">')
      found.append(
          f'<figure><figcaption>{said}</figcaption>{show}</figure>')
  return [_section('Videos and pictures', '<div class="charts">', *found,
                   '</div>')] if found else []
