"""What the training rows hold: counts of values, moments of integers.

Sums that merge: each block is counted by itself, in any thread. They are sums
of integers, so that the same rows give the same bits however they were cut.
"""

import dataclasses
import functools
from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ctr_codistill.criteo import schema
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Numeric

_SCALE = 1 << 16
_MERGE_AT = 1 << 20
_ORDER = [("count", "descending"), ("value", "ascending")]


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
  """The sums over some rows.

  Attributes:
    rows: how many.
    moments: Python integers `[3, numerics]`: number, sum and sum of squares of
      sign(x) * log(1 + |x|), rounded to units of 2**-16, over the integers that
      are there.
    values: for each categorical its values with their counts, a table of
      `value` and `count`; a value may stand there more than once.
  """

  rows: int
  moments: np.ndarray
  values: tuple[pa.Table, ...]

  @functools.cached_property
  def bytes(self) -> int:
    """Memory that the values and their counts take."""
    return sum(table.nbytes for table in self.values)

  def merge(self, other: "Counts") -> "Counts":
    """Returns the sums over the rows of both; `other`'s come after."""
    return Counts(
      rows=self.rows + other.rows,
      moments=self.moments + other.moments,
      values=tuple(
        _merged(ours, theirs) for ours, theirs in zip(self.values, other.values)
      ),
    )


def count(rows: Rows, stop: int) -> Counts:
  """Returns the sums over the first `stop` of the rows."""
  return Counts(
    rows=stop,
    moments=_moments(rows.numeric[:stop]),
    values=tuple(_values(array[:stop]) for array in rows.categorical),
  )


def nothing(numerics: int, categoricals: int) -> Counts:
  """Returns the sums over no rows."""
  tables = [spilling.TYPE.empty_table() for _ in range(categoricals)]
  return Counts(0, np.zeros((3, numerics), object), tuple(tables))


def numerics(counts: Counts, names: Sequence[str]) -> tuple[Numeric, ...]:
  """Returns the numeric features with their statistics."""
  found = []
  for name, (number, total, squares) in zip(names, counts.moments.T):
    spread = number * squares - total**2
    scale = max(number, 1) * _SCALE
    std = spread**0.5 / scale if spread else 1.0
    boundaries = schema.log_squared_boundaries()
    found.append(Numeric(name, total / scale, std, boundaries))
  return tuple(found)


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
  """The values of a feature that get an id of their own.

  Attributes:
    values: binary `[size]`, the most frequent first, equally frequent ones in
      the order of their bytes.
    distinct: values that were seen, the empty one left out.
    capped: values seen often enough that are left out for want of places.
    capped_rows: how often those were seen.
  """

  values: pa.BinaryArray
  distinct: int
  capped: int
  capped_rows: int


def vocabulary(
  tables: Iterable[pa.Table], min_count: int, most: int = 0
) -> Vocabulary:
  """Returns the values seen `min_count` times or more, without the empty one.

  Args:
    tables: of `value` and `count`; no value stands in two of them, or twice.
    min_count: at least 1.
    most: values to return; 0 is no limit.
  """
  kept, size, distinct, lost = [], 0, 0, np.zeros(2, np.int64)
  for table in tables:
    table = table.filter(compute.not_equal(table["value"], b""))
    distinct += len(table)
    kept.append(table.filter(compute.greater_equal(table["count"], min_count)))
    size += len(kept[-1])
    if most and size > max(2 * most, _MERGE_AT):
      best, lost = _best(kept, most, lost)
      kept, size = [best], len(best)
  best, lost = _best(kept, most, lost)
  values = best["value"].combine_chunks()
  values = values if len(values) else pa.array([], pa.binary())
  return Vocabulary(values, distinct, *lost.tolist())


def _best(
  tables: Sequence[pa.Table], most: int, lost: np.ndarray
) -> tuple[pa.Table, np.ndarray]:
  """Returns the `most` first, and `lost` with the others and their rows."""
  table = pa.concat_tables(tables or [spilling.TYPE.empty_table()])
  table = table.sort_by(_ORDER)
  if not most or len(table) <= most:
    return table, lost
  others = table[most:]
  rows = compute.sum(others["count"]).as_py()
  return table[:most].combine_chunks(), lost + np.array([len(others), rows])


def _moments(numeric: np.ndarray) -> np.ndarray:
  # A column at a time, so that what is computed stays in the cache.
  sums = [_sums(values) for values in numeric.T]
  return np.array(sums, object).reshape(-1, 3).T


def _sums(values: np.ndarray) -> tuple[int, int, int]:
  there = values != MISSING
  values = (values * there).astype(np.float64)
  logs = np.sign(values) * np.log1p(np.abs(values))
  units = np.rint(logs * _SCALE).astype(np.int64)
  # At most 2**41 each: a block's squares fit, those of many need not.
  squares = np.dot(units, units)
  return int(np.count_nonzero(there)), int(units.sum()), int(squares)


def _values(array: pa.DictionaryArray) -> pa.Table:
  size = len(array.dictionary)
  counts = np.bincount(array.indices.to_numpy(), minlength=size)
  table = pa.table([array.dictionary, pa.array(counts)], schema=spilling.TYPE)
  return table if counts.all() else table.filter(pa.array(counts > 0))


def _merged(ours: pa.Table, theirs: pa.Table) -> pa.Table:
  """Returns both, grouped once the new part has grown to a good size."""
  joined = pa.concat_tables([ours, theirs])
  grouped = ours.column(0).chunk(0) if ours.column(0).num_chunks else ()
  if len(joined) < max(_MERGE_AT, 2 * len(grouped)):
    return joined
  return spilling.grouped(joined)
