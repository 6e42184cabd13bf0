"""Record batches of a parquet file to the columns that a parser makes of text.

A row is good if it would be one as a line: a null is an empty field, an integer
fits 64 bits, and a string holds no line end, NUL byte or delimiter. Whole
columns are converted; what does not fit is looked for row by row.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyarrow import compute

from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

_WHOLE = 2.0**63
_SHOWN = {0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r"}


def table(
  batch: pa.RecordBatch, layout: Layout, path: str
) -> tuple[pa.Table, dict[int, str]]:
  """Returns the columns as of text, `[rows]` each, and why rows are bad.

  Args:
    batch: has the layout's columns by name, and any others.
    layout: what they are.
    path: of the file, for errors.

  Returns:
    The table, with anything in the bad rows; reasons by the row's place.

  Raises:
    InputError: a column of a type that can hold no such values.
  """
  columns, reasons = {}, {}
  for name, kind in layout.types.items():
    values = _decoded(batch.column(name))
    if name == layout.label:
      convert, rule = _labels(layout), f"not {' or '.join(layout.label_values)}"
    elif pa.types.is_int64(kind):
      convert, rule = _integers, "not an integer of 64 bits"
    else:
      convert, rule = _strings(layout), "which no line can hold"
    try:
      columns[name], bad = convert(values)
    except _WrongType:
      raise InputError(
        f"{path}: column {name!r} should be of "
        f"{'integers' if convert is _integers else 'strings or integers'}, is "
        f"of {values.type}"
      ) from None
    for place in np.flatnonzero(bad).tolist():
      shown = repr(_text(values[place]).decode(errors="backslashreplace"))
      reasons.setdefault(place, f"{name} is {shown[:60]}, {rule}")
  return pa.table(columns), reasons


def as_line(batch: pa.RecordBatch, layout: Layout, place: int) -> bytes:
  """Returns a row as a line, to be kept with the bad ones; escaped."""
  values = [_text(_decoded(batch.column(n))[place]) for n in layout.types]
  escaped = [
    v.decode(errors="surrogateescape").translate(_SHOWN) for v in values
  ]
  return layout.delimiter.join(escaped).encode(errors="surrogateescape")


class _WrongType(Exception):
  pass


Converted = tuple[pa.Array, np.ndarray]


def _decoded(values: pa.Array) -> pa.Array:
  if pa.types.is_dictionary(values.type):
    return values.dictionary_decode()
  return values


def _text(value: pa.Scalar) -> bytes:
  found = value.as_py()
  return (
    found
    if isinstance(found, bytes)
    else str("" if found is None else found).encode(errors="surrogateescape")
  )


def _integers(values: pa.Array) -> Converted:
  """Returns int64 with nulls; bad is what is no integer of 64 bits."""
  kind = values.type
  if pa.types.is_null(kind) or pa.types.is_boolean(kind):
    return values.cast(pa.int64()), np.zeros(len(values), bool)
  if pa.types.is_floating(kind):
    found = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(found)  # a null is one here, too
    with np.errstate(invalid="ignore"):
      good = (np.floor(found) == found) & (-_WHOLE <= found) & (found < _WHOLE)
    whole = np.where(good, found, 0).astype(np.int64)
    return pa.array(whole, mask=missing), ~good & ~missing
  if not pa.types.is_integer(kind):
    raise _WrongType
  if pa.types.is_uint64(kind):
    large = compute.greater(values, pa.scalar(2**63 - 1, pa.uint64()))
    bad = large.fill_null(False).to_numpy(zero_copy_only=False)
    return values.cast(pa.int64(), safe=False), bad
  return values.cast(pa.int64()), np.zeros(len(values), bool)


def _strings(layout: Layout) -> Callable[[pa.Array], Converted]:
  odd = b"[\\x00\\r\\n" + f"\\x{ord(layout.delimiter):02x}]".encode()

  def convert(values: pa.Array) -> Converted:
    found = _bytes(values).dictionary_encode()
    bad = compute.match_substring_regex(found.dictionary, odd.decode())
    if not compute.any(bad).as_py():
      return found, np.zeros(len(values), bool)
    return found, bad.to_numpy(zero_copy_only=False)[found.indices.to_numpy()]

  return convert


def _labels(layout: Layout) -> Callable[[pa.Array], Converted]:
  """Returns a function to int64; bad is what is no label."""
  wanted = pa.array([v.encode() for v in layout.label_values], pa.binary())

  def convert(values: pa.Array) -> Converted:
    if pa.types.is_floating(values.type) or pa.types.is_boolean(values.type):
      values, bad = _integers(values)
      values = compute.if_else(pa.array(~bad), values, None)
    found = compute.index_in(_bytes(values), wanted)
    bad = found.is_null().to_numpy(zero_copy_only=False)
    return found.fill_null(0).cast(pa.int64()), bad

  return convert


def _bytes(values: pa.Array) -> pa.BinaryArray:
  """Returns the text of strings or integers; empty for null."""
  kind = values.type
  if pa.types.is_null(kind) or pa.types.is_integer(kind):
    values = values.cast(pa.string())
  elif pa.types.is_boolean(kind):
    values = values.cast(pa.int64()).cast(pa.string())
  elif not (
    pa.types.is_string(kind)
    or pa.types.is_large_string(kind)
    or pa.types.is_string_view(kind)
    or pa.types.is_binary(kind)
    or pa.types.is_large_binary(kind)
    or pa.types.is_binary_view(kind)
    or pa.types.is_fixed_size_binary(kind)
  ):
    raise _WrongType
  return values.cast(pa.binary()).fill_null(b"")
