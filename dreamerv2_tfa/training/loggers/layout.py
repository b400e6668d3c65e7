"""Which charts TensorBoard's tab CUSTOM SCALARS shows, in groups."""

from typing import Any

from tensorboard.plugins.custom_scalar import layout_pb2 as layout_lib
from tensorboard.plugins.custom_scalar import summary

_layout_pb2: Any = layout_lib  # its names are made at import
# Titles, and regular expressions of whole tags. The metrics have the published
# package's names, without a slash, so its other tabs have no groups for them.
_GROUPS = {
    'Evaluation': {
        'return': 'eval_return', 'length': 'eval_length',
        'others': 'eval_(?!return$|length$).*'},
    'Training episodes': {
        'return': 'train_return', 'length': 'train_length',
        'others': 'train_(?!return$|length$).*'},
    'Achievements': {
        'unlocked, %': 'achievement_.*', 'score': 'crafter_score'},
    'World model': {
        'loss': 'model_loss',
        'parts of the loss': '(?!(model|actor|critic|expl)_).*_loss',
        'KL': 'model_kl', 'entropy of prior and posterior': '(prior|post)_ent',
        'gradient norm': 'model_grad_norm',
        'loss scale': 'model_loss_scale'},
    'Actor': {
        'loss': 'actor_loss', 'entropy': 'actor_ent',
        'imagined reward': 'reward_(normed_)?(mean|std)',
        'gradient norm': 'actor_grad_norm',
        'scales': 'actor_(ent_scale|grad_mix|loss_scale)'},
    'Critic': {
        'loss': 'critic_loss', 'value and target': 'critic(_slow|_target)?',
        'gradient norm': 'critic_grad_norm',
        'loss scale': 'critic_loss_scale'},
    'Explorer': {
        'losses': 'expl_.*_loss', 'others': 'expl_(?!.*_loss$).*'},
    'Speed': {
        'frames a second': 'fps', 'updates': 'updates',
        'skipped updates': 'skipped_updates', 'restarts': 'env_restarts'},
}


def pattern(regex: str) -> str:
  """A regular expression of a whole tag; TensorBoard matches beginnings."""
  return f'^{regex}$'


def charts() -> bytes:
  """The groups as TensorBoard reads them: a serialized `tf.Summary`."""
  groups = [
      _layout_pb2.Category(title=group, chart=[
          _layout_pb2.Chart(
              title=title, multiline=_layout_pb2.MultilineChartContent(
                  tag=[pattern(regex)]))
          for title, regex in tags.items()])
      for group, tags in _GROUPS.items()]
  return summary.pb(
      _layout_pb2.Layout(category=groups)).SerializeToString()
