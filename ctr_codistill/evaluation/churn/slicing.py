"""Which slice of a column each example belongs to: values or ranges.

A column of floats is cut at its quantiles, any other by its most frequent
values; both are found in a pass of their own, in bounded memory: numbers are
counted in 2^20 bins by the first bits of a float64 (a cut is right to 0.4 % of
its value), and of values no more than 100,000 are counted at a time.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NONE = "(none)"
OTHER = "(other)"

_BITS = 44  # of 64 that do not name a number's bin
_MOST_VALUES = 100_000


@dataclasses.dataclass(frozen=True)
class Slicing:
  """How one column cuts the examples.

  The last slice but one holds other values, the last those without any.

  Attributes:
    column: its name.
    values: as text, those that have a slice; None for ranges.
    edges: between the ranges, ascending; None for values.
  """

  column: str
  values: tuple[str, ...] | None = None
  edges: tuple[float, ...] | None = None

  @property
  def names(self) -> tuple[str, ...]:
    """The names of the slices, in the order of their numbers."""
    if self.values is not None:
      return (*self.values, OTHER, NONE)
    marks = [f"{edge:.6g}" for edge in self.edges]
    if not marks:
      return ("all", OTHER, NONE)
    inner = [f"{a} to {b}" for a, b in itertools.pairwise(marks)]
    return (f"below {marks[0]}", *inner, f"{marks[-1]} or more", OTHER, NONE)

  def codes(self, array: pa.Array) -> np.ndarray:
    """Returns the number of each row's slice: `[rows]` int64."""
    size = len(self.names)
    if self.edges is not None:
      values = _floats(array)
      found = np.searchsorted(self.edges, values, side="right")
      return np.where(np.isnan(values), size - 1, found)
    # Of each value once, not of each row: texts are dear.
    is_dictionary = pa.types.is_dictionary(array.type)
    coded = array if is_dictionary else array.dictionary_encode()
    text = pc.cast(coded.dictionary, pa.string())
    found = pc.index_in(text, pa.array(self.values, pa.string()))
    found = pc.fill_null(found, size - 2).to_numpy(zero_copy_only=False)
    code = np.append(found, size - 1).astype(np.int64)
    return code[pc.fill_null(coded.indices, len(found)).to_numpy(False)]


def survey(
  parts: Iterable[Mapping[str, pa.Array]], *, slices: int
) -> tuple[Slicing, ...]:
  """Returns how each column is cut.

  Args:
    parts: the columns by name, of consecutive examples; always the same names.
    slices: most values, or ranges, of a column.
  """
  counted: dict[str, _Numbers | _Values] = {}
  for part in parts:
    for name, array in part.items():
      if name not in counted:
        kind = _Numbers if pa.types.is_floating(array.type) else _Values
        counted[name] = kind()
      counted[name].add(array)
  return tuple(c.slicing(name, slices) for name, c in counted.items())


class _Numbers:
  """Counts of numbers, by their first bits."""

  def __init__(self) -> None:
    self._counts = np.zeros(1 << (64 - _BITS), np.int64)

  def add(self, array: pa.Array) -> None:
    values = _floats(array)
    bits = values[~np.isnan(values)].view(np.uint64)
    sign = np.uint64(1 << 63)
    # Bits of negative numbers descend: turned round, they ascend.
    keys = np.where(bits & sign, ~bits, bits | sign) >> np.uint64(_BITS)
    self._counts += np.bincount(
      keys.astype(np.int64), minlength=len(self._counts)
    )

  def slicing(self, name: str, slices: int) -> Slicing:
    before = np.cumsum(self._counts)
    wanted = before[-1] * np.arange(1, slices) / slices
    keys = np.searchsorted(before, wanted, side="right")
    held = np.flatnonzero(self._counts)
    # Nothing is below the lowest: where many have it, the cut is above them.
    keys = np.unique(np.maximum(keys, held[1])) if len(held) > 1 else held[:0]
    bits = keys.astype(np.uint64) << np.uint64(_BITS)
    sign = np.uint64(1 << 63)
    edges = np.where(bits & sign, bits ^ sign, ~bits).view(np.float64)
    return Slicing(name, edges=tuple(map(float, edges)))


class _Values:
  """Counts of values; the rarest are forgotten when there are too many."""

  def __init__(self) -> None:
    self._counts: collections.Counter = collections.Counter()

  def add(self, array: pa.Array) -> None:
    found = pc.value_counts(_plain(array))
    values = pc.cast(found.field("values"), pa.string())
    counts = found.field("counts")
    self._counts.update(dict(zip(values.to_pylist(), counts.to_pylist())))
    del self._counts[None]
    if len(self._counts) > _MOST_VALUES:
      kept = self._counts.most_common(_MOST_VALUES // 2)
      self._counts = collections.Counter(dict(kept))

  def slicing(self, name: str, slices: int) -> Slicing:
    order = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
    return Slicing(name, values=tuple(value for value, _ in order[:slices]))


def _plain(array: pa.Array) -> pa.Array:
  is_dictionary = pa.types.is_dictionary(array.type)
  return array.dictionary_decode() if is_dictionary else array


def _floats(array: pa.Array) -> np.ndarray:
  cast = pc.cast(array, pa.float64())
  return np.array(pc.fill_null(cast, float("nan")).to_numpy(False))
