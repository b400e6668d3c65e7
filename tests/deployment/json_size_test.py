"""Tests of the size of JSON: counted as a naive walk of its objects counts."""

import json

import hypothesis
from hypothesis import strategies
import pytest

from dreamerv2_tfa.deployment import json_size

_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers()
    | strategies.floats() | strategies.text('a"\\[]{},:é', max_size=6)
    | strategies.text(max_size=6),
    lambda inner: strategies.lists(inner, max_size=4)
    | strategies.dictionaries(
        strategies.text('a"\\[]{},:é', max_size=4), inner, max_size=4),
    max_leaves=20)


def naive(value):
  """Values, texts and depth of what JSON was made into; [] counts as [None]."""
  if isinstance(value, str):
    return 1, 1, 0
  if not isinstance(value, dict | list):
    return 1, 0, 0
  parts = list(value.values() if isinstance(value, dict) else value) or [None]
  values, texts, depths = zip((0, 0, 0), *map(naive, parts), strict=True)
  return 1 + sum(values), sum(texts), 1 + max(depths)


@pytest.mark.parametrize('chunk', [1, 3, 2**16])
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    deadline=None)
@hypothesis.given(_VALUES, strategies.booleans(), strategies.booleans())
def test_values_texts_and_depth_are_those_of_the_objects(
    monkeypatch, chunk, value, in_ascii, indented):
  monkeypatch.setattr(json_size, '_CHUNK', chunk)
  body = json.dumps(
      value, ensure_ascii=in_ascii, indent=1 if indented else None)
  size = json_size.measure(body.encode())
  assert size == naive(value)


@pytest.mark.parametrize('body, size', [
    (b'', (1, 0, 0)), (b'[' * 9, (10, 0, 9)), (b']]', (1, 0, 0)),
    (b'"[[[', (1, 1, 0)), (b'[1,2', (3, 0, 1)),
])
def test_what_is_no_json_is_counted_too(body, size):
  assert json_size.measure(body) == size
