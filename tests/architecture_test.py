"""The house stays as it is drawn: imports, line counts, forbidden words.

`bin/python tests/architecture_test.py` draws docs/architecture.md again.
"""

import ast
import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / 'dreamerv2_tfa'
_PAGE = _ROOT / 'docs' / 'architecture.md'
_MARKS = '<!-- drawn by tests/architecture_test.py -->', '<!-- end -->'

# What each room may import, in the order in which data flows. A room imports
# only from what stands above it; docs/architecture.md draws the same.
_ROOMS = {
    'types': (),
    'durable': (),
    'rendering': (),
    'quiet': (),
    'columns': (),
    'children': (),
    'checks': (),
    'late': (),
    'reading': ('checks',),
    'devices': ('checks',),
    'noise': (),
    'replicas': (),
    'scopes': (),
    'schedules': (),
    'returns': ('replicas',),
    'distributions': ('types', 'noise'),
    'losses': ('types', 'replicas', 'distributions'),
    'optimizers': ('checks', 'replicas'),
    'part_optimizer': ('checks', 'scopes', 'optimizers'),
    'specs': (),
    'pictures': (),
    'observations': ('pictures',),
    'networks': ('checks', 'scopes', 'distributions'),
    'environments': (
        'checks', 'late', 'rendering', 'specs', 'observations',
    ),
    'experience': ('types', 'durable', 'checks', 'reading', 'specs'),
    'world_model': (
        'types', 'checks', 'noise', 'scopes', 'distributions', 'losses',
        'specs', 'networks',
    ),
    'behaviour': (
        'types', 'checks', 'noise', 'replicas', 'scopes', 'schedules',
        'returns', 'distributions', 'losses', 'specs', 'networks',
        'world_model',
    ),
    'agent': (
        'types', 'checks', 'devices', 'noise', 'replicas', 'part_optimizer',
        'specs', 'experience', 'world_model', 'behaviour',
    ),
    'dream': (
        'types', 'checks', 'noise', 'specs', 'experience', 'world_model',
        'agent',
    ),
    'diagnostics': (
        'types', 'returns', 'distributions', 'specs', 'experience',
        'world_model', 'agent', 'dream',
    ),
    'training': (
        'durable', 'quiet', 'checks', 'late', 'reading', 'devices', 'scopes',
        'optimizers', 'specs', 'observations', 'environments', 'experience',
        'behaviour', 'agent', 'dream', 'diagnostics',
    ),
    'migration': ('reading', 'specs', 'agent', 'training'),
    'distributed': (
        'children', 'checks', 'durable', 'reading', 'replicas', 'environments',
        'experience', 'behaviour', 'agent', 'training',
    ),
    'sweeps': (
        'durable', 'columns', 'children', 'checks', 'reading', 'environments',
        'training',
    ),
    'deployment': (
        'quiet', 'checks', 'reading', 'noise', 'specs', 'observations',
        'environments', 'world_model', 'behaviour', 'agent', 'training',
    ),
    'results': (
        'quiet', 'checks', 'environments', 'behaviour', 'training',
        'deployment',
    ),
    'reports': (
        'durable', 'quiet', 'columns', 'checks', 'reading', 'specs', 'networks',
        'environments', 'experience', 'behaviour', 'agent', 'dream',
        'diagnostics', 'training', 'deployment',
    ),
    'commands': (
        'quiet', 'columns', 'children', 'checks', 'environments', 'training',
        'migration', 'distributed', 'sweeps', 'deployment', 'reports',
    ),
}
_PURE = (
    'types', 'checks', 'noise', 'replicas', 'schedules', 'returns',
    'distributions', 'losses', 'optimizers', 'specs',
)
_COMPILED = ('networks', 'world_model', 'behaviour', 'agent')
_FORBIDDEN_FILES = ('utils', 'common', 'base', 'helpers')


def _modules(room=None):
  for path in sorted(_PACKAGE.rglob('*.py')):
    name = path.relative_to(_PACKAGE).with_suffix('').parts[0]
    if name != '__init__' and room in (None, name):
      yield name, path


def _imports(path):
  """Rooms that a module imports from, without its own."""
  rooms = set()
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.ImportFrom) and node.module:
      names = [f'{node.module}.{alias.name}' for alias in node.names]
    elif isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    else:
      continue
    for name in names:
      first, *rest = name.split('.')
      if first == 'dreamerv2_tfa' and rest:
        rooms.add(rest[0])
  return rooms


