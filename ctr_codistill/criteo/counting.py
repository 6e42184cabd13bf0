"""What the training rows hold: counts of values, moments of integers.

Sums that merge: each block is counted by itself, in any thread. They are sums
of integers, so that the same rows give the same bits however they were cut.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ctr_codistill.criteo import schema
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema

_SCALE = 1 << 16
_MERGE_AT = 1 << 20
_TYPE = pa.schema([("value", pa.binary()), ("count", pa.int64())])


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
  tables = [_TYPE.empty_table() for _ in range(categoricals)]
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


def vocabulary(counts: pa.Table, min_count: int) -> pa.BinaryArray:
  """Returns the values seen `min_count` times or more, binary `[size]`.

  The most frequent come first, equally frequent ones in the order of their
  bytes; the empty value, which is a missing one, is left out.
  """
  table = _grouped(counts)
  often = compute.greater_equal(table["count"], min_count)
  there = compute.not_equal(table["value"], b"")
  table = table.filter(compute.and_(often, there))
  order = [("count", "descending"), ("value", "ascending")]
  values = table.sort_by(order)["value"].combine_chunks()
  return values if len(values) else pa.array([], pa.binary())


def write(
  counts: Counts,
  names: tuple[Sequence[str], Sequence[str]],
  directory: str | os.PathLike,
  *,
  min_count: int,
  oov: int,
) -> Schema:
  """Writes the vocabularies into `directory` and returns the schema.

  Args:
    counts: over the training rows.
    names: of the numerics, and of the categoricals.
    directory: gets `vocabularies/NAME.txt`.
    min_count: rows with a value for it to get an id of its own, at least 1.
    oov: ids for the other values of a feature, at least 1.
  """
  categorical = []
  for name, table in zip(names[1], counts.values):
    values = vocabulary(table, min_count)
    sha256 = vocabularies.write(values, directory, name)
    categorical.append(Categorical(name, len(values), oov, sha256))
  return Schema(numerics(counts, names[0]), tuple(categorical))


def _moments(numeric: np.ndarray) -> np.ndarray:
  there = (numeric != MISSING).T
  values = np.where(there, numeric.T, 0).astype(np.float64)
  logs = np.sign(values) * np.log1p(np.abs(values))
  units = np.rint(logs * _SCALE).astype(np.int64)
  # At most 2**41 each: a block's squares fit, those of many need not.
  sums = [there.sum(1), units.sum(1), (units**2).sum(1)]
  return np.stack(sums).astype(object)


def _values(array: pa.DictionaryArray) -> pa.Table:
  size = len(array.dictionary)
  counts = np.bincount(array.indices.to_numpy(), minlength=size)
  table = pa.table([array.dictionary, pa.array(counts)], schema=_TYPE)
  return table.filter(pa.array(counts > 0))


def _merged(ours: pa.Table, theirs: pa.Table) -> pa.Table:
  """Returns both, grouped once the new part has grown to a good size."""
  joined = pa.concat_tables([ours, theirs])
  grouped = ours.column(0).chunk(0) if ours.column(0).num_chunks else ()
  if len(joined) < max(_MERGE_AT, 2 * len(grouped)):
    return joined
  return _grouped(joined)


def _grouped(table: pa.Table) -> pa.Table:
  """Returns each value once, with its count."""
  found = table.group_by("value", use_threads=False).aggregate(
    [("count", "sum")]
  )
  return found.rename_columns({"count_sum": "count"}).combine_chunks()
