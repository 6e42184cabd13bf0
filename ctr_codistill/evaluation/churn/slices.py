"""Churn and calibration by slice, the worst first, with chance kept in check.

With a hundred slices some differ from the rest by chance alone. So each is
tested (against all other examples, for churn; against 1, for calibration), and
what is called beyond chance is so with a false discovery rate of 5 % over all
slices of all columns (Benjamini & Hochberg 1995): of those marked, about one in
twenty is marked wrongly. Intervals beside the figures are those of one slice
alone; `Slice.sure` has those that hold for all of them at once (Bonferroni).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import chunk
from ctr_codistill.evaluation.churn import resampling
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.churn.sums import Churn

RATE = 0.05
"""False discovery rate of what is called beyond chance."""
_FEWEST_CLICKS = 10  # for a test of calibration: below, no normal holds


@dataclasses.dataclass(frozen=True)
class Slice:
  """What one slice comes to.

  Attributes:
    column: by which it was cut.
    name: of the slice.
    examples: in it.
    measures: by name: mean_absolute, relative, logit_rms, and with labels
      calibration and log_loss, means over the runs.
    sure: intervals of them that hold for all slices at once.
    churn_fdr: least false discovery rate at which its mean |p - q| would be
      called other than all other examples', a p adjusted by Benjamini and
      Hochberg; nan where it could not be tested.
    calibration_fdr: the same of its calibration against 1.
    more: whether its mean |p - q| is above that of all other examples.
  """

  column: str
  name: str
  examples: int
  measures: dict[str, Measure]
  sure: dict[str, intervals.Interval]
  churn_fdr: float
  calibration_fdr: float
  more: bool

  @property
  def churns(self) -> bool:
    """Tells whether it churns more than the rest, beyond chance."""
    return self.more and self.churn_fdr <= RATE

  @property
  def miscalibrated(self) -> bool:
    """Tells whether its calibration is off, beyond chance."""
    return self.calibration_fdr <= RATE


def names(*, is_labelled: bool) -> tuple[str, ...]:
  """Returns the names of a slice's measures."""
  own = ("mean_absolute", "relative", "logit_rms")
  return own + ("calibration", "log_loss") * is_labelled


def of(churn: Churn, slicings: Sequence[Slicing]) -> list[Slice]:
  """Returns the slices that have examples: the worst first.

  First those that churn more than the rest beyond chance, then all others,
  either by their mean |p - q|.
  """
  found = [one for cut in slicings for one in _column(churn, cut)]
  churn_fdr = _adjusted([one["churn_p"] for one in found])
  calibration_fdr = _adjusted([one["calibration_p"] for one in found])
  level = 1 - (1 - intervals.LEVEL) / max(len(found), 1)
  slices = [
    Slice(
      column=one["column"],
      name=one["name"],
      examples=one["examples"],
      measures=one["measures"],
      sure={
        name: _around(measure.value, one["errors"][name], one["free"], level)
        for name, measure in one["measures"].items()
      },
      churn_fdr=fdr,
      calibration_fdr=calibration,
      more=one["more"],
    )
    for one, fdr, calibration in zip(found, churn_fdr, calibration_fdr)
  ]
  return sorted(
    slices, key=lambda s: (not s.churns, -s.measures["mean_absolute"].value)
  )


def _column(churn: Churn, cut: Slicing) -> list[dict]:
  counts = churn.counts[f"slice_examples {cut.column}"]
  weights = resampling.weights()
  ones = np.ones((1, bins.BUCKETS))
  whole, drawn = (_figures(churn, cut, w) for w in (ones, weights))
  return [
    _slice(cut, number, int(counts[number].sum()), whole, drawn)
    for number in range(len(cut.names))
    if counts[number].any()
  ]


def _figures(
  churn: Churn, cut: Slicing, weights: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the measures of all slices: `[weightings, slices]` each."""
  counts = weights @ churn.counts[f"slice_examples {cut.column}"].T
  sums = np.moveaxis(churn.floats(f"slice {cut.column}") @ weights.T, -1, 1)
  absolute = sums[chunk.SLICE_ABSOLUTE]
  others = counts.sum(axis=1, keepdims=True) - counts
  with np.errstate(invalid="ignore", divide="ignore"):
    found = {
      "mean_absolute": absolute / counts,
      "relative": sums[chunk.SLICE_RELATIVE] / counts,
      "logit_rms": np.sqrt(sums[chunk.SLICE_LOGIT_SQUARED] / counts),
      "above_others": absolute / counts
      - (absolute.sum(axis=1, keepdims=True) - absolute) / others,
    }
    if churn.labelled:
      clicks = weights @ churn.counts[f"slice_clicks {cut.column}"].T
      first, last = chunk.HEAD, chunk.HEAD + churn.runs
      found["calibration"] = sums[first:last].mean(axis=0) / clicks
      found["log_loss"] = sums[last:].mean(axis=0) / counts
      found["clicks"] = clicks
  return {n: np.where(np.isfinite(v), v, np.nan) for n, v in found.items()}


def _slice(
  cut: Slicing,
  number: int,
  examples: int,
  whole: dict[str, np.ndarray],
  drawn: dict[str, np.ndarray],
) -> dict:
  value = {name: float(v[0, number]) for name, v in whole.items()}
  clicks = value.pop("clicks", 0.0)
  above = value.pop("above_others")
  replicates = {name: drawn[name][:, number] for name in (*value,)}
  errors = {name: _error(values) for name, values in replicates.items()}
  free = min(examples, bins.BUCKETS) - 1
  off = value.get("calibration", np.nan) - 1
  return {
    "column": cut.column,
    "name": cut.names[number],
    "examples": examples,
    "measures": {
      name: Measure(value[name], interval_examples=_interval(replicates[name]))
      for name in value
    },
    "errors": errors,
    "free": free,
    "more": above > 0,
    "churn_p": _p(above, _error(drawn["above_others"][:, number]), free),
    "calibration_p": _p(off, errors["calibration"], free)
    if clicks >= _FEWEST_CLICKS
    else np.nan,
  }


def _interval(values: np.ndarray) -> intervals.Interval:
  low, high = intervals.of_replicates(values)
  return float(low), float(high)


def _error(values: np.ndarray) -> float:
  known = values[np.isfinite(values)]
  return float(known.std()) if len(known) else np.nan


def _p(value: float, error: float, free: int) -> float:
  """Returns the two-sided p of a value whose truth may be 0; nan if unknown."""
  if not error > 0 or free < 1:
    return np.nan
  return float(2 * stats.t.sf(abs(value) / error, free))


def _around(
  value: float, error: float, free: int, level: float
) -> intervals.Interval:
  if free < 1:
    return intervals.NOTHING
  half = float(stats.t.ppf((1 + level) / 2, free)) * error
  return value - half, value + half


def _adjusted(values: Sequence[float]) -> np.ndarray:
  """Returns p-values adjusted by Benjamini and Hochberg; nan stays nan."""
  found = np.array(values, float)
  known = np.isfinite(found)
  if known.any():
    found[known] = stats.false_discovery_control(found[known])
  return found