def test_every_module_has_a_room():
  assert {name for name, _ in _modules()} == set(_ROOMS)


def test_rooms_are_listed_in_the_order_of_their_imports():
  above = set()
  for room, allowed in _ROOMS.items():
    assert set(allowed) <= above, f'{room} imports from below itself'
    above.add(room)


@pytest.mark.parametrize('room', _ROOMS)
def test_a_room_imports_exactly_what_is_listed(room):
  used = set().union(*(_imports(path) for _, path in _modules(room)))
  assert used - {room} == set(_ROOMS[room])


def test_no_module_is_a_drawer_for_everything():
  names = {path.stem for _, path in _modules()}
  assert not names & set(_FORBIDDEN_FILES)


def test_nothing_imports_a_star():
  for _, path in _modules():
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.ImportFrom):
        assert '*' not in [alias.name for alias in node.names], path


@pytest.mark.parametrize('room', _PURE)
def test_pure_modules_do_not_know_gin(room):
  for _, path in _modules(room):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, ast.Import):
        assert 'gin' not in [alias.name for alias in node.names], path


@pytest.mark.parametrize('room', _PURE + _COMPILED)
def test_nothing_that_is_compiled_talks(room):
  for _, path in _modules(room):
    text = path.read_text(encoding='utf-8')
    for word in ('tf.summary', 'tf.print', 'print(', 'check_numerics'):
      assert word not in text, f'{word} in {path}'


# What checks a number returns it as what it was checked to be: 3.0 as 3.
_RETURNING = ('integer', 'number', 'positive')


def _is_dropped(node):
  """Whether a statement calls such a check for nothing but its errors."""
  called = node.value.func if isinstance(node, ast.Expr) and isinstance(
      node.value, ast.Call) else None
  return isinstance(called, ast.Attribute) and called.attr in _RETURNING and (
      ast.unparse(called.value) == 'checks')


def test_every_caller_goes_on_with_the_number_that_a_check_returns():
  dropped = [
      f'{path.name}:{node.lineno}' for _, path in _modules()
      for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
      if _is_dropped(node)
  ]
  assert dropped == []


def test_a_dropped_number_would_be_found():
  found = lambda text: list(map(_is_dropped, ast.parse(text).body))
  assert found('checks.integer("x", x)\ny = checks.integer("y", y)') == [
      True, False]


# Words that are not the field's, or a second word for something: what to write
# instead. As parts of a name they are fine: `outcomes_of`.
_WORDS = {
    'allowed': 'apply', 'blocks': 'num_environments', 'continues':
    'continue_prob', 'discounts': 'discount', 'facts': 'metrics, manifest',
    'goes_on': 'apply, is_finite', 'going_on': 'is_finite', 'held': 'frozen',
    'hold': 'freeze', 'norms': 'metrics', 'outcomes': 'metrics',
    'plan': 'timetable',
}
# Of stored steps of replay; elsewhere batch elements are counted by what they
# are. `Session` is a client's with bin/serve.
_ONLY_IN = {
    'rows': (
        'experience', 'migration', 'training', 'reports', 'dream',
        'diagnostics', 'distributed'),
    'Session': ('deployment',),
}


def _names_in(tree):
  """Names that code gives to something: variables, arguments, attributes."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Name):
      yield node.id
    elif isinstance(node, ast.Attribute):
      yield node.attr
    elif isinstance(node, (ast.arg, ast.keyword)):
      yield node.arg or ''
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
      yield node.name


def _misnamed(room, text):
  """Names in a module's code that another word is meant for."""
  names = {name.strip('_') for name in _names_in(ast.parse(text))}
  wrong = names & set(_WORDS)
  return wrong | {
      name for name, rooms in _ONLY_IN.items()
      if name in names and room not in rooms}


def test_there_is_one_word_for_one_thing():
  wrong = {
      str(path.relative_to(_PACKAGE)): found for name, path in _modules()
      if (found := _misnamed(name, path.read_text(encoding='utf-8')))}
  assert wrong == {}, f'write instead: {_WORDS}'


