"""The churn of some runs as `churn.json`, a short table, and one page.

Written for a launch review: each number stands beside what it says, and churn
beside quality, since either is easily had at the cost of the other.
"""

import os
import pathlib
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import pictures
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import sums
from ctr_codistill.evaluation.churn import tables
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent
from ctr_codistill.evaluation.report import plain

_SHOWN_PAIRS = 20
_GROUPS = 10


def write(
  comparison: Comparison,
  output: str | os.PathLike,
  *,
  title: str = "Churn between retrains",
) -> pathlib.Path:
  """Writes `churn.json` and `report.html` in `output`; returns the latter.

  Args:
    comparison: of runs with at least one example.
    output: directory, made if missing.
    title: of the page.
  """
  output = pathlib.Path(output)
  output.mkdir(parents=True, exist_ok=True)
  stamped.write_json(output / "churn.json", plain(facts(comparison)))
  path = output / "report.html"
  text = page.page(title, _lead(comparison), _sections(comparison))
  stamped.write_text(path, text)
  return path


def facts(comparison: Comparison) -> dict[str, Any]:
  """Returns what `churn.json` holds: means over the pairs, then each of them.

  Shares are in [0, 1]; `shift` is the mean size of the pairs' shifts.
  """
  churn = comparison.churn
  return {
    "mean_absolute": churn.mean_absolute,
    "relative": churn.mean_relative,
    "examples": churn.examples,
    "runs": churn.runs,
    "pairs": len(churn.pairs),
    "logit_rms": churn.mean("logit_rms"),
    "quantiles": {q: churn.quantile(q) for q in (0.5, 0.9, 0.99)},
    "maximum": churn.maximum,
    "equal": churn.mean("equal_share"),
    "flips": dict(zip(churn.thresholds, churn.flip_shares)),
    "shift": churn.shift,
    "scatter": churn.mean("scatter"),
    "by_pair": tables.by_pair(comparison),
    "by_run": tables.by_run(comparison),
    "by_probability": tables.levels(churn, groups=_GROUPS).to_dict("records"),
  }


def text(comparison: Comparison) -> str:
  """Returns the headline numbers, and each run's quality, for a terminal."""
  parts = [page.text_table(tables.headline(comparison.churn).iloc[:, :2])]
  if comparison.qualities:
    parts.append(page.text_table(tables.quality(comparison)))
  return "\n\n".join(parts)


def _lead(comparison: Comparison) -> str:
  churn = comparison.churn
  return (
    f"Two of these {churn.runs} runs differ by {churn.mean_absolute:#.3g} on"
    " average in the probability of a click that they predict for the same"
    f" example, or by {percent(churn.mean_relative)} of the prediction.\n\n"
    f"Runs: {', '.join(comparison.names)}. Examples: {churn.examples:,}."
    f" Pairs of runs: {len(churn.pairs)}. Churn is meant between independent"
    " trainings, never between models that learned from each other."
  )


def _sections(comparison: Comparison) -> list[Section]:
  churn = comparison.churn
  sections = [
    Section(
      "How far the runs differ",
      table=tables.headline(churn),
      prose=True,
      caption="p and q are the predictions of two runs for the same example;"
      " all but the largest difference are means over the pairs of runs.",
    ),
    *_quality(comparison),
    _pairs(comparison),
  ]
  if churn.maximum > 0:
    sections += [*_differences(churn), _density(comparison), _profile(churn)]
  return sections


def _quality(comparison: Comparison) -> list[Section]:
  if not comparison.qualities:
    return [Section("Quality of each run", "The files have no labels.")]
  one = comparison.qualities[0]
  return [
    Section(
      "Quality of each run",
      table=tables.quality(comparison),
      caption="Log loss in nats, lower is better. AUC: share of pairs of a"
      " click and another example ranked rightly, higher is better (exact to"
      f" {number(one.auc_error, '.1g')}). Norm. entropy: log loss / that of"
      " always predicting the click rate, which is"
      f" {percent(one.base_rate)} here (He et al. 2014). Calibration: clicks"
      " predicted / clicks that came; 1 is right.",
    )
  ]


def _pairs(comparison: Comparison) -> Section:
  total = len(comparison.churn.pairs)
  shown = f" The {_SHOWN_PAIRS} with most churn of {total} pairs."
  return Section(
    "Each pair of runs",
    table=tables.pairs(comparison, most=_SHOWN_PAIRS),
    caption="Most churn first. Shift is the mean of p − q, first run minus"
    " second." + (shown if total > _SHOWN_PAIRS else ""),
  )


def _differences(churn: Churn) -> list[Section]:
  counts = churn.total("histogram")
  if not counts[1:].any():
    return []
  return [
    Section(
      "How often they differ by how much",
      picture=pictures.differences(counts, sums.difference_edges()),
      caption="All pairs together; 32 bars to a factor of ten. Differences"
      " too rare and small to show are left out; below 1e-7 are"
      f" {percent(counts[0] / counts.sum())} of the examples.",
    )
  ]


def _density(comparison: Comparison) -> Section:
  pairs = comparison.churn.pairs
  worst = max(range(len(pairs)), key=lambda i: pairs[i].absolute)
  i, j = sums.pairs_of(comparison.churn.runs)[worst]
  return Section(
    "One run against another",
    picture=pictures.density(
      pairs[worst].density,
      sums.level_edges(),
      first=comparison.names[i],
      second=comparison.names[j],
    ),
    caption="The pair with most churn. Each cell is 1/8 of a logit wide; its"
    " colour is the number of examples. Without churn all lie on the red line;"
    " a cloud to one side of it is a systematic shift.",
  )


def _profile(churn: Churn) -> Section:
  levels = tables.levels(churn, groups=_GROUPS)
  return Section(
    "Churn by predicted probability",
    picture=pictures.levels(
      levels["probability"].to_numpy(), levels["mean_absolute"].to_numpy()
    ),
    caption=f"Examples in up to {_GROUPS} groups of about equal number, by the"
    " mean logit of the pair. Left the mean absolute difference, right the same"
    " as a share of the prediction.",
  )
