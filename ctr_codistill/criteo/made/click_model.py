"""The known model of made clicks: a row's probability, in whole numbers.

A sum of effects: a value of a category has one of its own, by hashing, so that
ten million values cost no memory; pairs of small columns have one too; two
pairs of larger ones meet as a product of hidden vectors; integers act along a
curve of their logarithm, partly bent, partly turned by a category. All sums are
of integers (1 = 2**-16 of a logit), so a row's level is the same everywhere.
"""

import functools

import numpy as np

from ctr_codistill.criteo.made import draws
from ctr_codistill.criteo.made import population
from ctr_codistill.criteo.schema import MISSING

LEVELS = 4096
PER_UNIT = 256
UNIT = 2**16
_BELL = 209  # deviation of draws.bell
_PRODUCT = 10_922  # deviation of a product of hidden vectors: 2 x 74**2
_STEPS = 64  # of the logarithm, a doubling

_N = {name: place for place, name in enumerate(population.NUMERICS)}
_C = {name: place for place, name in enumerate(population.CATEGORICALS)}

# Deviations of the effects, in logits.
_VALUES = {
  "C1": 0.14, "C2": 0.17, "C3": 0.14, "C4": 0.10, "C5": 0.10, "C6": 0.14,
  "C7": 0.10, "C8": 0.10, "C10": 0.10, "C11": 0.10, "C13": 0.10, "C14": 0.17,
  "C15": 0.10, "C17": 0.21, "C18": 0.14, "C19": 0.10, "C20": 0.14, "C22": 0.10,
  "C23": 0.21, "C24": 0.14, "C25": 0.14, "C26": 0.10,
}  # fmt: skip
_PAIRS = {
  ("C14", "C17"): 0.34, ("C20", "C23"): 0.34, ("C6", "C17"): 0.34,
  ("C6", "C23"): 0.34, ("C14", "C20"): 0.34,
}  # fmt: skip
_PRODUCTS = {("C2", "C18"): 0.14, ("C13", "C24"): 0.14}
# Where the curve turns (in doublings), its slope and bend, a doubling.
_CURVES = {
  "I1": (2, 0.07, 0.0), "I2": (5, 0.0, -0.014), "I3": (3, 0.02, 0.0),
  "I5": (12, -0.035, -0.003), "I6": (6, -0.04, 0.008),
  "I7": (2, 0.07, -0.014), "I8": (3, 0.0, -0.035), "I9": (5, 0.0, 0.014),
  "I11": (2, 0.07, 0.0), "I13": (3, 0.035, -0.021),
}  # fmt: skip
_TURNS = {
  ("I6", "C17"): 0.11, ("I2", "C23"): 0.10, ("I5", "C20"): 0.08,
  ("I8", "C14"): 0.14,
}  # fmt: skip
_DAY = 0.3  # deviation of a day's own level at full drift


@functools.cache
def probabilities() -> np.ndarray:
  """Returns the probability of a click at each level, uint64 `[4096]`.

  In parts of 2**32; a level is 1/256 of a logit, level 2,048 is logit 0.
  """
  return draws.sigmoids(LEVELS, PER_UNIT)


