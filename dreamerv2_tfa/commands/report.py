"""`bin/report`: what runs are, and how they do, as one HTML page."""

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

_MOST = 1000  # runs of a page
configuration.define('out')
PAGE = help_lib.Page(
    'report', 'Writes one HTML page of runs that opens without a network: '
    'returns over the published range and a verdict, losses, protocol, '
    'differences from the preset, warnings, and the time left. A run may be '
    'training meanwhile.',
    'RUN [RUN ...] [--out=FILE]',
    {
        'What to show': [
            ('RUN', 'Folder of a run; several are shown side by side.')],
        'Where': [(
            'out=FILE', 'File to write. Without it: report.html in the folder '
            'of the one run.')],
        'Look, do not write': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('runs/pong', 'Writes runs/pong/report.html.'),
        ('runs/pong --out=pong.html', 'Writes pong.html.'),
        ('runs/pong-0 runs/pong-1 --out=pong.html', 'Two runs in one page.'),
    ],
)


def run(argv: list[str]) -> None:
  """Writes the page, and says where it is."""
  if not argv[1:]:
    raise checks.UserError(
        f'Which run? {help_lib.program(PAGE.name)} RUN, the folder that '
        'bin/train --root_dir has written.')
  from dreamerv2_tfa.reports import report  # after the flags: slow

  path = report.write(argv[1:], configuration.value('out'))
  print(f'Written: {path}.')


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE, words=_MOST)


if __name__ == '__main__':
  main()
