"""What the predictions of each run are worth, and whether runs differ in it.

Beside churn always: a model that predicts the base rate for all has none. Runs
are compared on the same draws of examples, so that what is hard for all of them
does not blur the difference.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import chunk
from ctr_codistill.evaluation.churn import resampling
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.sums import Churn

NAMES = ("log_loss", "normalized_entropy", "auc", "calibration")


@dataclasses.dataclass(frozen=True)
class Difference:
  """How a run's quality differs from the first run's.

  Attributes:
    run: its number, 1 or more.
    measure: one of `NAMES`.
    value: that of the run less that of the first.
    interval: over examples; all runs' intervals of a measure hold together, 95
      times of 100 (Bonferroni).
  """

  run: int
  measure: str
  value: float
  interval: intervals.Interval

  @property
  def significant(self) -> bool:
    """Tells whether the interval is beyond 0."""
    low, high = self.interval
    return low > 0 or high < 0


def of(churn: Churn) -> dict[str, Measure]:
  """Returns the means over the runs, by name; there should be labels.

  The interval over runs is Student's, of one value a run; two runs have one.
  """
  drawn, found = _drawn(churn), {}
  for name in NAMES:
    values = [getattr(one, name) for one in churn.qualities]
    low, high = _around(
      float(np.mean(values)), drawn[name].mean(axis=1), level=intervals.LEVEL
    )
    found[name] = Measure(
      float(np.mean(values)), intervals.of_mean(values), (low, high)
    )
  return found


def by_run(churn: Churn) -> list[dict[str, Measure]]:
  """Returns the measures of each run, by name, over examples alone."""
  drawn = _drawn(churn)
  return [
    {
      name: Measure(
        getattr(one, name),
        interval_examples=_around(
          getattr(one, name), drawn[name][:, run], level=intervals.LEVEL
        ),
      )
      for name in NAMES
    }
    for run, one in enumerate(churn.qualities)
  ]


def differences(churn: Churn) -> list[Difference]:
  """Returns how each run but the first differs from it."""
  drawn, first = _drawn(churn), churn.qualities[0]
  level = 1 - (1 - intervals.LEVEL) / (churn.runs - 1)
  found = []
  for run, one in enumerate(churn.qualities[1:], 1):
    for name in NAMES:
      value = getattr(one, name) - getattr(first, name)
      apart = drawn[name][:, run] - drawn[name][:, 0]
      interval = _around(value, apart, level=level)
      found.append(Difference(run, name, value, interval))
  return found


def _around(
  value: float, drawn: np.ndarray, *, level: float
) -> intervals.Interval:
  """Returns value -+ the draws' spread: those of the AUC have coarser bins."""
  low, high = np.nanpercentile(
    drawn, (50 * (1 - level), 50 * (1 + level))
  ) if np.isfinite(drawn).any() else intervals.NOTHING  # fmt: skip
  middle = np.nanmean(drawn) if np.isfinite(drawn).any() else np.nan
  return float(value + low - middle), float(value + high - middle)


def _drawn(churn: Churn) -> dict[str, np.ndarray]:
  """Returns each measure of each run and draw: `[REPLICATES, runs]`."""
  weights = resampling.weights()
  run = np.moveaxis(churn.floats("run") @ weights.T, -1, 0)
  examples = (weights @ churn.counts["examples"])[:, None]
  clicks = (weights @ churn.counts["clicks"])[:, None]
  with np.errstate(invalid="ignore", divide="ignore"):
    loss, rate = run[:, :, chunk.LOSS] / examples, clicks / examples
    entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    return {
      "log_loss": loss,
      "normalized_entropy": loss / entropy,
      "auc": _auc(churn.counts["auc"], weights),
      "calibration": run[:, :, chunk.PROBABILITY] / clicks,
    }


def _auc(counts: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
  """Returns the AUC of each draw, from `[runs, bucket, 2, SCORES]` counts."""
  found = []
  for of_run in counts:
    negatives, positives = (weights @ of_run[:, label] for label in (0, 1))
    below = np.cumsum(negatives, axis=1) - negatives / 2
    won = (positives * below).sum(axis=1)
    found.append(won / (positives.sum(axis=1) * negatives.sum(axis=1)))
  return np.array(found).T
