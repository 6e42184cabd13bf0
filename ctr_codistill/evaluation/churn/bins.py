"""The bins that the sums of churn keep: of predictions, differences, examples.

Bins are fixed beforehand, so that sums over other examples have the same ones
and merge. Those of differences are cut by the bits of a float64, which costs a
shift where a logarithm would cost ten times as much.
"""

import itertools

import numpy as np

# Bins of a logit, for the density and the levels: 1/8 each, over -12 to 12;
# what lies outside falls into the first or last.
LEVELS = 192
_LEVELS_PER_LOGIT = 8

# Bins of a difference: 16 to a factor of two, equally wide inside it, so each
# is at most 6.25 % wide; bin 0 holds all below the smallest.
_PER_OCTAVE = 16
_SHIFT = 48  # a float64 has 52 bits of fraction; 4 of them name the bin
SMALLEST = 2.0**-24
"""Smallest |p - q| with a bin of its own: half the last bit of a float32 1."""
SMALLEST_LOGIT = 2.0**-20
DIFFERENCES = 24 * _PER_OCTAVE + 1
"""Bins of |p - q|, from `SMALLEST` to 1."""
LOGIT_DIFFERENCES = 25 * _PER_OCTAVE + 1
"""Bins of |logit p - logit q|, from `SMALLEST_LOGIT` to 32."""

# Bins of the score, for the interval of the AUC and for tenths by prediction:
# 1/32 logit each, -16 to 16, which is as far as a clipped probability goes.
SCORES = 1024
_SCORES_PER_LOGIT = 32

BUCKETS = 256
"""Groups of examples by a hash of their numbers: the unit of resampling."""


def pairs_of(runs: int) -> list[tuple[int, int]]:
  """Returns the numbers of the runs of each pair, in the order of `Churn`."""
  return list(itertools.combinations(range(runs), 2))


def level_edges() -> np.ndarray:
  """Returns the edges of the bins of a prediction, as probabilities.

  `[LEVELS + 1]`, ascending; the first and last bin reach beyond theirs.
  """
  logits = (np.arange(LEVELS + 1) - LEVELS // 2) / _LEVELS_PER_LOGIT
  return 1 / (1 + np.exp(-logits))


def difference_edges() -> np.ndarray:
  """Returns the edges of the bins of |p - q|: `[DIFFERENCES + 1]`, from 0."""
  return _edges(DIFFERENCES, SMALLEST)


def logit_difference_edges() -> np.ndarray:
  """Returns those of |logit p - logit q|: `[LOGIT_DIFFERENCES + 1]`."""
  return _edges(LOGIT_DIFFERENCES, SMALLEST_LOGIT)


def levels(logits: np.ndarray) -> np.ndarray:
  """Returns the bin of each logit: int64 of the same shape."""
  return _place(logits, LEVELS, _LEVELS_PER_LOGIT)


def scores(logits: np.ndarray) -> np.ndarray:
  """Returns the coarse bin of each logit, for intervals: int64."""
  return _place(logits, SCORES, _SCORES_PER_LOGIT)


def score_edge(place: int) -> float:
  """Returns the probability at which a bin of `scores` begins."""
  logit = (place - SCORES // 2) / _SCORES_PER_LOGIT
  return float(1 / (1 + np.exp(-logit)))


def differences(size: np.ndarray) -> np.ndarray:
  """Returns the bin of each |p - q|, float64 `[rows]`: int64 `[rows]`."""
  return _octaves(size, DIFFERENCES, SMALLEST)


def logit_differences(size: np.ndarray) -> np.ndarray:
  """Returns the bin of each |logit p - logit q|, float64: int64 `[rows]`."""
  return _octaves(size, LOGIT_DIFFERENCES, SMALLEST_LOGIT)


def buckets(numbers: np.ndarray) -> np.ndarray:
  """Returns the bucket of each example's number: int64 `[rows]`.

  A function of the number alone (the finalizer of splitmix64, Steele et al.
  2014), so an example is in the same bucket whatever file or job it comes by,
  and neighbours, which may be one user's, are spread like all others.
  """
  mixed = np.asarray(numbers).astype(np.uint64)
  mixed += np.uint64(0x9E3779B97F4A7C15)
  mixed ^= mixed >> np.uint64(30)
  mixed *= np.uint64(0xBF58476D1CE4E5B9)
  mixed ^= mixed >> np.uint64(27)
  mixed *= np.uint64(0x94D049BB133111EB)
  mixed ^= mixed >> np.uint64(31)
  return (mixed >> np.uint64(56)).astype(np.int64)


def _edges(bins: int, smallest: float) -> np.ndarray:
  octave, part = np.divmod(np.arange(bins), _PER_OCTAVE)
  return np.concatenate(
    [[0.0], smallest * 2.0**octave * (1 + part / _PER_OCTAVE)]
  )


def _place(logits: np.ndarray, bins: int, per_logit: int) -> np.ndarray:
  place = logits * per_logit
  place += bins // 2
  np.clip(place, 0, bins - 1, out=place)
  return place.astype(np.int64)  # of what is not negative: the floor


def _octaves(size: np.ndarray, bins: int, smallest: float) -> np.ndarray:
  first = int(np.float64(smallest).view(np.int64) >> _SHIFT)
  place = np.ascontiguousarray(size, np.float64).view(np.int64) >> _SHIFT
  place -= first - 1
  return np.clip(place, 0, bins - 1, out=place)
