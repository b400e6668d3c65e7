"""The table of sizes in the docs is the one that was measured."""

import importlib.util
import pathlib

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _sizes():
  path = _ROOT / 'benchmarks' / 'sizes' / 'sizes.py'
  spec = importlib.util.spec_from_file_location('benchmark_of_sizes', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_docs_have_the_table_that_was_measured():
  sizes = _sizes()
  rows = sizes.read()
  assert [(row['observed'], row['overlay'] or None) for row in rows] == [
      (observed, overlay) for observed in sizes._SEEN
      for overlay in sizes._OVERLAYS]
  assert sizes.table(rows) in (_ROOT / 'docs' / 'sizes.md').read_text()
