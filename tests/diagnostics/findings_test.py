"""Tests of what diagnostics say."""

import pathlib
import re

import pytest

from dreamerv2_tfa.diagnostics import findings

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _says(**metrics):
  found = findings.findings(
      {f'diagnostics/{name}': x for name, x in metrics.items()})
  return [each.says for each in found]


@pytest.mark.parametrize(('name', 'value', 'said'), [
    ('image_filtered', 9.9, 'decoder does not learn'),
    ('position_filtered', 1.01, 'decoder does not learn'),
    ('continue_calibration', 0.95, 'continue head is wrong'),
    ('kl_share', 0.92, 'prior does not learn'),
    ('dead_latents', 1.0, 'next to nothing'),
    ('value_error', 7.0, 'critic is far'),
    ('imagined_error', 7.0, 'not what happens'),
])
def test_what_is_wrong_is_named(name, value, said):
  assert re.search(said, _says(**{name: value})[0])
  assert f'{value:.3g}' in _says(**{name: value})[0]


def test_a_healthy_run_has_nothing_wrong():
  assert set(_says(
      image_filtered=0.24, image_error_1=0.004, continue_calibration=0.02,
      kl_share=0.2, dead_latents=0.0, value_error=1.0, imagined_error=0.8,
      reward_filtered=1.2, value_correlation=-0.5)) == {''}


def test_a_finding_has_its_value_meaning_and_bound():
  found, = findings.findings({'diagnostics/kl_share': 0.25})
  assert found == findings.Finding(
      'diagnostics/kl_share', 0.25,
      'KL of posterior and prior per latent, as a share of the most that C '
      'classes can tell, ln C.',
      '0 to 0.7', '')


@pytest.mark.parametrize(('updates', 'says'), [(299, False), (300, True)])
def test_a_model_that_has_learned_for_a_moment_is_not_judged(updates, says):
  found, = findings.findings({'diagnostics/kl_share': 0.9, 'updates': updates})
  assert bool(found.says) == says


def test_other_metrics_are_left_out():
  assert findings.findings(
      {'kl_loss': 1.0, 'diagnostics/of_a_later_version': 1.0}) == []


def test_the_documentation_has_each_meaning_and_bound():
  text = (_ROOT / 'docs' / 'diagnostics.md').read_text(encoding='utf-8')
  for rule in findings.RULES:
    bound = f'{rule.low:g} to {rule.high:g}' if rule.says else ''
    assert f'| {rule.meaning} | {bound} |' in text
