"""Raw lines to arrays; lines that are none go to quarantine, with a reason.

What a row is, `judging` says. A block that does not parse is halved until the
bad lines are alone.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo import bins
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo.raw import batches
from ctr_codistill.criteo.raw import judging
from ctr_codistill.criteo.raw import kept
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64

UNKNOWN_LABEL = -1


@dataclasses.dataclass(frozen=True)
class BadLine:
  """A line that is no row: its file, its number there from 1, and why."""

  path: str
  line: int
  reason: str
  text: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
  """The rows of a block, and its lines that are none.

  Attributes:
    labels: int32 `[rows]`, 0 or 1, or -1 where unknown.
    numeric: int32 `[rows, numerics]`, clipped, `MISSING` for none.
    categorical: a dictionary array `[rows]` of bytes each; empty for none. Of
      a layout that is `binned` the bins of the numerics follow.
    lines: int64 `[rows]`, ascending: number of the row in the whole input, from
      0, bad lines included.
    bad: the others.
    kept: columns as they came, `[rows]` each, by the names in `Layout.kept`.
  """

  labels: np.ndarray
  numeric: np.ndarray
  categorical: tuple[pa.DictionaryArray, ...]
  lines: np.ndarray
  bad: tuple[BadLine, ...]
  kept: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

  @property
  def lines_in(self) -> int:
    """Lines that were read: rows and bad ones."""
    return len(self.lines) + len(self.bad)


def read(
  paths: Sequence[str],
  layout: Layout,
  *,
  threads: int = 2,
  block_bytes: int = lines.BLOCK_BYTES,
) -> Iterator[Rows]:
  """Yields the rows of all files, in order.

  Raises:
    InputError: as `lines.blocks`.
  """
  blocks = lines.blocks(paths, block_bytes, header=layout.header)
  return parallel.in_order(lambda b: parse(b, layout), blocks, threads)


def parse(block: Block, layout: Layout, most_bad: int | None = None) -> Rows:
  """Returns the rows of a block; every line of it is a row or a bad line.

  Args:
    block: the lines.
    layout: their columns.
    most_bad: where there are more bad lines than this, returns only the first
      of them, one too many, and no rows: to find each takes some milliseconds,
      and a file of nothing else should not take hours. `None` is no limit.
  """
  if block.batch is not None:
    return _parse_batch(block, block.batch, layout, most_bad)
  text = judging.whole(block.text)
  table = judging.table(text, layout)
  if table is not None:
    return _rows(block, table, layout, np.arange(block.lines), ())
  split = text.removesuffix(b"\n").split(b"\n")
  limit = len(split) if most_bad is None else most_bad + 1
  places = list(itertools.islice(judging.bad_places(split, layout), limit))
  bad = tuple(
    BadLine(
      block.path, block.line + i, judging.explain(split[i], layout), split[i]
    )
    for i in places
  )
  if most_bad is not None and len(bad) > most_bad:
    return _rows(block, judging.no_rows(layout), layout, np.arange(0), bad)
  good = np.delete(np.arange(block.lines), places)
  text = b"".join(split[i] + b"\n" for i in good)
  table = judging.table(text, layout) if text else judging.no_rows(layout)
  return _rows(block, table, layout, good, bad)


def _parse_batch(
  block: Block, batch: pa.RecordBatch, layout: Layout, most_bad: int | None
) -> Rows:
  table, reasons = batches.table(batch, layout, block.path)
  limit = len(reasons) if most_bad is None else most_bad + 1
  bad = tuple(
    BadLine(
      block.path,
      block.line + i,
      reasons[i],
      batches.as_line(batch, layout, i),
    )
    for i in sorted(reasons)[:limit]
  )
  if most_bad is not None and len(bad) > most_bad:
    return _rows(block, judging.no_rows(layout), layout, np.arange(0), bad)
  good = np.delete(np.arange(block.lines), sorted(reasons))
  if reasons:
    table = table.take(pa.array(good)).combine_chunks()
  return _rows(block, table, layout, good, bad)


def _rows(
  block: Block,
  table: pa.Table,
  layout: Layout,
  good: np.ndarray,
  bad: tuple[BadLine, ...],
) -> Rows:
  if table.num_rows != len(good):
    raise RuntimeError(
      f"{block.path}:{block.line}: {len(good)} lines became "
      f"{table.num_rows} rows"
    )
  numeric = np.empty((len(layout.numeric), len(good)), np.int32)
  for place, name in enumerate(layout.numeric):
    numeric[place] = clipped(judging.array(table.column(name)))
  categorical = [
    judging.array(table.column(name)) for name in layout.categorical
  ]
  if layout.binned:
    categorical += map(bins.column, numeric)
  return Rows(
    labels=np.full(len(good), UNKNOWN_LABEL, np.int32)
    if not layout.has_label
    else table.column(layout.label).to_numpy().astype(np.int32),
    numeric=numeric.T,
    categorical=tuple(categorical),
    lines=block.row + good.astype(np.int64),
    bad=bad,
    kept=kept.of_table(table, layout)
    if block.batch is None
    else kept.of_batch(block.batch, layout, good),
  )


def clipped(values: pa.Int64Array) -> np.ndarray:
  """Returns int64 `[rows]` as int32: clipped, `MISSING` for null.

  `MISSING_INT64` is missing too, as it is in a served request.
  """
  raw = values.fill_null(MISSING_INT64).to_numpy()
  # What is missing is the least of all, and clipping makes it `MISSING`.
  found = np.clip(raw, MISSING, LARGEST).astype(np.int32)
  least = found == MISSING
  if np.count_nonzero(least) != values.null_count:
    found[least & (raw != MISSING_INT64)] = -LARGEST
  return found
