"""Pictures of a report, as inline SVG: functions from numbers to a string."""

import math
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.ticker import PercentFormatter

from ctr_codistill.evaluation import drawing
from ctr_codistill.evaluation import leaders

_LEADER = {
  "arrowstyle": "-",
  "color": "#b8c0c8",
  "linewidth": 0.7,
  "shrinkA": 1,
}
_LABELS = 1.04  # x of the names beside the points, in widths of the axes
# Probabilities marked on a logit axis, the commonest first.
_MARKS = (0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 0.9, 0.99, 0.999, 0.03, 0.3, 0.7)


def differences(counts: np.ndarray, edges: np.ndarray) -> str:
  """Draws how often two runs differ by how much, on a logarithmic axis.

  Args:
    counts: `[bins]`, examples by |p - q|; bins to the left that
      would not show, and the first, of (almost) equal ones, are left out.
      One of the others should hold something.
    edges: `[bins + 1]` of the bins, ascending.
  """
  share = counts[1:] / counts.sum()
  first = np.argmax(share > share.max() / 1000)
  shown = slice(first, np.flatnonzero(share)[-1] + 1)
  with mpl.rc_context(drawing.STYLE):
    figure, axes = drawing.figure(2.6)
    axes.stairs(
      share[shown],
      edges[1:][shown.start : shown.stop + 1],
      fill=True,
      color=drawing.BLUE,
    )
    axes.set_xscale("log")
    axes.set_xlabel("difference |p − q| (log scale)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_ylabel("share of examples")
    return drawing.svg(figure, "differences", "Histogram of differences")


def density(
  counts: np.ndarray, edges: np.ndarray, *, first: str, second: str
) -> str:
  """Draws how often one run predicts p where the other predicts q.

  Args:
    counts: `[bins, bins]`, examples by p (rows) and q (columns).
    edges: `[bins + 1]` of the bins, as probabilities, evenly spaced in logits.
    first: name of the run that predicts p.
    second: name of the run that predicts q.
  """
  used = np.flatnonzero(counts.sum(0) + counts.sum(1))
  shown = slice(max(used[0] - 2, 0), used[-1] + 3)
  cells = counts[shown, shown]
  logits = _logit(edges[shown.start : shown.start + len(cells) + 1])
  span = (logits[0], logits[-1])
  with mpl.rc_context(drawing.STYLE | {"axes.grid": False}):
    figure, axes = drawing.figure(4.6)
    image = axes.imshow(
      np.ma.masked_equal(cells.T, 0),
      origin="lower",
      extent=(*span, *span),
      cmap="viridis_r",
      norm=LogNorm(1, max(2, cells.max())),
      interpolation="nearest",
    )
    axes.plot(span, span, color=drawing.RED, linewidth=0.8, label="p = q")
    axes.legend(loc="upper left", frameon=False)
    _probability_axis(axes.xaxis, span)
    _probability_axis(axes.yaxis, span)
    axes.set_xlabel(f"probability by {_short(first)} (logit scale)")
    axes.set_ylabel(f"probability by {_short(second)} (logit scale)")
    figure.colorbar(image, ax=axes, label="examples in a cell")
    return drawing.svg(
      figure, "density", "Predictions of one run against the other"
    )


def levels(probability: np.ndarray, absolute: np.ndarray) -> str:
  """Draws churn by the size of the prediction, absolute and relative.

  Args:
    probability: `[groups]`, mean prediction of each group of examples.
    absolute: `[groups]`, mean |p - q| of each.
  """
  logits = _logit(probability)
  span = (logits.min() - 0.3, logits.max() + 0.3)
  panels = {
    "mean |p − q|": absolute,
    "mean |p − q| / mean p": absolute / probability,
  }
  with mpl.rc_context(drawing.STYLE):
    figure = Figure(figsize=(drawing.WIDTH, 2.7), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 2), panels.items()):
      axes.plot(logits, values, "o-", color=drawing.BLUE, markersize=4)
      axes.set_ylim(0, 1.1 * values.max() or 1)
      axes.set_xlim(span)
      _probability_axis(axes.xaxis, span)
      axes.set_xlabel("predicted probability (logit scale)")
      axes.set_ylabel(name)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    return drawing.svg(figure, "levels", "Churn by predicted probability")


def trade_off(
  names: Sequence[str],
  churn: Sequence[float],
  loss: Sequence[float],
  *,
  churn_within: Sequence[Sequence[float]],
  loss_within: Sequence[Sequence[float]],
) -> str:
  """Draws each arm as a point: churn to the right, log loss upwards.

  The names stand in a column beside the points, so that no two overlap, however
  near their points are, and ordered so that no two lines to them cross.
  Intervals are drawn as bars, those of nan are not.
  """
  labels = [textwrap.fill(name, 34) for name in names]
  lines = sum(label.count("\n") + 1.6 for label in labels)
  with mpl.rc_context(drawing.STYLE):
    figure, axes = drawing.figure(max(3.2, 0.16 * lines + 0.8))
    colours = _arm_colours(len(names))
    axes.hlines(loss, *_ends(churn, churn_within), color=colours, alpha=0.5)
    axes.vlines(churn, *_ends(loss, loss_within), color=colours, alpha=0.5)
    axes.scatter(churn, loss, color=colours, zorder=3)
    axes.margins(0.12)
    axes.set_xlabel("churn: mean |p − q| between retrains (lower is better)")
    axes.set_ylabel("log loss in nats (lower is better)")
    _label_beside(axes, labels, churn, loss)
    return drawing.svg(
      figure, "trade-off", "Churn against log loss of each arm"
    )


