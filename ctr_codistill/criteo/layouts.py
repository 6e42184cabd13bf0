"""Which columns raw lines have, told by the width of the first.

Logs for training carry the label first, logs to be scored carry none.
"""

import dataclasses
import functools
from collections.abc import Sequence

import pyarrow as pa

from ctr_codistill.criteo import lines
from ctr_codistill.errors import InputError


@dataclasses.dataclass(frozen=True)
class Layout:
  """The columns of raw lines, in order; the label is first, if any."""

  numeric: tuple[str, ...]
  categorical: tuple[str, ...]
  has_label: bool

  @property
  def columns(self) -> int:
    """Number of columns of a raw line."""
    return self.has_label + len(self.numeric) + len(self.categorical)

  @functools.cached_property
  def types(self) -> dict[str, pa.DataType]:
    """The type of each column, by its name."""
    label = {"label": pa.int64()} if self.has_label else {}
    values = pa.dictionary(pa.int32(), pa.binary())
    return (
      label
      | dict.fromkeys(self.numeric, pa.int64())
      | dict.fromkeys(self.categorical, values)
    )


def detect(
  paths: Sequence[str], numeric: Sequence[str], categorical: Sequence[str]
) -> Layout:
  """Returns the layout of the files: with a label, or without, by their width.

  Raises:
    InputError: the first file's first line has another width, or another file's
      says otherwise; or as `lines.blocks`.
  """
  features = len(numeric) + len(categorical)
  widths = [_width(path) for path in paths]
  if widths[0] not in (features, features + 1):
    raise InputError(
      f"{paths[0]}:1 should have {features + 1} columns, or {features} without "
      f"the label, has {widths[0]}"
    )
  for path, width in zip(paths, widths):
    if width != widths[0] and width in (features, features + 1):
      raise InputError(
        f"{path}:1 should have {widths[0]} columns as {paths[0]} has, "
        f"has {width}"
      )
  return Layout(tuple(numeric), tuple(categorical), widths[0] > features)


def _width(path: str) -> int:
  return lines.first_line(path).count(b"\t") + 1
