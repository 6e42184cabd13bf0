"""Sums of floats that merge to the same bits in any order.

A float64 sum depends on the order of its terms, so a job on many machines would
not give what one machine gives. Here the sum over a chunk of examples, a
float64, is cut into two integers, high * 2^-16 + low * 2^-64, and integers are
added: the total is the same whatever chunk comes first. What is cut off is less
than 2^-65 a chunk, below the rounding of the chunk's own sum.
"""

import numpy as np

_HIGH = 2.0**16
_LOW = 2.0**64
_CARRY = 48  # bits between the two


def split(sums: np.ndarray) -> np.ndarray:
  """Returns float64 `[...]`, each below 2^46, as int64 `[2, ...]`."""
  high = np.rint(sums * _HIGH)
  low = np.rint((sums - high / _HIGH) * _LOW)
  return np.array([high, low]).astype(np.int64)


def add(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns the sum of two `split` arrays; the same bits for equal totals."""
  total = one + other
  carry = (total[1] + (1 << (_CARRY - 1))) >> _CARRY
  total[0] += carry
  total[1] -= carry << _CARRY
  return total


def join(parts: np.ndarray) -> np.ndarray:
  """Returns the float64 `[...]` next to a `split` total `[2, ...]`."""
  return parts[0] / _HIGH + parts[1] / _LOW
