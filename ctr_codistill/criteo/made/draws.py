"""Random numbers as a function of a key and a counter, in integers alone.

Made rows should be the same bytes on every supported stack, in any order and by
any number of workers. So a draw is a hash of its counter (the finalizer of
splitmix64), and a distribution is a table of integers: numpy's own streams may
change between releases, and `log` or `exp` between builds in their last bit.
Tables are made by the decimal module, which rounds correctly everywhere.
"""

import dataclasses
import decimal
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

BUCKETS = 2048
_LOW_BITS = 21  # of 32 bits, 11 choose the bucket and 21 the place in it
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def key(seed: int, *names: object) -> np.uint64:
  """Returns 64 bits that belong to `seed` and `names` alone."""
  text = "/".join(str(part) for part in (seed, *names))
  digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
  return np.uint64(int.from_bytes(digest, "little"))


def bits64(stream: np.uint64, counters: np.ndarray) -> np.ndarray:
  """Returns 64 random bits for each counter, uint64 `[rows]`.

  Args:
    stream: a `key`; other keys give independent bits.
    counters: integers `[rows]` of any type.
  """
  x = counters.astype(np.uint64)
  x *= _GAMMA
  x += stream
  x ^= x >> np.uint64(30)
  x *= _FIRST
  x ^= x >> np.uint64(27)
  x *= _SECOND
  x ^= x >> np.uint64(31)
  return x


def bits32(stream: np.uint64, counters: np.ndarray) -> np.ndarray:
  """Returns the upper 32 of `bits64`: uint64 `[rows]` in `[0, 2**32)`."""
  return bits64(stream, counters) >> np.uint64(32)


def below(share: float) -> np.uint64:
  """Returns the bound under which `share` of all 32-bit draws lie."""
  return np.uint64(round(share * 2**32))


def bell(bits: np.ndarray) -> np.ndarray:
  """Returns about normal integers, int64 `[rows]`: mean 0, deviation 209.

  The sum of a draw's eight bytes, less its mean of 1020.
  """
  odd = np.uint64(0x00FF00FF00FF00FF)
  pairs = (bits & odd) + ((bits >> np.uint64(8)) & odd)
  sums = (pairs * np.uint64(0x0001000100010001)) >> np.uint64(48)
  return sums.astype(np.int64) - 1020


@dataclasses.dataclass(frozen=True, eq=False)
class Quantiles:
  """A distribution of integers as 2,048 ranges of equal probability.

  Attributes:
    ranges: uint64 `[2048]`: first value of the range in the upper 32 bits, how
      many values it has (at least 1) in the lower.
  """

  ranges: np.ndarray

  def pick(self, draws: np.ndarray) -> np.ndarray:
    """Returns the values at the quantiles `draws` / 2**32, uint64 `[rows]`.

    Args:
      draws: uint64 `[rows]` in `[0, 2**32)`.
    """
    found = self.ranges[(draws >> np.uint64(_LOW_BITS)).astype(np.intp)]
    place = draws & np.uint64(2**_LOW_BITS - 1)
    place *= found & np.uint64(2**32 - 1)
    place >>= np.uint64(_LOW_BITS)
    place += found >> np.uint64(32)
    return place


def quantiles(
  knots: Sequence[tuple[float, int]], *, offset: int = 1
) -> Quantiles:
  """Returns the distribution whose quantile function passes `knots`.

  Args:
    knots: (cumulative share, value), both ascending, from share 0 to 1; values
      are at least 0, the last one itself does not occur.
    offset: between knots `value + offset` grows geometrically: small ones give
      heavy tails (Zipf), huge ones a uniform distribution.
  """
  edges: list[int] = []
  for (share, low), (next_share, high) in itertools.pairwise(knots):
    count = round(next_share * BUCKETS) - round(share * BUCKETS)
    edges += _geometric(low + offset, high + offset, count, offset)
  edges.append(knots[-1][1])
  firsts = np.array(edges[:-1], np.uint64)
  widths = np.maximum(np.diff(np.array(edges, np.int64)), 1)
  return Quantiles(firsts << np.uint64(32) | widths.astype(np.uint64))


def _geometric(low: int, high: int, count: int, offset: int) -> list[int]:
  """Returns `count` integers from `low` on; the next one would be `high`."""
  if not count:
    return []
  with decimal.localcontext(decimal.Context(prec=40)):
    value = decimal.Decimal(low)
    ratio = (decimal.Decimal(high) / value) ** (decimal.Decimal(1) / count)
    found = []
    for _ in range(count):
      found.append(int(value + decimal.Decimal("1e-20")) - offset)
      value *= ratio
  return found


def sigmoids(levels: int, per_unit: int) -> np.ndarray:
  """Returns 2**32 x sigmoid(x) in whole numbers, uint64 `[levels]`.

  The grid of x has `per_unit` steps a unit and its 0 at `levels // 2`.
  """
  with decimal.localcontext(decimal.Context(prec=40)):
    step = (-decimal.Decimal(1) / per_unit).exp()
    odds = (decimal.Decimal(levels // 2) / per_unit).exp()
    found = []
    for _ in range(levels):
      found.append(int(2**32 / (1 + odds) + decimal.Decimal("0.5")))
      odds *= step
  return np.array(found, np.uint64)
