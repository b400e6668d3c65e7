"""Text in columns, laid out by rich: the same in a terminal and in a file."""

from collections.abc import Iterable
from collections.abc import Sequence
import io

from rich import box
from rich import console
from rich import table

_WIDE = 10_000  # characters: nothing is wrapped


def layout(
    lines: Iterable[Sequence[str]], *, numbers: bool = False,
    width: int = _WIDE, indent: int = 0,
) -> str:
  """Lays cells out, with two spaces between the columns.

  Args:
    lines: The cells of each line, as many in each.
    numbers: Whether all columns but the first are aligned to the right.
    width: Characters of a line; the last column is wrapped to fit.
    indent: Spaces before each line.
  """
  lines = list(lines)
  grid = table.Table(
      box=box.SIMPLE, show_header=False, show_edge=False, pad_edge=False,
      padding=(0, 2, 0, 0),
  )
  count = len(lines[0]) if lines else 0
  for index in range(count):
    grid.add_column(
        justify='right' if numbers and index else 'left',
        no_wrap=index < count - 1 or width == _WIDE,
    )
  for line in lines:
    grid.add_row(*line)
  file = io.StringIO()
  console.Console(
      file=file, width=width - indent, markup=False, highlight=False,
      color_system=None, force_terminal=False,
  ).print(grid)
  return '\n'.join(
      (' ' * indent + line).rstrip() for line in file.getvalue().splitlines()
  )
