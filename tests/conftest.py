"""Makes `small` importable: pytest's importlib mode leaves the path alone."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
