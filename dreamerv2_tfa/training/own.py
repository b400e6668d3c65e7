"""Objects of the user's own that a setting names, `module:name` each."""

from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa import late
from dreamerv2_tfa.environments import tasks


def load(setting: str, what: str, name: Any) -> Any:
  """Imports an object by its name.

  Args:
    setting: Such as 'train.callbacks'.
    what: What one of its names is called, such as 'callback'.
    name: `module:name`. The module is in the working directory or installed;
      importing it runs it.

  Raises:
    UserError: If there is none of this name.
  """
  if not isinstance(name, str):
    raise checks.UserError(
        f'{setting} must be names, module:function each; got {name!r}.')
  module, separator, attribute = name.partition(':')
  tasks.find_modules_here()
  try:
    if not separator:
      raise ImportError('it names no module')
    return getattr(late.imported(module), attribute)
  except (ImportError, AttributeError, ValueError) as error:
    raise checks.UserError(
        f'There is no {what} {name!r}: {error}. Wanted module:function, with '
        'the module importable from here.'
    ) from error
