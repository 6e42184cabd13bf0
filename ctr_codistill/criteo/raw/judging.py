"""Tells good lines from bad ones, and why a bad one is bad.

One judge: a line is good if pyarrow parses it, beside others or alone, so that
no row depends on its neighbours. What pyarrow accepts holds: spaces around an
integer, 0x1F.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import csv

from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout

_LONGEST_SHOWN = 40


def whole(text: bytes) -> bytes:
  """Returns the lines, each with an LF end; other returns stay, and are bad."""
  if not text.endswith(b"\n"):
    text += b"\n"
  return text.replace(b"\r\n", b"\n") if b"\r" in text else text


def table(text: bytes, layout: Layout) -> pa.Table | None:
  """Returns the columns of `text` if every line of it is good."""
  # pyarrow takes a carriage return for a line's end, and an empty line for a
  # row of missing values (which, where there is a label, lacks that).
  if b"\r" in text or b"\0" in text:
    return None
  if not layout.has_label and (text.startswith(b"\n") or b"\n\n" in text):
    return None
  try:
    found = _read_csv(text, layout)
  except pa.ArrowInvalid:
    return None
  return _with_labels(found, layout) if layout.has_label else found


def bad_places(split: list[bytes], layout: Layout) -> Iterator[int]:
  """Yields the places of the bad lines among `split`, ascending."""
  if table(b"\n".join(split) + b"\n", layout) is not None:
    return
  if len(split) == 1:
    yield 0
    return
  half = len(split) // 2
  yield from bad_places(split[:half], layout)
  for place in bad_places(split[half:], layout):
    yield half + place


def explain(line: bytes, layout: Layout) -> str:
  """Returns why a bad line, without its end, is no row."""
  if not line:
    return "empty line"
  if b"\r" in line:
    return "carriage return inside the line"
  if b"\0" in line:
    return "NUL byte inside the line"
  values = line.split(layout.delimiter.encode())
  if len(values) != layout.columns:
    return f"{len(values)} columns, expected {layout.columns}"
  for name, value in zip(layout.names, values):
    if name == layout.label and not _is_label(value, layout):
      wanted = " or ".join(layout.label_values)
      return f"{name} is {_shown(value)}, not {wanted}"
    if name in layout.numeric and not _is_integer(value, name):
      return f"{name} is {_shown(value)}, not an integer of 64 bits"
  return "no row"


def array(column: pa.ChunkedArray) -> pa.Array:
  """Returns a column's only chunk: a block is parsed as one."""
  return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def no_rows(layout: Layout) -> pa.Table:
  """Returns the columns of no line."""
  return pa.schema(list(layout.read_types.items())).empty_table()


def _with_labels(table: pa.Table, layout: Layout) -> pa.Table | None:
  """Returns the table with labels 0 and 1, None if one is no label."""
  label = array(table.column(layout.label))
  if pa.types.is_dictionary(label.type):
    wanted = pa.array([v.encode() for v in layout.label_values], pa.binary())
    known = compute.index_in(label.dictionary, wanted).cast(pa.int64())
    label = known.take(label.indices)
    place = table.schema.get_field_index(layout.label)
    table = table.set_column(place, layout.label, label)
  if label.null_count or not np.isin(label.to_numpy(), (0, 1)).all():
    return None
  return table


def _read_csv(text: bytes, layout: Layout) -> pa.Table:
  if text.startswith(lines.BOM):
    # pyarrow drops one, which only a file's start may have.
    text = lines.BOM + text
  return csv.read_csv(
    pa.py_buffer(text),
    read_options=csv.ReadOptions(
      column_names=list(layout.names),
      use_threads=False,
      block_size=len(text) + 1,
    ),
    parse_options=csv.ParseOptions(
      delimiter=layout.delimiter,
      quote_char=False,
      double_quote=False,
      escape_char=False,
      ignore_empty_lines=False,
    ),
    convert_options=csv.ConvertOptions(
      column_types=layout.read_types,
      include_columns=list(layout.read_types),
      null_values=[""],
      strings_can_be_null=False,
    ),
  )


def _is_row(line: bytes, layout: Layout) -> bool:
  return table(line + b"\n", layout) is not None


def _is_label(value: bytes, layout: Layout) -> bool:
  plain = Layout((), (), True, label_values=layout.label_values)
  return bool(value) and _is_row(value, plain)


def _is_integer(value: bytes, name: str) -> bool:
  return not value or _is_row(value, Layout((name,), (), False))


def _shown(value: bytes) -> str:
  text = value.decode(errors="backslashreplace")
  if len(text) > _LONGEST_SHOWN:
    text = text[:_LONGEST_SHOWN] + "..."
  return repr(text)
