"""Calls that turn data into code: where the package has them, and nowhere else.

`ast.literal_eval` and `json` read values alone, and are fine.
"""

import ast
import pathlib

import pytest

_PACKAGE = pathlib.Path(__file__).resolve().parents[2] / 'dreamerv2_tfa'
_BUILT_IN = ('eval', 'exec', 'compile', '__import__', 'breakpoint')
_MODULES = (  # any use of these
    'pickle', 'cloudpickle', 'dill', 'marshal', 'shelve', 'joblib', 'yaml',
    'runpy', 'code', 'subprocess',
)
_CALLS = (  # by the end of their name
    'os.system', 'os.popen', 'importlib.import_module',
    'importlib.util.spec_from_file_location', 'saved_model.load', 'np.load',
    'keras.models.load_model', 'gin.parse_config', 'gin.parse_config_file',
    # A file that is read whole, whatever it is: `reading` has a bound.
    'read_text', 'read_bytes',
)
_KNOWN = {
    # Between the processes of one user, over pipes.
    'environments/parallel.py': {'cloudpickle'},
    'environments/server.py': {'pickle', 'subprocess'},
    'environments/worker.py': {'pickle', 'cloudpickle'},
    # An unpickler that admits NumPy's arrays alone.
    'migration/weights.py': {'pickle'},
    # This package's own modules, by a table.
    'deployment/formats/__init__.py': {'importlib.import_module'},
    'environments/extras.py': {'importlib.import_module'},
    # This package's own, and what the user names: tasks.
    'late.py': {'importlib.import_module'},
    # Gin files; `recorded.check` comes before it, for a run's file.
    'training/config.py': {'gin.parse_config', 'gin.parse_config_file'},
    # `trust.check` comes before it; the player plays what was exported.
    'deployment/formats/saved_model.py': {'saved_model.load'},
    'deployment/player.py': {
        'importlib.util.spec_from_file_location', 'np.load', 'read_text'},
    'deployment/formats/tflite.py': {'read_bytes'},
    'deployment/export.py': {'subprocess'},
    'children.py': {'subprocess'},
    'distributed/group.py': {'subprocess'},
    'sweeps/sweep.py': {'subprocess'},
    # Arrays, without pickle.
    'reading.py': {'np.load'},
    'migration/order.py': {'np.load'},
    # Of this machine, this package, or named by the user.
    'devices.py': {'read_text'},
    'reports/page.py': {'read_text'},
    'experience/memory.py': {'read_text'},
    'training/precision.py': {'read_text'},
    'training/presets.py': {'read_text'},
    'training/bindings.py': {'read_text'},
    'training/gin_files.py': {'read_text', 'read_bytes'},
    'environments/seal.py': {'read_bytes'},
    'commands/serve.py': {'read_text'},
}


def _found(text):
  """The names of what a module's code imports and calls of these."""
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [node.module or '']
    else:
      names = []
    yield from ({name.partition('.')[0] for name in names} & set(_MODULES))
    if isinstance(node, ast.Name) and node.id in _BUILT_IN:
      yield node.id
    elif isinstance(node, ast.Attribute):
      name = ast.unparse(node)
      yield from (each for each in _CALLS if f'.{name}'.endswith(f'.{each}'))
    elif isinstance(node, ast.keyword) and not (
        isinstance(node.value, ast.Constant) and node.value.value is False):
      if node.arg in ('allow_pickle', 'shell'):
        yield f'{node.arg}={ast.unparse(node.value)}'


def _package():
  return {
      path.relative_to(_PACKAGE).as_posix(): set(
          _found(path.read_text(encoding='utf-8')))
      for path in sorted(_PACKAGE.rglob('*.py'))}


def test_data_becomes_code_where_it_is_known_to_and_nowhere_else():
  assert {name: found for name, found in _package().items() if found} == _KNOWN


@pytest.mark.parametrize('planted, found', [
    ('import pickle', 'pickle'), ('from yaml import load', 'yaml'),
    ('x = eval(y)', 'eval'), ('run = exec', 'exec'),
    ('np.load(path, allow_pickle=True)', 'allow_pickle=True'),
    ('np.load(path, allow_pickle=flag)', 'allow_pickle=flag'),
    ('subprocess.run(x, shell=True)', 'shell=True'),
    ('tf.saved_model.load(path)', 'saved_model.load'),
    ('os.system(x)', 'os.system'),
])
def test_a_planted_call_is_found(planted, found):
  assert found in set(_found(planted))
