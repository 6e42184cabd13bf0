"""What the churn of some runs comes to, for programs: JSON and one long table.

Numbers that a reviewer sees and numbers that a program reads come from the same
place, so that they cannot part.
"""

import dataclasses
import math
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import measures as measures_
from ctr_codistill.evaluation.churn import quality as qualities
from ctr_codistill.evaluation.churn import slices as slices_
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.quality import Difference
from ctr_codistill.evaluation.churn.slices import Slice
from ctr_codistill.evaluation.churn.sums import Churn
from ctr_codistill.evaluation.comparison import Comparison

_TOPS = (0.01, 0.1)


@dataclasses.dataclass(frozen=True)
class Found:
  """All figures of a comparison, worked out once.

  Attributes:
    comparison: that they are of.
    measures: of churn, by name.
    quality: means over the runs, by name; empty without labels.
    by_run: the same of each run.
    differences: of each run's quality from the first's.
    slices: the worst first.
  """

  comparison: Comparison
  measures: Mapping[str, Measure]
  quality: Mapping[str, Measure]
  by_run: list[Mapping[str, Measure]]
  differences: list[Difference]
  slices: list[Slice]

  @property
  def rank_measures(self) -> Mapping[str, Measure]:
    """The measures of rank churn by name; empty where not asked for."""
    ranks = self.comparison.ranks
    if not ranks:
      return {}
    tops = {f"top_overlap.{k}": one for k, one in ranks.overlap.items()}
    return {"tau_b": ranks.tau, **tops}


def find(comparison: Comparison) -> Found:
  """Works out all figures of `comparison`, which has examples."""
  churn = comparison.churn
  return Found(
    comparison,
    measures_.of(churn),
    qualities.of(churn) if churn.labelled else {},
    qualities.by_run(churn) if churn.labelled else [],
    qualities.differences(churn) if churn.labelled else [],
    slices_.of(churn, comparison.slicings),
  )


def json_value(found: Found) -> dict[str, Any]:
  """Returns what `churn.json` holds; docs/churn.md says what each key is.

  A measure's value stands under its name; its intervals under the same name in
  `interval_runs` and `interval_examples`.
  """
  churn, ranks = found.comparison.churn, found.comparison.ranks
  value = {
    **_values(found.measures),
    "examples": churn.examples,
    "runs": churn.runs,
    "pairs": len(churn.pairs),
    "interval_runs": _nested(_ends(found.measures, "interval_runs")),
    "interval_examples": _nested(_ends(found.measures, "interval_examples")),
    "by_pair": by_pair(found.comparison),
    "by_run": _by_run(found),
    "by_probability": levels(churn, groups=10).to_dict("records"),
    "quality": _values(found.quality) | _intervals(found.quality),
    "quality_differences": [
      {**dataclasses.asdict(one), "significant": one.significant}
      | {"run": found.comparison.names[one.run]}
      for one in found.differences
    ],
    "slices": [_slice(one) for one in found.slices],
  }
  if churn.runs > 2:
    value["variance"]["in_most_variable"] = concentration(churn)
  if ranks:
    named = found.rank_measures
    value["ranks"] = {"column": ranks.column, "groups": ranks.groups}
    value["ranks"] |= _values(named) | _intervals(named)
  return value


def table(found: Found) -> pd.DataFrame:
  """Returns every figure as a row: what of, its name, value and intervals.

  Columns: scope (churn, ranks, quality, run, slice), column and name (of a run
  or slice), examples, measure, value, and the ends of both intervals, nan where
  there is none.
  """
  rows = []
  for scope, column, name, examples, measures in _scopes(found):
    rows += [
      {
        "scope": scope,
        "column": column,
        "name": name,
        "examples": examples,
        "measure": measure,
        "value": one.value,
        "examples_low": one.interval_examples[0],
        "examples_high": one.interval_examples[1],
        "runs_low": one.interval_runs[0],
        "runs_high": one.interval_runs[1],
      }
      for measure, one in measures.items()
    ]
  return pd.DataFrame(rows)


def by_pair(comparison: Comparison) -> list[dict[str, Any]]:
  """Returns the measures of each pair of runs, by name."""
  names, churn = comparison.names, comparison.churn
  return [
    {
      "first": names[i],
      "second": names[j],
      "mean_absolute": pair.mean_absolute,
      "relative": pair.mean_relative,
      "logit_rms": pair.logit_rms,
      "maximum": pair.maximum,
      "equal": pair.equal_share,
      "flips": dict(zip(churn.thresholds, pair.flip_shares)),
      "shift": pair.shift,
      "scatter": pair.scatter,
      **_won(churn, pair),
    }
    for (i, j), pair in zip(bins.pairs_of(churn.runs), churn.pairs)
  ]


