"""The sums of one chunk of examples: numpy, once over each array.

Everything is float64 and vectorised; no Python runs per example. What is kept
by bucket of examples (`bins.buckets`) is what intervals over examples need.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation.churn import bins

# Sums of a pair (p, q), in the order of their axis.
ABSOLUTE, RELATIVE, DIFFERENCE, SQUARED, LOGIT, LOGIT_SQUARED = range(6)
# Sums of a run.
PROBABILITY, LOSS = range(2)
# Sums of a slice: these, then each run's probability, then its loss.
HEAD = 3
SLICE_ABSOLUTE, SLICE_RELATIVE, SLICE_LOGIT_SQUARED = range(HEAD)

_TINY = 1e-300  # divides 0, where both predictions are


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
  """Consecutive examples, with what several sums need of them.

  Attributes:
    probability: `[runs, rows]` float64 in [0, 1].
    bucket: `[rows]` int64 in [0, BUCKETS).
    label: `[rows]` int64, 0 or 1; None where it is not known.
    thresholds: at which decisions are compared.
    codes: by name of a column, the number of each row's slice: `[rows]` int64.
    slices: by the same names, the number of slices.
  """

  probability: np.ndarray
  bucket: np.ndarray
  label: np.ndarray | None
  thresholds: tuple[float, ...]
  codes: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  slices: dict[str, int] = dataclasses.field(default_factory=dict)


class Sums:
  """What a chunk sums to: counts, floats, and the largest differences.

  Attributes:
    counts: integers by name.
    floats: float64 sums by name.
    maximum: `[pairs]`, largest |p - q|.
  """

  def __init__(self, chunk: Chunk):
    """Sums a chunk."""
    self._chunk = chunk
    clipped = np.clip(chunk.probability, metrics.EPSILON, 1 - metrics.EPSILON)
    self._click = np.log(clipped)
    self._other = np.log1p(np.negative(clipped, out=clipped))
    self._logits = self._click - self._other
    self.counts = {"examples": self._by_bucket()}
    self.floats: dict[str, np.ndarray] = {}
    self._each_run()
    absolute, relative, squared = self._each_pair()
    self._each_level(absolute)
    if len(chunk.probability) > 2:
      self._each_spread()
    for name, code in chunk.codes.items():
      self._each_slice(name, code, (absolute, relative, squared))

  def _by_bucket(self, weights: np.ndarray | None = None) -> np.ndarray:
    return np.bincount(self._chunk.bucket, weights, minlength=bins.BUCKETS)

  def _chosen(self, mask: np.ndarray) -> np.ndarray:
    """Counts by bucket the rows that `mask` marks; cheap where few are."""
    return np.bincount(self._chunk.bucket[mask], minlength=bins.BUCKETS)

  def _each_run(self) -> None:
    """Sums each run's predictions, and what they are worth."""
    chunk = self._chunk
    sums = [[self._by_bucket(p)] for p in chunk.probability]
    self._losses = []
    if chunk.label is not None:
      click = chunk.label.astype(bool)
      self.counts["clicks"] = self._chosen(click)
      scored = []
      for run, logits in enumerate(self._logits):
        taken = np.where(click, self._click[run], self._other[run])
        self._losses.append(np.negative(taken, out=taken))
        sums[run].append(self._by_bucket(taken))
        scored.append(self._scored(logits))
      quality, auc = zip(*scored)
      self.counts |= {"quality": np.array(quality), "auc": np.array(auc)}
    self.floats["run"] = np.array(sums)

  def _scored(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts by label and score, finely; and coarsely by bucket."""
    chunk = self._chunk
    fine = metrics.places(logits) + metrics.BINS * chunk.label
    coarse = bins.scores(logits)
    coarse += bins.SCORES * (2 * chunk.bucket + chunk.label)
    shape = (bins.BUCKETS, 2, bins.SCORES)
    return (
      np.bincount(fine, minlength=2 * metrics.BINS).reshape(2, -1),
      np.bincount(coarse, minlength=np.prod(shape)).reshape(shape),
    )

  def _each_pair(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums each pair; returns means over the pairs of each row's terms."""
    p, logits = self._chunk.probability, self._logits
    pairs = bins.pairs_of(len(p))
    means = np.zeros((HEAD, p.shape[1]))
    levels = [bins.levels(row) for row in logits]
    decided = [[row >= t for t in self._chunk.thresholds] for row in p]
    found: dict[str, list] = {}
    for i, j in pairs:
      pair = self._pair(p[i], p[j], (logits[i], logits[j]), means)
      pair |= self._flips(decided[i], decided[j])
      pair["density"] = np.bincount(
        levels[i] * bins.LEVELS + levels[j], minlength=bins.LEVELS**2
      )
      for name, value in pair.items():
        found.setdefault(name, []).append(value)
    self.floats["pair"] = np.array(found.pop("sums"))
    self.maximum = np.array(found.pop("maximum"))
    for name in ("differences", "logit_differences"):
      by_bucket = found.pop(name)
      self.counts[name] = np.array([c.sum(axis=0) for c in by_bucket])
      self.counts[f"bucket_{name}"] = np.sum(by_bucket, axis=0)
    self.counts |= {name: np.array(value) for name, value in found.items()}
    means /= len(pairs)
    return means[0], means[1], means[2]

  def _pair(
    self,
    p: np.ndarray,
    q: np.ndarray,
    logits: Sequence[np.ndarray],
    means: np.ndarray,
  ) -> dict[str, np.ndarray]:
    """Sums one pair, and adds its rows' terms to `means` `[HEAD, rows]`."""
    signed = p - q
    size = np.abs(signed)
    relative = p + q
    np.maximum(relative, _TINY, out=relative)
    np.divide(size, relative, out=relative)
    relative *= 2
    logit = logits[0] - logits[1]
    squared = logit * logit
    for mean, terms in zip(means, (size, relative, squared)):
      mean += terms
    terms = (size, relative, signed, signed * signed, logit, squared)
    return {
      "sums": [self._by_bucket(term) for term in terms],
      "maximum": size.max(initial=0.0),
      "equal": self._chosen(size == 0),
      "differences": self._placed(bins.differences(size), bins.DIFFERENCES),
      "logit_differences": self._placed(
        bins.logit_differences(np.abs(logit)), bins.LOGIT_DIFFERENCES
      ),
    }

  def _placed(self, place: np.ndarray, size: int) -> np.ndarray:
    place += self._chunk.bucket * size
    counts = np.bincount(place, minlength=bins.BUCKETS * size)
    return counts.reshape(bins.BUCKETS, size)

  def _flips(
    self, first: Sequence[np.ndarray], second: Sequence[np.ndarray]
  ) -> dict[str, np.ndarray]:
    """Counts by threshold, and those where the second run is right."""
    rows = [np.flatnonzero(a != b) for a, b in zip(first, second)]
    empty = np.zeros((0, bins.BUCKETS), np.int64)
    found = {"flips": np.array([self._chosen(row) for row in rows] or empty)}
    if self._chunk.label is not None:
      won = [
        row[b[row] == self._chunk.label[row]] for row, b in zip(rows, second)
      ]
      found["wins"] = np.array([self._chosen(row) for row in won] or empty)
    return found

  def _each_level(self, absolute: np.ndarray) -> None:
    """Sums by the mean logit of all runs."""
    chunk = self._chunk
    level = bins.levels(self._logits.mean(axis=0))
    self.counts["levels"] = np.bincount(level, minlength=bins.LEVELS)
    self.floats["levels"] = np.array(
      [
        np.bincount(level, terms, minlength=bins.LEVELS)
        for terms in (absolute, chunk.probability.mean(axis=0))
      ]
    )
    if chunk.label is not None:
      clicks = np.bincount(level, chunk.label, minlength=bins.LEVELS)
      self.counts["level_clicks"] = clicks.astype(np.int64)

  def _each_spread(self) -> None:
    """Counts examples by their standard deviation over the runs."""
    variance = self._chunk.probability.var(axis=0, ddof=1)
    place = bins.differences(np.sqrt(variance))
    size = bins.DIFFERENCES
    self.counts["spread"] = np.bincount(place, minlength=size)
    self.floats["spread"] = np.bincount(place, variance, minlength=size)

  def _each_slice(
    self, name: str, code: np.ndarray, means: Sequence[np.ndarray]
  ) -> None:
    """Sums by slice of one column and bucket: `[slices, bucket]` each."""
    chunk, shape = self._chunk, (self._chunk.slices[name], bins.BUCKETS)
    place = code * bins.BUCKETS + chunk.bucket

    def by_place(weights: np.ndarray | None = None) -> np.ndarray:
      counts = np.bincount(place, weights, minlength=shape[0] * shape[1])
      return counts.reshape(shape)

    self.counts[f"slice_examples {name}"] = by_place()
    if chunk.label is not None:
      clicks = by_place(chunk.label).astype(np.int64)
      self.counts[f"slice_clicks {name}"] = clicks
    terms = [*means, *chunk.probability, *self._losses]
    self.floats[f"slice {name}"] = np.array([by_place(t) for t in terms])
