"""A directory of prepared shards as the input of a scoring job."""

import dataclasses
import itertools
import os
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import records
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.input_rows import Encoders
from ctr_codistill.evaluation.input_rows import Rows

_SHARD_ROWS = 16_384  # rows that are read at a time


@dataclasses.dataclass(frozen=True)
class ShardInput:
  """A directory of shards, each a piece: `start` and `stop` are rows.

  Attributes:
    shards: that it holds.
    schema: of their rows.
    kept: names of features that are passed on.
    pieces: one a shard.
  """

  shards: Shards
  schema: Schema
  kept: tuple[str, ...]
  pieces: tuple[Piece, ...]

  @property
  def rows(self) -> int:
    """Rows of all shards."""
    return self.shards.rows

  def read(
    self,
    pieces: Iterable[Piece],
    encoders: Encoders,
    *,
    threads: int,
    most_bad: int | None = None,
  ) -> Iterator[Rows]:
    """Yields the rows of some pieces in order; see `inputs.RawInput.read`."""
    del encoders, most_bad  # they are encoded, and none is bad

    def some(item: tuple[int, int, int]) -> Rows:
      number, start, stop = item
      parts = list(records.read_rows(self.shards, start, stop))
      none = np.zeros((0, self.shards.columns), np.int32)
      found = np.concatenate([none, *parts])
      label = None if len(found) and found[0, 0] < 0 else found[:, 0]
      return Rows(
        number,
        np.arange(start, stop),
        label,
        {self.schema.fingerprint: found},
        {name: self._column(found, name) for name in self.kept},
      )

    ranges = (
      (piece.number, start, min(start + _SHARD_ROWS, piece.stop))
      for piece in pieces
      for start in range(
        piece.start, max(piece.stop, piece.start + 1), _SHARD_ROWS
      )
    )
    return parallel.in_order(some, ranges, threads)

  def _column(self, rows: np.ndarray, name: str) -> pa.Array:
    values = rows[:, 1 + features(self.schema).index(name)]
    return pa.array(values, mask=values == MISSING)


def find(
  source: str, schemas: Sequence[Schema], kept: tuple[str, ...]
) -> ShardInput:
  """Returns the shards that all `schemas` fit; `kept` are of its features.

  Raises:
    InputError: as `records.open_shards`; a column that is not there.
  """
  opened = [records.open_shards(source, schema) for schema in schemas]
  for name in kept:
    if name not in (own := features(schemas[0])):
      raise InputError(
        f"{source} should have a column {name!r}, has {', '.join(own)}"
      )
  ends = list(itertools.accumulate(shard.rows for shard in opened[0].shards))
  pieces = [
    Piece(
      number,
      os.path.join(source, shard.name),
      start=end - shard.rows,
      stop=end,
      line=1,
      lines=shard.rows,
      row=end - shard.rows,
    )
    for number, (shard, end) in enumerate(zip(opened[0].shards, ends))
  ]
  return ShardInput(opened[0], schemas[0], kept, tuple(pieces))


def has_label(found: ShardInput) -> bool:
  """Tells whether the first row has one; all have, or none."""
  first = list(records.read_rows(found.shards, 0, min(1, found.rows)))
  return not first or first[0][0, 0] >= 0


def features(schema: Schema) -> list[str]:
  """Returns the names of the columns after the label."""
  return [feature.name for feature in (*schema.numeric, *schema.categorical)]
