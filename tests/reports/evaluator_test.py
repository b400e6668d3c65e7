"""A run whose evaluations are those of a process of its own."""

import json

import pytest

import dreamerv2_tfa
from dreamerv2_tfa.reports import curve_files
from dreamerv2_tfa.reports import overview


@pytest.fixture
def root(tmp_path):
  """A run with two reports, and two evaluations in another file."""
  root = tmp_path / 'run'
  (root / 'evaluations').mkdir(parents=True)
  (root / 'protocol.json').write_text(json.dumps({
      'task': 'catch', 'action_repeat': 1, 'precision': 'float32', 'seed': 3,
      'presets': []}))
  (root / 'metrics.jsonl').write_text(
      '{"step": 10, "model_loss": 4.0}\n{"step": 20, "model_loss": 3.0}\n')
  (root / 'evaluations' / 'metrics.jsonl').write_text(
      '{"step": 12, "eval_return": 1.0}\n{"step": 99, "eval_return": 7.0}\n'
      '{"step": 12, "resumed": 12}\n{"step": 20, "eval_return": 2.0}\n')
  return root


def test_a_report_has_both(root):
  found = overview.gather(root)
  assert found.metrics['model_loss'].xs == [10, 20]
  assert found.metrics['eval_return'].xs == [12, 20]
  assert found.metrics['eval_return'].ys == [1.0, 2.0]
  assert found.progress.frames == 20


def test_a_plot_has_both(root):
  for name, wanted in (('eval_return', [1.0, 2.0]), ('model_loss', [4.0, 3.0])):
    run, = curve_files.read(
        [root.parent], curve_files.Wanted(yaxis=name)).runs
    assert list(run.ys) == wanted


def test_a_frame_of_metrics_has_both(root):
  frame = dreamerv2_tfa.Run(root).metrics
  assert list(frame.index) == [10, 12, 20, 20]
  assert list(frame.eval_return.dropna()) == [1.0, 2.0]


def test_a_damaged_line_of_an_evaluator_is_refused(root):
  path = root / 'evaluations' / 'metrics.jsonl'
  path.write_text('[1]\n' + path.read_text())
  with pytest.raises(ValueError, match='Line 1 of .*evaluations'):
    overview.gather(root)
