"""Which columns raw logs have: Criteo's, or those that a small file says.

Logs for training carry the label, logs to be scored may carry none: that is
told by the width of the first lines, by the header, or by a parquet's columns.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator
from collections.abc import Sequence

import pyarrow as pa

from ctr_codistill.criteo import schema
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import parquet
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError


@dataclasses.dataclass(frozen=True)
class Layout:
  """The columns of raw logs.

  Attributes:
    numeric: names of the integers, in the order of prepared rows.
    categorical: names of the strings, likewise.
    has_label: whether the lines carry the label.
    label: its name in a header or a parquet file.
    label_values: what stands for 0, and for 1.
    ignored: names of columns that are skipped.
    order: names of all columns as they stand in a line; empty means label,
      numerics, categoricals.
    delimiter: between columns, one ASCII character. Quotes are letters.
    header: whether each text begins with a line of names.
    binned: whether integers are taken as the bins of `bins`, counted as values
      are.
    min_count: rows with a value for it to get an id; None leaves it open.
    oov: ids per feature for other values; None leaves it open.
    kept: names of columns of the input that `Rows.kept` has as they came.
  """

  numeric: tuple[str, ...]
  categorical: tuple[str, ...]
  has_label: bool
  label: str = "label"
  label_values: tuple[str, str] = ("0", "1")
  ignored: tuple[str, ...] = ()
  order: tuple[str, ...] = ()
  delimiter: str = "\t"
  header: bool = False
  binned: bool = False
  min_count: int | None = None
  oov: int | None = None
  kept: tuple[str, ...] = ()

  @functools.cached_property
  def names(self) -> tuple[str, ...]:
    """The name of each column of a line, in order."""
    if not self.order:
      return (self.label,) * self.has_label + self.numeric + self.categorical
    return tuple(n for n in self.order if n != self.label or self.has_label)

  @property
  def columns(self) -> int:
    """Number of columns of a raw line."""
    return len(self.names)

  @property
  def counted(self) -> int:
    """Number of columns whose values are counted: `Rows.categorical`."""
    return len(self.categorical) + self.binned * len(self.numeric)

  @functools.cached_property
  def types(self) -> dict[str, pa.DataType]:
    """The type of each column that makes a row, by its name."""
    values = pa.dictionary(pa.int32(), pa.binary())
    plain = self.label_values == ("0", "1")
    return (
      ({self.label: pa.int64() if plain else values} if self.has_label else {})
      | dict.fromkeys(self.numeric, pa.int64())
      | dict.fromkeys(self.categorical, values)
    )

  @functools.cached_property
  def read_types(self) -> dict[str, pa.DataType]:
    """The type of each column that is read of a text, by its name."""
    values = pa.dictionary(pa.int32(), pa.binary())
    return dict.fromkeys(self.kept, values) | self.types


CRITEO = Layout(schema.CRITEO_NUMERIC, schema.CRITEO_CATEGORICAL, True)
"""The Kaggle set's and the 1 TB day files' columns: the same."""
CRITEO_X4 = dataclasses.replace(CRITEO, binned=True, min_count=10, oov=1)
"""The same with the bins and the minimum count of Criteo_x4, see `bins`."""
PRESETS = {"criteo": CRITEO, "criteo_x4": CRITEO_X4}


def detect(paths: Sequence[str], wanted: Layout) -> Layout:
  """Returns the layout of the files: with the label or without.

  Args:
    paths: the files; of a text, the width that most of its first lines have
      counts, so that one may begin with a bad line.
    wanted: what they should hold; with a header its order is the header's.

  Raises:
    InputError: a file lacks a column, has an unknown one, or another width than
      the first; no file has lines of the right width; or as `lines.blocks`.
  """
  found: Layout | None = None
  first = ""
  for path in paths:
    if lines.is_parquet(path):
      has_label = _by_names(path, parquet.columns(path), wanted, others=True)
      here = dataclasses.replace(found or wanted, has_label=has_label)
    elif wanted.header:
      here = _by_header(path, wanted)
    else:
      here = _by_width(path, wanted)
    if found is None:
      found, first = here, path
    elif here is not None and here != found:
      raise InputError(
        f"{path}:1 should have {_counted(found)} as {first} has, has "
        f"{_counted(here)}"
      )
  if found is None:
    full, bare = _both(wanted)
    raise InputError(
      f"{paths[0]}:1 should have {full.columns} columns, or {bare.columns} "
      f"without the label, has {next(_widths(paths[0], wanted))}"
    )
  return found


def fitting(spec: Schema, layout: Layout | None = None) -> Layout:
  """Returns a layout of the features of `spec`, in which nothing is binned.

  Args:
    spec: of prepared rows.
    layout: of the logs; None is label, numerics, categoricals with tabs.

  Raises:
    InputError: `layout` has other features, or others in other places.
  """
  numeric = tuple(feature.name for feature in spec.numeric)
  categorical = tuple(feature.name for feature in spec.categorical)
  if layout is None:
    return Layout(numeric, categorical, True)
  if (layout.numeric, layout.categorical) != (numeric, categorical):
    raise InputError(
      "the layout does not fit the feature spec: numeric should be "
      f"{list(numeric)}, categorical {list(categorical)}; they are "
      f"{list(layout.numeric)} and {list(layout.categorical)}"
    )
  return dataclasses.replace(layout, binned=False)


def _counted(layout: Layout) -> str:
  names = f" ({', '.join(layout.names)})" if layout.header else ""
  return f"{layout.columns} columns{names}"


def _by_width(path: str, wanted: Layout) -> Layout | None:
  """Returns the layout of a text; None where none of its first lines fits."""
  by_width = {layout.columns: layout for layout in _both(wanted)}
  fitting = (width for width in _widths(path, wanted) if width in by_width)
  # Of as many the one that came first.
  most = collections.Counter(fitting).most_common(1)
  return by_width[most[0][0]] if most else None


def _both(wanted: Layout) -> tuple[Layout, Layout]:
  """Returns the layout with the label, and without."""
  return (
    dataclasses.replace(wanted, has_label=True),
    dataclasses.replace(wanted, has_label=False),
  )


def _widths(path: str, wanted: Layout) -> Iterator[int]:
  """Yields how many columns each of a text's first lines has."""
  for line in lines.first_lines(path):
    yield line.count(wanted.delimiter.encode()) + 1


def _by_header(path: str, wanted: Layout) -> Layout:
  text = lines.first_line(path).decode("utf-8", "backslashreplace")
  names = tuple(text.split(wanted.delimiter))
  has_label = _by_names(path, names, wanted, others=False)
  return dataclasses.replace(wanted, order=names, has_label=has_label)


def _by_names(
  path: str, names: Sequence[str], wanted: Layout, *, others: bool
) -> bool:
  """Checks the columns of a file; tells whether the label is among them."""
  features = wanted.numeric + wanted.categorical
  known = {wanted.label, *features, *wanted.ignored}
  for name in names:
    if names.count(name) > 1:
      raise InputError(f"{path} has two columns {name!r}")
    if name not in known and not others:
      raise InputError(
        f"{path}:1 has a column {name!r}, which the layout does not know; it "
        "may be ignored"
      )
  for name in features:
    if name not in names:
      raise InputError(f"{path} should have a column {name!r}, has none")
  return wanted.label in names
