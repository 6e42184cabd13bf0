"""What the sums of one model come to: figures with intervals over examples.

The intervals are those of `churn.resampling`: a Poisson bootstrap over 256
random groups of examples. They say how the figures would come out of other
examples, not how another training would.
"""

import dataclasses
from typing import Any

import numpy as np

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import quality
from ctr_codistill.evaluation.churn import resampling
from ctr_codistill.evaluation.churn import slices as slices_
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.slices import Slice
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.quality.sums import Scores

DECILES = 10


@dataclasses.dataclass(frozen=True)
class Group:
  """Examples of about equal predictions.

  Attributes:
    low: about the least probability in it.
    high: about the largest; bounds are those of bins of 1/32 of a logit.
    examples: in it.
    predicted: their mean probability.
    clicked: share of clicks among them.
    calibration: predicted / clicked, with its interval over examples.
  """

  low: float
  high: float
  examples: int
  predicted: float
  clicked: float
  calibration: Measure


@dataclasses.dataclass(frozen=True)
class Figures:
  """What one model's predictions are worth.

  Attributes:
    quality: over all examples.
    measures: log loss, normalized entropy, AUC and calibration by name.
    deciles: tenths of the examples by their prediction, ascending.
    slices: of the columns, those of most examples first.
  """

  quality: Quality
  measures: dict[str, Measure]
  deciles: tuple[Group, ...]
  slices: tuple[Slice, ...]


def of(scores: Scores, slicings: tuple[Slicing, ...] = ()) -> Figures:
  """Returns the figures; there should be an example."""
  found = slices_.of(scores, slicings)
  return Figures(
    scores.quality,
    quality.by_run(scores)[0],
    deciles(scores),
    tuple(sorted(found, key=lambda one: -one.examples)),
  )


def deciles(scores: Scores, count: int = DECILES) -> tuple[Group, ...]:
  """Returns up to `count` groups of about equally many examples.

  They are bins of 1/32 of a logit put together, so equal predictions are in
  one group, and a group of theirs may be larger than others.
  """
  by_label = scores.counts["auc"][0]
  clicks, predicted = by_label[:, 1], scores.floats("predicted")
  examples = by_label.sum(axis=1)
  total = examples.sum(axis=0)
  middle = np.cumsum(total) - total / 2
  group = np.minimum(count * middle // max(total.sum(), 1), count - 1)
  found = []
  for number in range(count):
    places = np.flatnonzero((group == number) & (total > 0))
    if len(places):
      sums = (array[:, places].sum(axis=1) for array in (examples, clicks))
      found.append(_group(places, *sums, predicted[:, places].sum(axis=1)))
  return tuple(found)


def to_json(figures: Figures) -> dict[str, Any]:
  """Returns the figures as JSON has them."""
  return figures.quality.to_dict() | {
    "intervals": {
      name: list(one.interval_examples)
      for name, one in figures.measures.items()
    },
    "deciles": [
      dataclasses.asdict(one)
      | {
        "calibration": one.calibration.value,
        "calibration_interval": list(one.calibration.interval_examples),
      }
      for one in figures.deciles
    ],
    "slices": [_slice(one) for one in figures.slices],
  }


def _group(
  places: np.ndarray,
  examples: np.ndarray,
  clicks: np.ndarray,
  predicted: np.ndarray,
) -> Group:
  """Returns a group from its sums by bucket, `[BUCKETS]` each."""
  weights = resampling.weights()
  with np.errstate(invalid="ignore", divide="ignore"):
    drawn = (weights @ predicted) / (weights @ clicks)
    value = np.float64(predicted.sum()) / clicks.sum()
  drawn = np.where(np.isfinite(drawn), drawn, np.nan)
  low, high = map(float, intervals.of_replicates(drawn))
  return Group(
    bins.score_edge(places[0]),
    bins.score_edge(places[-1] + 1),
    int(examples.sum()),
    float(predicted.sum() / examples.sum()),
    float(clicks.sum() / examples.sum()),
    Measure(
      float(value) if np.isfinite(value) else np.nan,
      interval_examples=(low, high),
    ),
  )


def _slice(one: Slice) -> dict[str, Any]:
  found = {"column": one.column, "name": one.name, "examples": one.examples}
  for name in ("log_loss", "calibration"):
    measure = one.measures[name]
    found[name] = measure.value
    found[f"{name}_interval"] = list(measure.interval_examples)
  return found | {
    "calibration_fdr": one.calibration_fdr,
    "miscalibrated": bool(one.miscalibrated),
  }
