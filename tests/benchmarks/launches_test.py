"""Counting what a compiled program starts."""

import pathlib
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(_ROOT / 'benchmarks' / 'speed'))
import launches  # noqa: E402 - needs the path

_PROGRAM = """HloModule a

%body.1 (x: (s32[], f32[2])) -> (s32[], f32[2]) {
  %x = (s32[], f32[2]{0}) parameter(0)
  %i = s32[] get-tuple-element((s32[], f32[2]{0}) %x), index=0
  %one = s32[] constant(1)
  %next = s32[] add(s32[] %i, s32[] %one)
  %dot.3 = f32[2]{0} dot(f32[2]{0} %v, f32[2,2]{1,0} %w)
  ROOT %t = (s32[], f32[2]{0}) tuple(s32[] %next, f32[2]{0} %dot.3)
}

%compare.1 (i: s32[]) -> pred[] {
  %i = s32[] parameter(0)
  %n = s32[] constant(7)
  ROOT %less = pred[] compare(s32[] %i, s32[] %n), direction=LT
}

%test.1 (x: (s32[], f32[2])) -> pred[] {
  %x = (s32[], f32[2]{0}) parameter(0)
  ROOT %f = pred[] fusion(s32[] %i), kind=kLoop, calls=%compare.1
}

%sub.1 (y: f32[2]) -> f32[2] {
  %y = f32[2]{0} parameter(0)
  ROOT %e = f32[2]{0} exponential(f32[2]{0} %y)
}

ENTRY %main.1 (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %copy.1 = f32[2]{0} copy(f32[2]{0} %a)
  %w.1 = (s32[], f32[2]{0}) while((s32[], f32[2]{0}) %t), condition=%test.1, \
body=%body.1, metadata={op_name="scan/while"}
  ROOT %c.1 = f32[2]{0} call(f32[2]{0} %copy.1), to_apply=%sub.1
}
"""


def test_a_loop_counts_as_often_as_it_runs():
  found = launches.count(_PROGRAM)
  assert [(x.name, x.times, x.launches) for x in found] == [
      ('outside of loops', 1, 1), ('scan/while (w.1)', 7, 14),
      ('call (c.1)', 1, 1)]
  assert found[1].kinds == {'add': 1, 'dot': 1}


def test_a_loop_without_a_number_is_refused():
  with pytest.raises(ValueError, match='w.1: how often it runs'):
    launches.count(_PROGRAM.replace('constant(7)', 'parameter(1)'))