def bars(
  names: Sequence[str],
  values: Sequence[float],
  axis: str,
  *,
  right: float | None = None,
) -> str:
  """Draws one bar an arm, its value at the end, and a line at the first's.

  Args:
    names: of the arms.
    values: 0 or more; nan where it was not measured.
    axis: what the values are, with their unit.
    right: what every value should be: the line is here, and no value is
      compared with the first.
  """
  labels = [textwrap.fill(name, 34) for name in names]
  lines = sum(label.count("\n") + 2.0 for label in labels)
  heights = np.nan_to_num(np.asarray(values, float))
  with mpl.rc_context(drawing.STYLE | {"axes.grid": False}):
    figure, axes = drawing.figure(max(1.4, 0.145 * lines + 0.7))
    place = np.arange(len(names))
    drawn = axes.barh(place, heights, color=_arm_colours(len(names)))
    marks = [
      _percent(v, values[0] if i and right is None else math.nan)
      for i, v in enumerate(values)
    ]
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.bar_label(drawn, marks, padding=4, bbox=white)
    line = heights[0] if right is None else right
    axes.axvline(line, color=drawing.GREY, linewidth=0.8, linestyle=":")
    axes.set_yticks(place, labels)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.28 * max(heights.max(), right or 0) or 1)
    axes.set_xlabel(axis)
    return drawing.svg(figure, "bars", axis)


def curves(
  lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], axis: str
) -> str:
  """Draws values over steps, one line a name.

  Args:
    lines: `[points]` steps and `[points]` values of each.
    axis: what the values are, with their unit.
  """
  with mpl.rc_context(drawing.STYLE):
    figure, axes = drawing.figure(3.2 + 0.17 * math.ceil(len(lines) / 2))
    colours = mpl.colormaps["tab10"].colors
    for i, (name, (steps, values)) in enumerate(lines.items()):
      style = ("-", "--", ":", "-.")[i // 10 % 4]
      axes.plot(
        steps, values, style, color=colours[i % 10], label=name, linewidth=1.3
      )
    axes.set_xlabel("step")
    axes.set_ylabel(axis)
    figure.legend(loc="outside lower left", ncols=2, frameon=False)
    return drawing.svg(figure, axis, f"{axis} over steps")


def _percent(value: float, first: float) -> str:
  """Returns a bar's mark: its value, and how far from the first's."""
  if math.isnan(value) or math.isnan(first) or not first:
    return "not measured" if math.isnan(value) else f"{value:#.3g}"
  return f"{value:#.3g}  ({100 * (value / first - 1):+.0f} %)"


def _label_beside(
  axes: Axes,
  labels: Sequence[str],
  x: Sequence[float],
  y: Sequence[float],
) -> None:
  """Writes labels in a column to the right, with a line to each point."""
  axes.autoscale_view()
  points = axes.transLimits.transform(np.column_stack([x, y]))
  lines = [label.count("\n") + 1 for label in labels]
  heights = [n + 0.6 for n in lines]
  for i, top in leaders.order(points, heights, right=_LABELS):
    axes.annotate(
      labels[i],
      (x[i], y[i]),
      (_LABELS, top),
      textcoords="axes fraction",
      va="top",
      fontsize=8,
      # From the middle of the first line, however many there are.
      arrowprops={**_LEADER, "relpos": (0, 1 - 0.5 / lines[i])},
      annotation_clip=False,
    )


def _ends(
  values: Sequence[float], within: Sequence[Sequence[float]]
) -> np.ndarray:
  """Returns where bars begin and end: `[2, arms]`."""
  found = np.asarray(within, float).reshape(-1, 2).T
  return np.where(np.isfinite(found), found, values)


def _arm_colours(arms: int) -> list[str]:
  return [drawing.GREY] + [drawing.BLUE] * (arms - 1)


def _logit(probability: np.ndarray) -> np.ndarray:
  return np.log(probability) - np.log1p(-probability)


def _probability_axis(axis: Axis, span: tuple[float, float]) -> None:
  """Marks probabilities on an axis of logits, as many as have room."""
  chosen: list[float] = []
  for mark in _MARKS:
    place = _logit(np.float64(mark))
    near = any(abs(place - other) < (span[1] - span[0]) / 9 for other in chosen)
    if span[0] <= place <= span[1] and not near:
      chosen.append(place)
  axis.set_ticks(chosen, [_label(place) for place in chosen])


def _label(place: float) -> str:
  return f"{100 / (1 + math.exp(-place)):.4g} %"


def _short(name: str) -> str:
  return textwrap.shorten(name, 32, placeholder="…")
