"""Draws `reliable.Comparison`: interquartile mean, profile, improvement."""

from typing import Any

from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.reports import plots
from dreamerv2_tfa.reports import reliable

_MOST = 12  # pairs that are drawn


def figure(
    comparison: reliable.Comparison, style: dict[str, plots.Style],
) -> Any:
  """Draws three panels side by side.

  Args:
    comparison: What rliable has computed.
    style: By method, see `plots.styles`.

  Returns:
    A matplotlib `Figure`.
  """
  methods = list(comparison.interquartile_mean)
  pairs = list(comparison.improvement)[:_MOST]
  height = max(2.4, 0.8 + 0.35 * len(methods), 0.8 + 0.5 * len(pairs))
  drawn = extras.load('matplotlib.figure', 'reports').Figure(
      figsize=(4.2 * (2 + bool(pairs)), height + 0.9), layout='constrained')
  axes = drawn.subplots(1, 2 + bool(pairs), squeeze=False).flatten()
  colors = [style[name].color for name in methods]
  _dots(
      axes[0], [comparison.interquartile_mean[name] for name in methods],
      [style[name].label for name in methods], colors)
  axes[0].set_title('Interquartile mean, normalised', fontsize=10)
  _profiles(axes[1], comparison, style)
  if pairs:
    _dots(
        axes[2], [comparison.improvement[pair] for pair in pairs],
        [f'{style[one].label}\nover {style[two].label}' for one, two in pairs],
        [style[one].color for one, _ in pairs])
    axes[2].axvline(0.5, color='#999999', linestyle=':', linewidth=1)
    axes[2].set_xlim(-0.05, 1.05)
    axes[2].set_title('Probability of improvement', fontsize=10)
  for each in axes:
    each.tick_params(labelsize=8)
    for side in ('top', 'right'):
      each.spines[side].set_visible(False)
  drawn.suptitle(
      f'At {plots.short(comparison.at)} frames, {len(comparison.tasks)} tasks; '
      '95% intervals by rliable', fontsize=11)
  return drawn


def _dots(axes, estimates, labels, colors):
  """A dot and its interval a line, the first at the top."""
  for index, (each, color) in enumerate(zip(estimates, colors, strict=True)):
    value, low, high = (float(x[0]) for x in each)
    axes.plot([low, high], [index] * 2, color=color, linewidth=5, alpha=0.35,
              solid_capstyle='butt')
    axes.plot([value], [index], color=color, marker='o', markersize=5)
    axes.annotate(
        f'{value:.2f}', (value, index), xytext=(0, 7), fontsize=8,
        textcoords='offset points', ha='center')
  axes.set_yticks(range(len(labels)), labels)
  for label, color in zip(axes.get_yticklabels(), colors, strict=True):
    label.set_color(color)
  axes.set_ylim(len(labels) - 0.4, -0.7)
  axes.margins(x=0.1)


def _profiles(axes, comparison, style):
  """Share of runs above each score."""
  for name, each in comparison.profiles.items():
    own = style[name]
    axes.fill_between(
        comparison.taus, each.low, each.high, color=own.color, alpha=0.15,
        linewidth=0)
    axes.plot(comparison.taus, each.value, color=own.color, linewidth=1.5)
  axes.set_ylim(0, 1.02)
  axes.set_xlim(comparison.taus[0], comparison.taus[-1])
  axes.set_xlabel('normalised score', fontsize=9)
  axes.set_ylabel('share of runs above it', fontsize=9)
  axes.set_title('Performance profile', fontsize=10)
