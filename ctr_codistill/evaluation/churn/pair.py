"""Two runs beside each other: sums over examples, and what they come to."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
  """Sums over examples that two runs, p and q, both predicted.

  Attributes:
    examples: how many.
    absolute: sum of |p - q|.
    relative: sum of 2 |p - q| / (p + q), of 0 where both are 0.
    difference: sum of p - q.
    squared: sum of (p - q)^2.
    logit_difference: sum of logit p - logit q, clipped as in `metrics`.
    logit_squared: sum of (logit p - logit q)^2.
    maximum: largest |p - q|.
    equal: number of examples with p == q.
    flips: `[thresholds]`, number with just one of p and q at least a threshold.
    wins: `[thresholds]`, those of them where q is right; None without labels.
    histogram: `[DIFFERENCES]`, number by |p - q|; see `bins`.
    density: `[LEVELS, LEVELS]`, number by p and by q; see `bins`.
  """

  examples: int
  absolute: float
  relative: float
  difference: float
  squared: float
  logit_difference: float
  logit_squared: float
  maximum: float
  equal: int
  flips: np.ndarray
  wins: np.ndarray | None
  histogram: np.ndarray
  density: np.ndarray

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


def _ratio(part: float, whole: float) -> float:
  return part / whole if whole else math.nan
