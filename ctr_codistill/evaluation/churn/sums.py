"""Churn: how far the predictions of independent trainings differ.

Every measure is a function of sums over examples, kept for each pair of runs,
so chunks, shards and jobs merge. Never give it a group and its codistilling
peer: they learned from each other; their agreement says nothing of a retrain.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics

# Bins of a logit, for the density and the levels: 1/8 each, over -12 to 12;
# what lies outside falls into the first or last.
LEVELS = 192
_LEVELS_PER_LOGIT = 8

# Bins of |p - q|: 32 to a factor of ten, 1e-7 to 1; bin 0 holds all below.
DIFFERENCES = 7 * 32 + 1


def level_edges() -> np.ndarray:
  """Returns the edges of the bins of a prediction, as probabilities.

  `[LEVELS + 1]`, ascending; the first and last bin reach beyond theirs.
  """
  logits = (np.arange(LEVELS + 1) - LEVELS // 2) / _LEVELS_PER_LOGIT
  return 1 / (1 + np.exp(-logits))


def difference_edges() -> np.ndarray:
  """Returns the edges of the bins of |p - q|: `[DIFFERENCES + 1]`, from 0."""
  return np.concatenate([[0.0], 10 ** (np.arange(DIFFERENCES) / 32 - 7)])


def pairs_of(runs: int) -> list[tuple[int, int]]:
  """Returns the numbers of the runs of each pair, in the order of `Churn`."""
  return list(itertools.combinations(range(runs), 2))


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
  """Sums over examples that two runs, p and q, both predicted.

  Attributes:
    examples: how many.
    absolute: sum of |p - q|.
    relative: sum of 2 |p - q| / (p + q), of 0 where both are 0.
    difference: sum of p - q.
    squared: sum of (p - q)^2.
    logit_squared: sum of (logit p - logit q)^2, clipped as in `metrics`.
    maximum: largest |p - q|.
    equal: number of examples with p == q.
    flips: `[thresholds]`, number with just one of p and q at least a threshold.
    histogram: `[DIFFERENCES]`, number by |p - q|; edges: `difference_edges`.
    level_examples: `[LEVELS]`, number by the mean of both logits.
    level_absolute: `[LEVELS]`, sum of |p - q| in the same bins.
    density: `[LEVELS, LEVELS]`, number by p and by q; edges: `level_edges`.
  """

  examples: int
  absolute: float
  relative: float
  difference: float
  squared: float
  logit_squared: float
  maximum: float
  equal: int
  flips: np.ndarray
  histogram: np.ndarray
  level_examples: np.ndarray
  level_absolute: np.ndarray
  density: np.ndarray

  @classmethod
  def of(
    cls,
    p: np.ndarray,
    q: np.ndarray,
    *,
    logits: Sequence[np.ndarray],
    thresholds: Sequence[float],
  ) -> "Pair":
    """Returns the sums over `[rows]` of p and q, given their logits too."""
    signed = p - q
    size = np.abs(signed)
    level = _level((logits[0] + logits[1]) / 2)
    cell = _level(logits[0]) * LEVELS + _level(logits[1])
    return cls(
      examples=len(p),
      absolute=float(size.sum()),
      relative=float((2 * size / np.where(size > 0, p + q, 1)).sum()),
      difference=float(signed.sum()),
      squared=float(np.dot(signed, signed)),
      logit_squared=float(np.square(logits[0] - logits[1]).sum()),
      maximum=float(size.max(initial=0)),
      equal=int(np.count_nonzero(size == 0)),
      flips=np.array([np.sum((p >= t) != (q >= t)) for t in thresholds]),
      histogram=_histogram(size),
      level_examples=np.bincount(level, minlength=LEVELS),
      level_absolute=np.bincount(level, size, minlength=LEVELS),
      density=np.bincount(cell, minlength=LEVELS**2).reshape(LEVELS, LEVELS),
    )

  def merge(self, other: "Pair") -> "Pair":
    """Returns the sums over the examples of both."""
    sums = {
      f.name: getattr(self, f.name) + getattr(other, f.name)
      for f in dataclasses.fields(self)
    }
    return Pair(**sums | {"maximum": max(self.maximum, other.maximum)})

  @property
  def mean_absolute(self) -> float:
    """Mean of |p - q|, in [0, 1] (Anil et al. 2018, section 3.3)."""
    return _ratio(self.absolute, self.examples)

  @property
  def mean_relative(self) -> float:
    """Mean of 2 |p - q| / (p + q), in [0, 2] (Shamir & Lin 2022)."""
    return _ratio(self.relative, self.examples)

  @property
  def logit_rms(self) -> float:
    """Root of the mean of (logit p - logit q)^2, in logits."""
    return math.sqrt(_ratio(self.logit_squared, self.examples))

  @property
  def equal_share(self) -> float:
    """Share of examples with exactly the same prediction, in [0, 1]."""
    return _ratio(self.equal, self.examples)

  @property
  def flip_shares(self) -> np.ndarray:
    """Share decided otherwise, by threshold: `[thresholds]` in [0, 1].

    Decisions are p >= threshold; the churn of Milani Fard et al. 2016.
    """
    return self.flips / self.examples if self.examples else self.flips * np.nan

  @property
  def shift(self) -> float:
    """Mean of p - q, in [-1, 1]: the systematic part of the difference."""
    return _ratio(self.difference, self.examples)

  @property
  def scatter(self) -> float:
    """Standard deviation of p - q: what is left without the shift."""
    mean_square = _ratio(self.squared, self.examples)
    return math.sqrt(max(mean_square - self.shift**2, 0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Churn:
  """The sums of every pair of runs; its ratios are means over the pairs.

  Attributes:
    runs: number of runs, at least 2.
    thresholds: at which decisions are compared, each in [0, 1].
    pairs: of runs (0, 1), (0, 2), ..., (1, 2), ...: `runs * (runs - 1) / 2`.
  """

  runs: int
  thresholds: tuple[float, ...]
  pairs: tuple[Pair, ...]

  @classmethod
  def of(
    cls, probability: np.ndarray, *, thresholds: Sequence[float] = (0.5,)
  ) -> "Churn":
    """Returns the sums over `[runs, rows]` probabilities in [0, 1].

    Raises:
      InputError: fewer than two runs.
    """
    if len(probability) < 2:
      raise InputError(f"churn needs at least 2 runs, got {len(probability)}")
    probability = np.asarray(probability, np.float64)
    logits = metrics.logit(probability)
    pairs = [
      Pair.of(
        probability[i],
        probability[j],
        logits=(logits[i], logits[j]),
        thresholds=thresholds,
      )
      for i, j in pairs_of(len(probability))
    ]
    return cls(len(probability), tuple(thresholds), tuple(pairs))

  def merge(self, other: "Churn") -> "Churn":
    """Returns the sums over the examples of both, which name the same runs.

    Raises:
      ValueError: other numbers of runs or other thresholds.
    """
    ours, theirs = (self.runs, self.thresholds), (other.runs, other.thresholds)
    if ours != theirs:
      raise ValueError(f"runs and thresholds should be {ours}, are {theirs}")
    pairs = (a.merge(b) for a, b in zip(self.pairs, other.pairs))
    return dataclasses.replace(self, pairs=tuple(pairs))

  @property
  def examples(self) -> int:
    """Number of examples."""
    return self.pairs[0].examples

  @property
  def mean_absolute(self) -> float:
    """`Pair.mean_absolute`, mean over the pairs."""
    return self.mean("mean_absolute")

  @property
  def mean_relative(self) -> float:
    """`Pair.mean_relative`, mean over the pairs."""
    return self.mean("mean_relative")

  @property
  def maximum(self) -> float:
    """Largest difference of any pair, in [0, 1]."""
    return max(pair.maximum for pair in self.pairs)

  @property
  def flip_shares(self) -> np.ndarray:
    """`Pair.flip_shares`, mean over the pairs: `[thresholds]`."""
    return np.mean([pair.flip_shares for pair in self.pairs], axis=0)

  @property
  def shift(self) -> float:
    """Mean over the pairs of the size of `Pair.shift`, in [0, 1]."""
    return float(np.mean([abs(pair.shift) for pair in self.pairs]))

  def mean(self, measure: str) -> float:
    """Returns the mean over the pairs of the property of `Pair` so named."""
    return float(np.mean([getattr(pair, measure) for pair in self.pairs]))

  def total(self, sums: str) -> np.ndarray:
    """Returns the sum over the pairs of the array of `Pair` so named."""
    return np.sum([getattr(pair, sums) for pair in self.pairs], axis=0)

  def quantile(self, share: float) -> float:
    """Returns the |p - q| that a `share` of the rows of all pairs stays within.

    From the histogram: at most 7.5 % above the true one; nan without examples.
    """
    counts = np.cumsum(self.total("histogram"))
    if not counts[-1]:
      return math.nan
    place = np.searchsorted(counts, share * counts[-1])
    return float(min(difference_edges()[place + 1], self.maximum))


def _ratio(part: float, whole: float) -> float:
  return part / whole if whole else math.nan


def _level(logits: np.ndarray) -> np.ndarray:
  """Returns the bin of each logit: `[rows]` int64."""
  place = np.floor(logits * _LEVELS_PER_LOGIT) + LEVELS // 2
  return np.clip(place, 0, LEVELS - 1).astype(np.int64)


def _histogram(size: np.ndarray) -> np.ndarray:
  """Counts `[rows]` differences in the bins of `difference_edges`."""
  place = np.floor((np.log10(np.maximum(size, 1e-9)) + 7) * 32) + 1
  place = np.clip(place, 0, DIFFERENCES - 1).astype(np.int64)
  return np.bincount(place, minlength=DIFFERENCES)
