"""What a scoring job reads: raw files or shards, cut into pieces.

A piece can be read without the others, which is what lets a job go on where it
was, or many workers share it. Rows come with their numbers in the whole input,
parsed and encoded by threads beside whoever takes them.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from ctr_codistill import globs
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import records
from ctr_codistill.criteo.raw import kept as kept_
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import pieces as pieces_
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import shard_input
from ctr_codistill.evaluation.input_rows import Encoders
from ctr_codistill.evaluation.input_rows import Rows
from ctr_codistill.evaluation.prediction_writer import DTYPES
from ctr_codistill.evaluation.shard_input import ShardInput


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


Input = RawInput | ShardInput


def find(
  source: str,
  schemas: Sequence[Schema],
  *,
  layout: Layout | None = None,
  kept: Sequence[str] = (),
  labelled: bool = False,
  piece_bytes: int = pieces_.PIECE_BYTES,
) -> Input:
  """Returns the input that `source` is; lines of text are counted.

  Args:
    source: see `look`; so are the others.
    schemas: of the models that shall read it.
    layout: of raw files.
    kept: names of columns that are passed on.
    labelled: whether there must be labels.
    piece_bytes: of plain text in a piece, at least 1.

  Raises:
    InputError: as `look` and `cut`.
  """
  found = look(source, schemas, layout=layout, kept=kept, labelled=labelled)
  if isinstance(found, ShardInput):
    return found
  return counted(found, cut(found, piece_bytes))


def look(
  source: str,
  schemas: Sequence[Schema],
  *,
  layout: Layout | None = None,
  kept: Sequence[str] = (),
  sliced: Sequence[str] = (),
  labelled: bool = False,
) -> Input:
  """Returns the input that `source` is; raw files are not cut into pieces yet.

  Args:
    source: a directory of shards, or a pattern of raw files with or without
      the label column.
    schemas: of the models that shall read it.
    layout: of raw files; None is Criteo's form with the models' features.
    kept: names of columns that are passed on.
    sliced: of them those by which reports will cut the rows.
    labelled: whether there must be labels.

  Raises:
    InputError: no input, one that does not fit the schemas, schemas of other
      features, a column that is not there or twice, or cannot be cut by; no
      labels where there must be some.
  """
  for name in kept:
    if name in DTYPES or list(kept).count(name) > 1:
      raise InputError(
        f"a column to keep should be there once and none of "
        f"{', '.join(DTYPES)}, is {name!r}"
      )
  if is_shards(source):
    shards = shard_input.find(source, schemas, tuple(kept))
    _check_labels(source, not labelled or shard_input.has_label(shards))
    return shards
  paths = lines.find(source)
  fitted = [layouts.fitting(schema, layout) for schema in schemas]
  if any(one != fitted[0] for one in fitted):
    raise InputError(
      "snapshots of one job should have the same features, have "
      + " and ".join(str(shard_input.features(schema)) for schema in schemas)
    )
  wanted = dataclasses.replace(fitted[0], kept=tuple(kept))
  found = layouts.detect(paths, wanted)
  kept_.check(paths, found, sliced)
  _check_labels(source, not labelled or found.has_label)
  return RawInput(tuple(paths), found, ())


def cut(found: RawInput, piece_bytes: int) -> list[Piece]:
  """Returns the pieces of raw files, not counted yet.

  Raises:
    InputError: `piece_bytes` is below 1, or as `pieces.split`.
  """
  if piece_bytes < 1:
    raise InputError(f"piece_bytes should be at least 1, is {piece_bytes}")
  header = found.layout.header
  return pieces_.split(found.paths, piece_bytes, header=header)


def counted(
  found: RawInput,
  pieces: Sequence[Piece],
  *,
  threads: int = 2,
  progress: Callable[[int], None] = lambda rows: None,
) -> RawInput:
  """Returns raw files with their pieces, whose lines are counted by threads.

  Args:
    found: the files.
    pieces: of them, see `cut`.
    threads: that count.
    progress: called with the number of lines newly seen.
  """
  done = pieces_.all_counted(
    pieces, header=found.layout.header, threads=threads, progress=progress
  )
  return dataclasses.replace(found, pieces=tuple(done))


def patterns(source: str | Input) -> list[str]:
  """Returns what matches the files of an input, as `lines.find` takes it."""
  if isinstance(source, RawInput):
    return [globs.escaped(path) for path in source.paths]
  if isinstance(source, ShardInput):
    source = os.fspath(source.shards.directory)
  if not is_shards(source):
    return [source]
  return [os.path.join(globs.escaped(source), "*")]


def _check_labels(source: str, there: bool) -> None:
  if not there:
    raise InputError(f"{source} should have labels, has none")


def is_shards(source: str) -> bool:
  """Tells whether `source` is a directory of shards."""
  return (pathlib.Path(source) / records.MANIFEST).is_file()
