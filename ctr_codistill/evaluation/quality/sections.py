"""The parts of the page on quality, and its tables."""

from collections.abc import Mapping

import pandas as pd

from ctr_codistill.evaluation import pictures
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.quality.figures import Figures
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent

_SHOWN_SLICES = 40
_FORMS = {
  "log_loss": ("log loss", ".5f"),
  "normalized_entropy": ("norm. entropy", ".4f"),
  "auc": ("AUC", ".4f"),
  "calibration": ("calibration", ".3f"),
}


def headline(found: Mapping[str, Figures]) -> pd.DataFrame:
  """Returns the measures with their intervals, a row a snapshot each.

  Four columns, however many snapshots: wider ones wrap, on pages and terminals.
  """
  return pd.DataFrame(
    {
      "measure": title,
      "snapshot": run,
      **_cells("value", figures.measures[name], form, interval="95 %"),
    }
    for name, (title, form) in _FORMS.items()
    for run, figures in found.items()
  )


def sections(found: Mapping[str, Figures]) -> list[Section]:
  """Returns the parts of the page, in their order."""
  first = next(iter(found.values())).quality
  parts = [
    Section(
      "Quality",
      table=headline(found),
      caption="Log loss in nats, lower is better. Norm. entropy: log loss /"
      " that of always predicting the click rate, which is"
      f" {percent(first.base_rate)} here (He et al. 2014). AUC: share of pairs"
      " of a click and another example ranked rightly, from bins of 1/1024 of a"
      f" logit: exact to {number(first.auc_error, '.1g')}. Calibration: clicks"
      " predicted / clicks that came; 1 is right. Intervals of 95 % are over"
      " examples: had other examples come, how would these same models differ?",
    )
  ]
  for run, figures in found.items():
    parts += [_deciles(run, figures), *_slices(run, figures)]
  return parts


def _deciles(run: str, figures: Figures) -> Section:
  table = pd.DataFrame(
    {
      "predictions": f"{percent(one.low)} to {percent(one.high)}",
      "examples": f"{one.examples:,}",
      "mean prediction": percent(one.predicted),
      "clicked": percent(one.clicked),
      **_cells("calibration", one.calibration, ".3f"),
    }
    for one in figures.deciles
  )
  return Section(
    f"Calibration by decile: {run}",
    table=table,
    picture=pictures.bars(
      ["all examples", *(f"decile {i + 1}" for i in range(len(table)))],
      [
        figures.quality.calibration,
        *(one.calibration.value for one in figures.deciles),
      ],
      "clicks predicted / clicks that came",
      right=1.0,
    ),
    caption="Tenths of the examples by their prediction, in bins of 1/32 of a"
    " logit, so that equal predictions stay together. The line is at 1, which"
    " is right.",
  )


def _slices(run: str, figures: Figures) -> list[Section]:
  if not figures.slices:
    return []
  off = sum(one.miscalibrated for one in figures.slices)
  shown = figures.slices[:_SHOWN_SLICES]
  rows = [
    {
      "slice": f"{one.column} = {one.name}",
      "examples": f"{one.examples:,}",
      **_cells("log loss", one.measures["log_loss"], ".5f"),
      **_cells(
        "calibration",
        one.measures["calibration"],
        ".3f",
        mark="*" * one.miscalibrated,
      ),
    }
    for one in shown
  ]
  return [
    Section(
      f"Slices: {run}",
      f"Of {len(figures.slices)} slices {off} are miscalibrated beyond chance.",
      table=pd.DataFrame(rows),
      caption=f"The {len(shown)} with most examples. * beyond chance: tested"
      " against 1, with a false discovery rate of 5 % over all slices of all"
      " columns (Benjamini & Hochberg 1995). Intervals are those of one slice"
      " alone.",
    )
  ]


def _cells(
  title: str,
  measure: Measure,
  form: str,
  *,
  interval: str = "",
  mark: str = "",
) -> dict[str, str]:
  low, high = measure.interval_examples
  ends = f"{number(low, form)} – {number(high, form)}"
  value = number(measure.value, form) + mark
  return {title: value, interval or f"{title}, 95 %": ends}
