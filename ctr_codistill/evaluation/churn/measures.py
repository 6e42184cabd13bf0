"""The measures of churn by name, each with an interval of either kind.

A measure is the mean over the pairs of runs of what each pair has; quantiles
are of the differences of all pairs together. docs/churn.md lists them with
formula, source and unit.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import chunk
from ctr_codistill.evaluation.churn import resampling
from ctr_codistill.evaluation.churn import sums
from ctr_codistill.evaluation.churn.resampling import Totals
from ctr_codistill.evaluation.churn.sums import Churn
from ctr_codistill.evaluation.intervals import Interval

SHARES = (0.5, 0.9, 0.99)
_Function = Callable[[Totals], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Measure:
  """A figure and how sure it is.

  Attributes:
    value: of it; nan where it is undefined.
    interval_runs: 95 %, over independent runs; nan for fewer than three.
    interval_examples: 95 %, over examples; nan where there is none.
  """

  value: float
  interval_runs: Interval = intervals.NOTHING
  interval_examples: Interval = intervals.NOTHING


def of(churn: Churn) -> dict[str, Measure]:
  """Returns all measures of `churn` by name, such as "flips.0.5"."""
  whole, drawn = resampling.whole(churn), resampling.redrawn(churn)
  left_out = resampling.without_each(churn)
  found = {}
  functions = _functions(
    churn.thresholds, is_labelled=churn.labelled, maximum=churn.maximum
  )
  for name, function in functions.items():
    with np.errstate(invalid="ignore", divide="ignore"):
      value = float(function(whole)[0])
      without = [float(function(part)[0]) for part in left_out]
      low, high = intervals.of_replicates(function(drawn))
    found[name] = Measure(
      value,
      intervals.of_left_out(value, without),
      (float(low), float(high)),
    )
  # The largest of some says nothing of the largest of all: no interval.
  return found | {"maximum": Measure(churn.maximum)}


def names(thresholds: Sequence[float], *, is_labelled: bool) -> tuple[str, ...]:
  """Returns the names of what `of` finds."""
  return (*_functions(thresholds, is_labelled=is_labelled), "maximum")


def _functions(
  thresholds: Sequence[float], *, is_labelled: bool, maximum: float = 1.0
) -> Mapping[str, _Function]:
  found: dict[str, _Function] = {
    "mean_absolute": _mean_of(chunk.ABSOLUTE),
    "relative": _mean_of(chunk.RELATIVE),
    "logit_rms": lambda t: np.sqrt(_means(t, chunk.LOGIT_SQUARED)).mean(1),
    "equal": lambda t: (t.equal / t.examples[:, None]).mean(1),
    "shift": lambda t: np.abs(_means(t, chunk.DIFFERENCE)).mean(1),
    "shift_logit": lambda t: np.abs(_means(t, chunk.LOGIT)).mean(1),
    "scatter": _scatter,
    "variance.total": lambda t: _means(t, chunk.SQUARED).mean(1) / 2,
    "variance.systematic": _systematic,
    "variance.scatter": lambda t: (
      _means(t, chunk.SQUARED).mean(1) / 2 - _systematic(t)
    ),
    "variance.systematic_share": lambda t: (
      _systematic(t) / (_means(t, chunk.SQUARED).mean(1) / 2)
    ),
  }
  for share in SHARES:
    found[f"quantiles.{share}"] = _quantile(
      "differences", bins.difference_edges(), share, maximum
    )
    found[f"logit_quantiles.{share}"] = _quantile(
      "logit_differences", bins.logit_difference_edges(), share, np.inf
    )
  for number, threshold in enumerate(thresholds):
    found[f"flips.{threshold}"] = _flips(number)
    if is_labelled:
      found[f"wins.{threshold}"] = _wins(number)
      found[f"losses.{threshold}"] = _losses(number)
  return found


def _means(totals: Totals, which: int) -> np.ndarray:
  """Returns each pair's mean over the examples: `[weightings, pairs]`."""
  return totals.pair[:, :, which] / totals.examples[:, None]


def _mean_of(which: int) -> _Function:
  return lambda totals: _means(totals, which).mean(axis=1)


def _scatter(totals: Totals) -> np.ndarray:
  square = _means(totals, chunk.SQUARED)
  square = square - _means(totals, chunk.DIFFERENCE) ** 2
  return np.sqrt(np.maximum(square, 0)).mean(axis=1)


def _systematic(totals: Totals) -> np.ndarray:
  """Returns the variance over runs of a run's mean prediction.

  Half the mean over pairs of (m_i - m_j)^2 is the variance of the m_i, with
  n - 1; in the same way half the mean of (p - q)^2 is the mean over examples of
  their variance over runs.
  """
  return (_means(totals, chunk.DIFFERENCE) ** 2).mean(axis=1) / 2


def _quantile(
  name: str, edges: np.ndarray, share: float, most: float
) -> _Function:
  return lambda t: sums.quantiles(getattr(t, name), edges, share, most=most)


def _flips(number: int) -> _Function:
  return lambda t: (t.flips[:, :, number] / t.examples[:, None]).mean(axis=1)


def _wins(number: int) -> _Function:
  return lambda t: (t.wins[:, :, number] / t.examples[:, None]).mean(axis=1)


def _losses(number: int) -> _Function:
  return lambda t: _flips(number)(t) - _wins(number)(t)