def levels(churn: Churn, *, groups: int) -> pd.DataFrame:
  """Returns up to `groups` rows by prediction, of about as many examples.

  Columns: examples, probability (mean over examples and runs), mean_absolute,
  and with labels click_rate. By the mean logit of the runs.
  """
  counts, (absolute, probability) = (
    churn.counts["levels"],
    churn.floats("levels"),
  )
  before = np.cumsum(counts) - counts / 2
  group = np.floor(before / counts.sum() * groups).astype(int)
  sums = {"examples": counts, "probability": probability}
  sums["mean_absolute"] = absolute
  if churn.labelled:
    sums["click_rate"] = churn.counts["level_clicks"]
  whole = pd.DataFrame(sums)[counts > 0].groupby(group[counts > 0]).sum()
  means = whole.drop(columns="examples").div(whole["examples"], axis=0)
  return pd.concat([whole["examples"], means], axis=1)


def concentration(churn: Churn) -> dict[float, float]:
  """Returns the share of the variance that the most variable examples have.

  By their share of all, such as 0.01; of variance over three runs or more, from
  the histogram of the examples' standard deviations.
  """
  counts = churn.counts["spread"][::-1]
  variance = churn.floats("spread")[::-1]
  if not variance.sum() > 0:
    return dict.fromkeys(_TOPS, math.nan)
  share = np.cumsum(counts) / counts.sum()
  held = np.cumsum(variance) / variance.sum()
  return {
    top: float(np.interp(top, np.append(0, share), np.append(0, held)))
    for top in _TOPS
  }


def _won(churn: Churn, pair: Any) -> dict[str, Any]:
  if pair.wins is None:
    return {}
  lost = pair.flips - pair.wins
  return {
    "wins": dict(zip(churn.thresholds, pair.wins / pair.examples)),
    "losses": dict(zip(churn.thresholds, lost / pair.examples)),
  }


def _by_run(found: Found) -> list[dict[str, Any]]:
  names = found.comparison.names
  qualities_ = found.comparison.qualities or [None] * len(names)
  rows = [
    {"name": name, **(quality.to_dict() if quality else {})}
    for name, quality in zip(names, qualities_)
  ]
  for row, measures in zip(rows, found.by_run):
    row["interval_examples"] = _ends(measures, "interval_examples")
  return rows


def _slice(one: Slice) -> dict[str, Any]:
  return {
    "column": one.column,
    "name": one.name,
    "examples": one.examples,
    **_values(one.measures),
    "interval_examples": _ends(one.measures, "interval_examples"),
    "interval_of_all_slices": dict(one.sure),
    "churn_fdr": one.churn_fdr,
    "churns_beyond_chance": one.churns,
    "calibration_fdr": one.calibration_fdr,
    "miscalibrated_beyond_chance": one.miscalibrated,
  }


def _scopes(
  found: Found,
) -> Iterator[tuple[str, str, str, int, Mapping[str, Measure]]]:
  comparison = found.comparison
  examples = comparison.churn.examples
  yield "churn", "", "", examples, found.measures
  if comparison.ranks:
    column = comparison.ranks.column
    yield "ranks", column, "", examples, found.rank_measures
  yield "quality", "", "", examples, found.quality
  for name, measures in zip(comparison.names, found.by_run):
    yield "run", "", name, examples, measures
  for one in found.slices:
    yield "slice", one.column, one.name, one.examples, one.measures


def _values(measures: Mapping[str, Measure]) -> dict[str, Any]:
  return _nested({name: one.value for name, one in measures.items()})


def _intervals(measures: Mapping[str, Measure]) -> dict[str, Any]:
  kinds = ("interval_runs", "interval_examples")
  return {kind: _nested(_ends(measures, kind)) for kind in kinds}


def _ends(measures: Mapping[str, Measure], kind: str) -> dict[str, Any]:
  """Returns the intervals by name; None where there is none."""
  found = {name: getattr(one, kind) for name, one in measures.items()}
  return {
    name: None if math.isnan(interval[0]) else list(interval)
    for name, interval in found.items()
  }


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
  """Returns {"flips.0.5": x} as {"flips": {"0.5": x}}."""
  found: dict[str, Any] = {}
  for name, value in flat.items():
    head, _, rest = name.partition(".")
    if rest:
      found.setdefault(head, {})[rest] = value
    else:
      found[head] = value
  return found
