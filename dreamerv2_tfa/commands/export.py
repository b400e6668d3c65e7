"""`bin/export`: writes a run's policy for those without this package."""

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

configuration.define('root_dir', 'out', 'task')
_FORMAT = flags.DEFINE_string(
    'format', 'saved_model', "'saved_model', 'tflite' or 'onnx'."
)
_VERIFY = flags.DEFINE_bool(
    'verify', False, 'Write nothing; compare an export with its run again.'
)
PAGE = help_lib.Page(
    'export', 'Writes the greedy policy of a run as files that run without '
    'this package, and compares both in episodes of the environment.',
    '--root_dir=RUN --out=DIR [--flag=VALUE ...]',
    {
        'What to export': [
            ('root_dir=RUN', 'Folder of the run. --logdir is the same flag.'),
            ('task=TASK', "The task whose episodes are compared, where it is "
             "not the run's own.")],
        'Where and how': [
            ('out=DIR', 'Folder of the export; new or empty.'),
            'format=FORMAT'],
        'Look, do not write': ['verify', help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--root_dir=runs/pong --out=exported', 'A TensorFlow SavedModel.'),
        ('--root_dir=runs/pong --out=in_onnx --format=onnx', 'ONNX.'),
        ('--root_dir=runs/pong --out=exported --verify',
         'Compares an export with its run again.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Exports, or verifies, and says what was compared."""
  root_dir, out, task = map(configuration.value, ('root_dir', 'out', 'task'))
  if not root_dir or not out:
    raise checks.UserError(
        f'Which run, and where to? {help_lib.program(PAGE.name)} '
        '--root_dir=RUN --out=DIR.'
    )
  from dreamerv2_tfa.deployment import export  # slow to import
  from dreamerv2_tfa.deployment import manifest

  if _VERIFY.value:
    found = export.verify(root_dir, out, task)
  else:
    found = export.export(root_dir, out, _FORMAT.value, task)
  how = f'to within {found["largest"]:.1e}' if found['differ'] else (
      'in every bit'
  )
  print(
      f'{out} acts as the agent does, {how}: {found["steps"]} steps of '
      f'{found["episodes"]} episodes, in a process without this package.'
  )
  print(
      f'Its policy.json has the SHA-256 {manifest.fingerprint(out)}; as '
      '--trust of bin/serve and trust= of load_policy: this export alone.'
  )
  if rounding := found.get('rounding'):
    print(
        f'It computes in float32, the run in {rounding["precision"]}: '
        f'{rounding["differ"]} of {found["steps"]} actions differ, by '
        f'{rounding["largest"]:.2g} at most.'
    )
  for key in found['by_client']:
    print(
        f'The picture {key!r} is larger than the agent reads. load_policy and '
        'bin/serve shrink it; who calls the files themselves gives it shrunk, '
        'by OpenCV\'s INTER_AREA (policy.json: by_client).'
    )


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
