"""Sums over examples that say what one model's predictions are worth.

Kept by bucket of examples and as integers, as `churn.sums` keeps them and under
its names, so that its intervals, its tests of slices and its merging, exact in
any order, are those of a model alone as well.
"""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import chunk
from ctr_codistill.evaluation.churn import exact
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.predictions import Batch


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """The sums; equal ones of the same examples, in whatever order they came.

  Attributes:
    counts: integers by name, `[..., BUCKETS]` or as `Churn` has them.
    parts: sums of floats by name, as `exact.split` lays them out.
  """

  counts: Mapping[str, np.ndarray]
  parts: Mapping[str, np.ndarray]
  runs = 1
  labelled = True

  @classmethod
  def of(cls, batch: Batch, slicings: Sequence[Slicing] = ()) -> "Scores":
    """Returns the sums over some predictions, which should have labels.

    Args:
      batch: the predictions; its `extra` has the columns of the slices.
      slicings: how they are cut.

    Raises:
      InputError: there are no labels.
    """
    if batch.label is None:
      raise InputError("predictions should have labels to be judged, have none")
    found = _Sums(batch)
    for cut in slicings:
      found.slice(cut.column, cut.codes(batch.extra[cut.column]), cut.names)
    parts = {name: exact.split(value) for name, value in found.floats.items()}
    return cls(found.counts, parts)

  def merge(self, other: "Scores") -> "Scores":
    """Returns the sums over the examples of both, cut into the same slices.

    Raises:
      ValueError: they have other slices.
    """
    if set(self.counts) != set(other.counts):
      raise ValueError(
        f"sums should be those of {sorted(self.counts)}, are those of "
        f"{sorted(other.counts)}"
      )
    return Scores(
      {name: value + other.counts[name] for name, value in self.counts.items()},
      {n: exact.add(value, other.parts[n]) for n, value in self.parts.items()},
    )

  def floats(self, name: str) -> np.ndarray:
    """Returns sums of floats by their name."""
    return exact.join(self.parts[name])

  @property
  def quality(self) -> Quality:
    """What the sums come to."""
    sums = self.floats("run")[0].sum(axis=1)
    negatives, positives = self.counts["quality"][0].astype(np.float64)
    return Quality(
      float(sums[chunk.PROBABILITY]),
      float(sums[chunk.LOSS]),
      positives=positives,
      negatives=negatives,
    )

  @property
  def qualities(self) -> tuple[Quality, ...]:
    """The same, as `Churn` has it for many runs."""
    return (self.quality,)


class _Sums:
  """The sums of one chunk, by `Churn`'s names and in its order of axes."""

  def __init__(self, batch: Batch) -> None:
    self._probability = np.asarray(batch.probability, np.float64)
    self._label = np.asarray(batch.label).astype(np.int64)
    self._bucket = bins.buckets(batch.example)
    self._loss = metrics.log_losses(self._probability, self._label)
    logits = metrics.logit(self._probability)
    fine = metrics.places(logits) + metrics.BINS * self._label
    coarse = bins.scores(logits)
    label_at = bins.SCORES * (2 * self._bucket + self._label)
    shape = (1, bins.BUCKETS, 2, bins.SCORES)
    self.counts = {
      "examples": self._count(self._bucket, bins.BUCKETS),
      "clicks": self._count(self._bucket[self._label == 1], bins.BUCKETS),
      "quality": self._count(fine, 2 * metrics.BINS).reshape(1, 2, -1),
      "auc": self._count(coarse + label_at, np.prod(shape)).reshape(shape),
    }
    at = coarse + bins.SCORES * self._bucket
    self.floats = {
      "run": np.array([self._by_bucket(self._bucket, 1)]),
      "predicted": np.bincount(
        at, self._probability, minlength=bins.BUCKETS * bins.SCORES
      ).reshape(bins.BUCKETS, bins.SCORES),
    }

  def slice(self, column: str, code: np.ndarray, names: Sequence[str]) -> None:
    """Adds the sums of each slice of a column."""
    at = code * bins.BUCKETS + self._bucket
    shape = (len(names), bins.BUCKETS)
    for name, chosen in (("examples", at), ("clicks", at[self._label == 1])):
      counted = self._count(chosen, np.prod(shape)).reshape(shape)
      self.counts[f"slice_{name} {column}"] = counted
    # What `Churn` has first is of pairs, and there is none.
    none = np.zeros((chunk.HEAD, *shape))
    sums = self._by_bucket(at, len(names)).reshape(2, *shape)
    self.floats[f"slice {column}"] = np.concatenate([none, sums])

  def _count(self, places: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(places, minlength=size)

  def _by_bucket(self, at: np.ndarray, slices: int) -> np.ndarray:
    """Returns sums of probabilities and losses: `[2, slices x BUCKETS]`."""
    size = slices * bins.BUCKETS
    return np.array(
      [
        np.bincount(at, values, minlength=size)
        for values in (self._probability, self._loss)
      ]
    )
