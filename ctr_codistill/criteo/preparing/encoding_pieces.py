"""The second pass in portions: pieces to rows, rows to shards.

What `counting_pieces` says holds here. Where a row belongs follows from how
many are before its piece.
"""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Iterable

import numpy as np

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.preparing import shard_writer
from ctr_codistill.criteo.preparing.counting_pieces import Made
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.vocabularies import Vocabularies
from ctr_codistill.errors import InputError

_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Start:
  """A piece, and how many rows of each split are in those before it."""

  piece: Piece
  train: int
  validation: int


def encode(start: Start, *, job: Job, schema: Schema) -> Made:
  """Yields rows by split and shard, and says how many lines it read.

  Of each portion the number of its first row in the split, and its bytes.
  """
  encoder = _encoder(job.output, schema)
  layout = layouts.fitting(schema, job.layout)
  bad = Quarantine(job.rows, job.options.max_bad_fraction, None)

  def encoded(block: Block) -> tuple[Rows, np.ndarray]:
    rows = parsing.parse(block, layout, bad.allowed)
    return rows, encoder(rows)

  blocks = pieces.blocks(
    start.piece, job.options.block_bytes, header=layout.header
  )
  train, validation, lines_in = start.train, start.validation, 0
  for rows, found in parallel.in_order(encoded, blocks, job.options.threads):
    cut = int(np.searchsorted(rows.lines, job.train_rows))
    yield from _cut(job, prepared.TRAIN, train, found[:cut])
    yield from _cut(job, prepared.VALIDATION, validation, found[cut:])
    train, validation = train + cut, validation + len(found) - cut
    lines_in += rows.lines_in
  yield {"lines": lines_in}


def write_shard(
  part: tuple[tuple[str, int], Iterable[tuple[int, bytes]]],
  *,
  job: Job,
  columns: int,
) -> Made:
  """Writes the shard that some portions of rows are, and says what it is.

  Raises:
    InputError: they do not lie side by side.
  """
  (split, number), portions = part
  found, end = [], number * job.options.shard_rows
  for first, text in sorted(portions):
    if first != end:
      raise InputError(
        f"row {end} of {split} should be next, is {first}; did the input "
        "change meanwhile? --overwrite starts anew"
      )
    found.append(np.frombuffer(text, records.ROW_TYPE).reshape(-1, columns))
    end += len(found[-1])
  folder = job.output / split
  folder.mkdir(exist_ok=True)
  shard = shard_writer.write_shard(
    folder, number, np.concatenate(found), job.options.block_rows
  )
  yield {"split": split, "number": number, "shard": dataclasses.asdict(shard)}


@functools.lru_cache(maxsize=1)
def _read_encoder(output: pathlib.Path, schema: Schema) -> Encoder:
  return Encoder(schema, Vocabularies(output, schema))


def _encoder(output: pathlib.Path, schema: Schema) -> Encoder:
  """Returns the one of this process, which may take 0.5 GiB."""
  with _LOCK:
    return _read_encoder(output, schema)


def _cut(job: Job, split: str, first: int, rows: np.ndarray) -> Made:
  """Yields `rows`, from number `first` of a split on, cut at its shards."""
  rows = np.ascontiguousarray(rows, records.ROW_TYPE)
  while len(rows):
    shard = first // job.options.shard_rows
    size = (shard + 1) * job.options.shard_rows - first
    yield (split, shard), (first, rows[:size].tobytes())
    rows, first = rows[size:], first + size