def test_a_second_word_would_be_found():
  text = 'def f(x, facts):\n  self._held = rows = 1'
  assert _misnamed('agent', text) == {'facts', 'held', 'rows'}
  assert _misnamed('experience', 'outcomes_of = rows') == set()


# Riddles, in what people read; STYLE is in CONTRIBUTING.md.
_RIDDLES = re.compile(
    r'\b(anew|mend(s|ed|ing)?|goes on|go on|going on)\b', re.I)


def _prose():
  """What people read: paths and texts."""
  for folder in ('dreamerv2_tfa', 'docs', 'gin', 'examples', 'bin', 'launch'):
    for path in sorted((_ROOT / folder).rglob('*')):
      if path.is_file() and path.suffix in (
          '.py', '.md', '.gin', '.yaml', '.sh', '') and not (
              {'node_modules', '__pycache__'} & set(path.parts)):
        yield path, path.read_text(encoding='utf-8')
  for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md'):
    yield _ROOT / name, (_ROOT / name).read_text(encoding='utf-8')


def test_prose_is_plain():
  found = [
      f'{path.relative_to(_ROOT)}:{number}: {line.strip()}'
      for path, text in _prose()
      for number, line in enumerate(text.splitlines(), 1)
      if _RIDDLES.search(line) and '| not |' not in line]
  assert found == []


def _without_detours():
  """Direct edges of the table: those that no longer way implies."""
  below = {}
  for room, allowed in _ROOMS.items():
    below[room] = set(allowed).union(*(below[each] for each in allowed))
  return {
      room: sorted(
          each for each in allowed
          if not any(each in below[other] for other in allowed))
      for room, allowed in _ROOMS.items()}


def drawing():
  """The rooms as a Mermaid flowchart, and how long they are as a table."""
  lines = ['```mermaid', 'flowchart TD']
  for room, direct in _without_detours().items():
    lines += [f'  {each} --> {room}' for each in direct] or [f'  {room}']
  lines += ['```', '', '| room | modules | lines |', '|---|---|---|']
  for room in _ROOMS:
    texts = [path.read_text(encoding='utf-8') for _, path in _modules(room)]
    count = sum(len(text.splitlines()) for text in texts)
    hundreds = f'{round(count, -2):,}' if count >= 100 else 'under 100'
    lines.append(f'| `{room}` | {len(texts)} | {hundreds} |')
  return '\n'.join(lines)


def test_the_drawing_is_that_of_the_code():
  text = _PAGE.read_text(encoding='utf-8')
  assert drawing() == text.split(_MARKS[0])[1].split(_MARKS[1])[0].strip(), (
      'run bin/python tests/architecture_test.py')


def test_every_module_is_on_the_map():
  text = _PAGE.read_text(encoding='utf-8')
  missing = [
      str(path.relative_to(_PACKAGE)) for _, path in _modules()
      if path.stem != '__init__' and f'`{path.stem}`' not in text]
  assert missing == []


def test_time_is_shifted_in_one_place_alone():
  for name, path in _modules():
    if name in ('agent', 'training', 'world_model'):
      text = path.read_text(encoding='utf-8')
      assert '[:, 1:]' not in text and '[:, :-1]' not in text, path


def _lines_of_code(function):
  """Lines of the body without the docstring."""
  body = function.body
  if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
    body = body[1:]
  return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_modules_and_functions_stay_short():
  for _, path in _modules():
    text = path.read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 350, path
    for node in ast.walk(ast.parse(text)):
      if isinstance(node, ast.FunctionDef):
        limit = 60 if node.name == '__init__' else 40
        assert _lines_of_code(node) <= limit, f'{path}: {node.name}'


def test_public_functions_and_classes_have_docstrings():
  for _, path in _modules():
    tree = ast.parse(path.read_text(encoding='utf-8'))
    assert ast.get_docstring(tree), path
    for node in tree.body:
      public = isinstance(node, (ast.FunctionDef, ast.ClassDef))
      if public and not node.name.startswith('_'):
        assert ast.get_docstring(node), f'{path}: {node.name}'


if __name__ == '__main__':
  before, _, rest = _PAGE.read_text(encoding='utf-8').partition(_MARKS[0])
  _PAGE.write_text(''.join([
      before, _MARKS[0], '\n', drawing(), '\n', _MARKS[1],
      rest.partition(_MARKS[1])[2]]), encoding='utf-8')
