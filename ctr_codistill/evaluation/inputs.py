"""What a scoring job reads: raw files or shards, cut into pieces.

A piece can be read without the others, which is what lets a job go on where it
was, or many workers share it. Rows come with their numbers in the whole input,
parsed and encoded by threads beside whoever takes them.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import records
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.raw import kept as kept_
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import pieces as pieces_
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.input_rows import Rows
from ctr_codistill.evaluation.prediction_writer import DTYPES

_SHARD_ROWS = 16_384  # rows that are read at a time

Encoders = Mapping[str, Encoder]
"""What makes prepared rows of raw ones, by the fingerprint of its schema."""


@dataclasses.dataclass(frozen=True)
class RawInput:
  """Raw files.

  Attributes:
    paths: of them.
    layout: their columns, and those that are kept.
    pieces: of all lines, in order.
  """

  paths: tuple[str, ...]
  layout: Layout
  pieces: tuple[Piece, ...]

  @property
  def rows(self) -> int:
    """Lines of all files."""
    return sum(piece.lines for piece in self.pieces)

  def read(
    self,
    pieces: Iterable[Piece],
    encoders: Encoders,
    *,
    threads: int,
    most_bad: int | None = None,
  ) -> Iterator[Rows]:
    """Yields the rows of some pieces in order; of each piece something.

    Raises:
      InputError: as `lines.blocks`.
    """

    def encoded(item: tuple[int, Block]) -> Rows:
      number, block = item
      rows = parsing.parse(block, self.layout, most_bad)
      return Rows(
        number,
        rows.lines,
        rows.labels if self.layout.has_label else None,
        {name: encoder(rows) for name, encoder in encoders.items()},
        dict(rows.kept),
        rows.bad,
      )

    blocks = (
      (piece.number, block)
      for piece in pieces
      for block in pieces_.blocks(piece, header=self.layout.header)
    )
    return parallel.in_order(encoded, blocks, threads)


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
    """Yields the rows of some pieces in order; see `RawInput.read`."""
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
    values = rows[:, 1 + _features(self.schema).index(name)]
    return pa.array(values, mask=values == MISSING)


Input = RawInput | ShardInput


def find(
  source: str,
  schemas: Sequence[Schema],
  *,
  layout: Layout | None = None,
  kept: Sequence[str] = (),
  labelled: bool = False,
  piece_bytes: int = pieces_.PIECE_BYTES,
  known: Sequence[Piece] | None = None,
) -> Input:
  """Returns the input that `source` is; lines of text are counted.

  Args:
    source: a directory of shards, or a pattern of raw files with or without
      the label column.
    schemas: of the models that shall read it.
    layout: of raw files; None is Criteo's form with the models' features.
    kept: names of columns that are passed on.
    labelled: whether there must be labels; that is told before lines are
      counted.
    piece_bytes: of plain text in a piece, at least 1.
    known: the pieces, where they were counted before.

  Raises:
    InputError: no input, one that does not fit the schemas, schemas of other
      features, a column that is not there or twice; no labels where there must
      be some.
  """
  for name in kept:
    if name in DTYPES or list(kept).count(name) > 1:
      raise InputError(
        f"a column to keep should be there once and none of "
        f"{', '.join(DTYPES)}, is {name!r}"
      )
  if is_shards(source):
    shards = _shards(source, schemas, tuple(kept))
    _check_labels(source, not labelled or _has_label(shards))
    return shards
  if piece_bytes < 1:
    raise InputError(f"piece_bytes should be at least 1, is {piece_bytes}")
  paths = lines.find(source)
  fitted = [layouts.fitting(schema, layout) for schema in schemas]
  if any(one != fitted[0] for one in fitted):
    raise InputError(
      "snapshots of one job should have the same features, have "
      + " and ".join(str(_features(schema)) for schema in schemas)
    )
  wanted = dataclasses.replace(fitted[0], kept=tuple(kept))
  found = layouts.detect(paths, wanted)
  kept_.check(paths, found)
  _check_labels(source, not labelled or found.has_label)
  if known is None:
    cut = pieces_.split(paths, piece_bytes, header=found.header)
    known = pieces_.numbered(
      [pieces_.counted(piece, header=found.header) for piece in cut]
    )
  return RawInput(tuple(paths), found, tuple(known))


def _check_labels(source: str, there: bool) -> None:
  if not there:
    raise InputError(f"{source} should have labels, has none")


def is_shards(source: str) -> bool:
  """Tells whether `source` is a directory of shards."""
  return (pathlib.Path(source) / records.MANIFEST).is_file()


def _shards(
  source: str, schemas: Sequence[Schema], kept: tuple[str, ...]
) -> ShardInput:
  opened = [records.open_shards(source, schema) for schema in schemas]
  for name in kept:
    if name not in (features := _features(schemas[0])):
      raise InputError(
        f"{source} should have a column {name!r}, has {', '.join(features)}"
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


def _has_label(found: ShardInput) -> bool:
  """Tells whether the first row has one; all have, or none."""
  first = list(records.read_rows(found.shards, 0, min(1, found.rows)))
  return not first or first[0][0, 0] >= 0


def _features(schema: Schema) -> list[str]:
  return [feature.name for feature in (*schema.numeric, *schema.categorical)]
