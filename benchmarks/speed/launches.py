"""How many operations a compiled update starts, by loop: no GPU is needed.

    bin/python benchmarks/speed/launches.py --gin_file=atari --precision=32

XLA compiles the update for this machine's processor, and the instructions of
its optimised program are counted, those in a loop as often as the loop runs. On
a GPU each of them is about a launch; XLA fuses a little differently there, so
the figure compares two versions, and is not the one that a profiler shows.
"""

import collections
import re
from typing import NamedTuple

from absl import app

from dreamerv2_tfa.commands import configuration

configuration.define('gin_file', 'gin_bindings', 'task', 'precision', 'seed')

# What starts nothing of its own.
_FREE = {
    'parameter', 'tuple', 'get-tuple-element', 'constant', 'bitcast', 'iota',
    'while', 'conditional', 'call', 'after-all', 'partition-id',
}
_HEAD = re.compile(r'^(ENTRY )?%?([\w.\-]+) .*\{$')
_LINE = re.compile(r'^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$')
_CALLED = re.compile(
    r'(?:to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)')
_BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')


class Instruction(NamedTuple):
  """A line of a computation."""

  name: str
  kind: str
  rest: str  # operands and attributes


class Part(NamedTuple):
  """A computation that runs: the whole, the body of a loop, a function."""

  name: str  # by what TensorFlow calls its operations
  times: int  # that it runs
  kinds: collections.Counter  # instructions of each kind

  @property
  def launches(self):
    """Instructions that start work, in all its runs: int."""
    return self.times * self.kinds.total()


def parse(text):
  """Computations of a program as XLA prints it: dict of lists; and the first.

  Args:
    text: HLO.

  Returns:
    Dict from the name of each to its `Instruction`s, and the name of the entry.
  """
  found, entry, now = {}, None, None
  for line in text.splitlines():
    if head := _HEAD.match(line):
      now = found[head[2]] = []
      entry = head[2] if head[1] else entry
    elif now is not None and (match := _LINE.match(line)):
      now.append(Instruction(match[1], match[3], match[4]))
  return found, entry


def count(text):
  """The parts of a program that run: list of `Part`.

  Raises:
    ValueError: If it cannot be told how often a loop runs.
  """
  found, entry = parse(text)
  parts = []

  def visit(name, times, called):
    kinds = collections.Counter(
        x.kind for x in found[name] if x.kind not in _FREE)
    parts.append(Part(called, times, kinds))
    for each in found[name]:
      if each.kind == 'while':
        body = re.search(r'body=%?([\w.\-]+)', each.rest)[1]
        visit(body, times * _trips(found, each), _called(each, 'loop'))
      elif each.kind in ('call', 'conditional'):
        for inner in _inside(each.rest):
          visit(inner, times, _called(each, each.kind))

  visit(entry, 1, 'outside of loops')
  return parts


def _inside(rest):
  names = _CALLED.findall(rest)
  for group in _BRANCHES.findall(rest):
    names += re.findall(r'[\w.\-]+', group)
  return names


def _called(instruction, otherwise):
  match = re.search(r'op_name="([^"]*)"', instruction.rest)
  return f'{match[1] if match else otherwise} ({instruction.name})'


def _trips(found, loop):
  """How often a loop runs: the number that its condition compares with."""
  left = [re.search(r'condition=%?([\w.\-]+)', loop.rest)[1]]
  numbers = []
  while left:
    for each in found[left.pop()]:
      if each.kind == 'constant' and (
          match := re.match(r'(-?\d+)\)', each.rest)):
        numbers.append(int(match[1]))
      left += _inside(each.rest)
  if not numbers or max(numbers) < 1:
    raise ValueError(f'{loop.name}: how often it runs is not in its condition.')
  return max(numbers)


def compiled(setting):
  """The optimised program of a setting's update: text."""
  import setting as setting_lib
  import tensorflow as tf

  agent = setting.parts.agent
  update = tf.function(
      lambda *inputs: agent._update(*inputs, apply=True), jit_compile=True,
      autograph=False)
  inputs = agent._inputs(setting_lib.batch(setting), None)
  program = update.experimental_get_compiler_ir(*inputs)
  return program(stage='optimized_hlo')


def run(argv):
  """Counts, and prints a row for each part."""
  del argv
  import setting as setting_lib

  parts = count(compiled(setting_lib.make()))
  print('| part | times | a time | in all | most of them |')
  print('|---|---|---|---|---|')
  for part in parts:
    most = ', '.join(f'{n} {kind}' for kind, n in part.kinds.most_common(3))
    print(f'| {part.name} | {part.times} | {part.kinds.total()} | '
          f'{part.launches} | {most} |')
  print(f'| all | | | {sum(part.launches for part in parts)} | |')


if __name__ == '__main__':
  app.run(configuration.guarded(run))