def levels(scores: np.ndarray, *, signal: float, bias: int) -> np.ndarray:
  """Returns the levels of the logits `signal * scores + bias`, int64 `[rows]`.

  Args:
    scores: what `scores` returns.
    signal: factor, taken in steps of 1/1,024.
    bias: in parts of 2**-16 of a logit.
  """
  logits = (scores * round(signal * 1024) >> 10) + bias
  found = (logits // (UNIT // PER_UNIT)) + LEVELS // 2
  return np.clip(found, 0, LEVELS - 1)


def scores(
  seed: int,
  *,
  numerics: np.ndarray,
  categories: np.ndarray,
  days: np.ndarray,
  drift: float,
) -> np.ndarray:
  """Returns the rows' scores in parts of 2**-16 of a logit, int64 `[rows]`.

  Args:
    seed: decides all effects.
    numerics: int32 `[13, rows]`.
    categories: int32 `[26, rows]`.
    days: the day of each row, int64 `[rows]`.
    drift: share of values that get another effect each day, 0 to 1.
  """
  total = _category_scores(seed, categories, days, drift)
  total += _numeric_scores(seed, numerics, categories)
  if drift:
    own = draws.bell(draws.bits64(draws.key(seed, "day"), days))
    total += own * _weight(_DAY * drift)
  return total


def _category_scores(
  seed: int, categories: np.ndarray, days: np.ndarray, drift: float
) -> np.ndarray:
  total = np.zeros(len(days), np.int64)
  for name, deviation in _VALUES.items():
    bits = draws.bits64(draws.key(seed, "effect", name), categories[_C[name]])
    if drift:
      bits = _drifted(seed, bits, days, drift)
    total += draws.bell(bits) * _weight(deviation)
  for (one, other), deviation in _PAIRS.items():
    pair = categories[_C[one]].astype(np.int64) * 2**32 + categories[_C[other]]
    bits = draws.bits64(draws.key(seed, "pair", one, other), pair)
    total += draws.bell(bits) * _weight(deviation)
  for (one, other), deviation in _PRODUCTS.items():
    product = _product(seed, categories[_C[one]], categories[_C[other]])
    total += product * round(deviation * UNIT * 2**6 / _PRODUCT) >> 6
  return total


def _weight(deviation: float) -> int:
  return round(deviation * UNIT / _BELL)


def _drifted(
  seed: int, bits: np.ndarray, days: np.ndarray, drift: float
) -> np.ndarray:
  times = population.generation(days, bits & np.uint64(2**16 - 1), drift)
  fresh = draws.bits64(draws.key(seed, "drift"), bits + times)
  return np.where(times > 0, fresh, bits)


def _product(seed: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the inner products of vectors of 4 bytes, int64 `[rows]`."""
  ours = draws.bits64(draws.key(seed, "vector", 1), one).view(np.int8)
  theirs = draws.bits64(draws.key(seed, "vector", 2), other).view(np.int8)
  meeting = (
    ours.reshape(-1, 8)[:, :4].astype(np.int32) * theirs.reshape(-1, 8)[:, :4]
  )
  return meeting.sum(1, dtype=np.int64)


def _numeric_scores(
  seed: int, numerics: np.ndarray, categories: np.ndarray
) -> np.ndarray:
  total = np.zeros(numerics.shape[1], np.int64)
  logs = {name: _doublings(name, numerics[_N[name]]) for name in _CURVES}
  for name, log in logs.items():
    total += _curve(name)[log]
  for (name, other), deviation in _TURNS.items():
    turn = draws.bell(
      draws.bits64(draws.key(seed, "turn", name), categories[_C[other]])
    )
    steps = logs[name] - _CURVES[name][0] * _STEPS
    steps[logs[name] < 0] = 0
    total += steps * turn * _weight(deviation) // _STEPS
  return total


def _doublings(name: str, values: np.ndarray) -> np.ndarray:
  """Returns about 64 x log2(1 + value - lowest), int64 `[rows]`; missing: -1.

  Straight between powers of two: `frexp` is exact, `log2` need not be.
  """
  lowest = population.NUMERICS[name].lowest
  mantissa, exponent = np.frexp(values.astype(np.float64) - (lowest - 1))
  logs = ((exponent + 2 * mantissa - 2) * _STEPS).astype(np.int64)
  return np.where(values == MISSING, -1, logs)


@functools.cache
def _curve(name: str) -> np.ndarray:
  """Returns the effect at 0, 1, ... 64ths of a doubling; the last: missing."""
  turn, slope, bend = _CURVES[name]
  x = np.arange(32 * _STEPS) / _STEPS - turn
  effects = np.clip(slope * x + bend * x * x, -0.6, 0.6)
  effects[-1] = -0.15
  return np.rint(effects * UNIT).astype(np.int64)
