"""Raw lines to arrays; lines that are none go to quarantine, with a reason.

One judge: a line is good if pyarrow parses it, beside others or alone, so that
no row depends on its neighbours. A block that does not parse is halved until
the bad lines are alone. What pyarrow accepts holds: spaces around an integer,
0x1F.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from ctr_codistill.criteo import lines
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo.layouts import Layout
from ctr_codistill.criteo.lines import Block
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64

UNKNOWN_LABEL = -1
_LONGEST_SHOWN = 40


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
    categorical: a dictionary array `[rows]` of bytes each; empty for none.
    lines: int64 `[rows]`, ascending: number of the row in the whole input, from
      0, bad lines included.
    bad: the others.
  """

  labels: np.ndarray
  numeric: np.ndarray
  categorical: tuple[pa.DictionaryArray, ...]
  lines: np.ndarray
  bad: tuple[BadLine, ...]

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
  blocks = lines.blocks(paths, block_bytes)
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
  text = _whole(block.text)
  table = _table(text, layout)
  if table is not None:
    return _rows(block, table, np.arange(block.lines), ())
  split = text.removesuffix(b"\n").split(b"\n")
  limit = len(split) if most_bad is None else most_bad + 1
  places = list(itertools.islice(_bad(split, layout), limit))
  bad = tuple(
    BadLine(block.path, block.line + i, explain(split[i], layout), split[i])
    for i in places
  )
  if most_bad is not None and len(bad) > most_bad:
    return _rows(block, _no_rows(layout), np.arange(0), bad)
  good = np.delete(np.arange(block.lines), places)
  text = b"".join(split[i] + b"\n" for i in good)
  table = _table(text, layout) if text else _no_rows(layout)
  return _rows(block, table, good, bad)


def explain(line: bytes, layout: Layout) -> str:
  """Returns why a bad line, without its end, is no row."""
  if not line:
    return "empty line"
  if b"\r" in line:
    return "carriage return inside the line"
  if b"\0" in line:
    return "NUL byte inside the line"
  values = line.split(b"\t")
  if len(values) != layout.columns:
    return f"{len(values)} columns, expected {layout.columns}"
  for name, value in zip(layout.types, values):
    if name == "label" and not _is_row(value, Layout((), (), True)):
      return f"label is {_shown(value)}, not 0 or 1"
    if name in layout.numeric and not _is_integer(value, name):
      return f"{name} is {_shown(value)}, not an integer of 64 bits"
  return "no row"


def _whole(text: bytes) -> bytes:
  """Returns the lines, each with an LF end; other returns stay, and are bad."""
  if not text.endswith(b"\n"):
    text += b"\n"
  return text.replace(b"\r\n", b"\n") if b"\r" in text else text


def _table(text: bytes, layout: Layout) -> pa.Table | None:
  """Returns the columns of `text` if every line of it is good."""
  # pyarrow takes a carriage return for a line's end, and an empty line for a
  # row of missing values (which, where there is a label, lacks that).
  if b"\r" in text or b"\0" in text:
    return None
  if not layout.has_label and (text.startswith(b"\n") or b"\n\n" in text):
    return None
  try:
    table = _read_csv(text, layout.types)
  except pa.ArrowInvalid:
    return None
  if layout.has_label:
    label = table.column("label")
    if label.null_count or not np.isin(label.to_numpy(), (0, 1)).all():
      return None
  return table


def _read_csv(text: bytes, types: dict[str, pa.DataType]) -> pa.Table:
  if text.startswith(lines.BOM):
    # pyarrow drops one, which only a file's start may have.
    text = lines.BOM + text
  return csv.read_csv(
    pa.py_buffer(text),
    read_options=csv.ReadOptions(
      column_names=list(types), use_threads=False, block_size=len(text) + 1
    ),
    parse_options=csv.ParseOptions(
      delimiter="\t",
      quote_char=False,
      double_quote=False,
      escape_char=False,
      ignore_empty_lines=False,
    ),
    convert_options=csv.ConvertOptions(
      column_types=types, null_values=[""], strings_can_be_null=False
    ),
  )


def _bad(split: list[bytes], layout: Layout) -> Iterator[int]:
  """Yields the places of the bad lines among `split`, ascending."""
  if _table(b"\n".join(split) + b"\n", layout) is not None:
    return
  if len(split) == 1:
    yield 0
    return
  half = len(split) // 2
  yield from _bad(split[:half], layout)
  for place in _bad(split[half:], layout):
    yield half + place


def _rows(
  block: Block, table: pa.Table, good: np.ndarray, bad: tuple[BadLine, ...]
) -> Rows:
  if table.num_rows != len(good):
    raise RuntimeError(
      f"{block.path}:{block.line}: {len(good)} lines became "
      f"{table.num_rows} rows"
    )
  columns = {name: table.column(name) for name in table.column_names}
  labels = columns.pop("label", None)
  arrays = [_array(column) for column in columns.values()]
  categorical = [a for a in arrays if pa.types.is_dictionary(a.type)]
  numeric = np.empty((len(arrays) - len(categorical), len(good)), np.int32)
  for place, array in enumerate(arrays[: len(numeric)]):
    numeric[place] = clipped(array)
  return Rows(
    labels=np.full(len(good), UNKNOWN_LABEL, np.int32)
    if labels is None
    else labels.to_numpy().astype(np.int32),
    numeric=numeric.T,
    categorical=tuple(categorical),
    lines=block.row + good.astype(np.int64),
    bad=bad,
  )


def clipped(values: pa.Int64Array) -> np.ndarray:
  """Returns int64 `[rows]` as int32: clipped, `MISSING` for null.

  `MISSING_INT64` is missing too, as it is in a served request.
  """
  raw = values.fill_null(MISSING_INT64).to_numpy()
  found = np.clip(raw, -LARGEST, LARGEST).astype(np.int32)
  found[raw == MISSING_INT64] = MISSING
  return found


def _array(column: pa.ChunkedArray) -> pa.Array:
  """Returns a column's only chunk: a block is parsed as one."""
  return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _no_rows(layout: Layout) -> pa.Table:
  return pa.schema(list(layout.types.items())).empty_table()


def _is_row(line: bytes, layout: Layout) -> bool:
  return _table(line + b"\n", layout) is not None


def _is_integer(value: bytes, name: str) -> bool:
  return not value or _is_row(value, Layout((name,), (), False))


def _shown(value: bytes) -> str:
  text = value.decode(errors="backslashreplace")
  if len(text) > _LONGEST_SHOWN:
    text = text[:_LONGEST_SHOWN] + "..."
  return repr(text)
