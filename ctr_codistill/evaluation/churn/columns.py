"""The churn of predictions in memory: numpy, pandas or Arrow columns.

For a notebook, where predictions are columns already. The figures are those of
files with the same rows, to the bit.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation.churn import slicing
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.runs import Aligned

Columns = Mapping[str, Any] | pd.DataFrame | pa.Table | pa.RecordBatch


def compare_columns(
  runs: Columns,
  *,
  label: Any | None = None,
  example: Any | None = None,
  slices: Columns | None = None,
  thresholds: Sequence[float] = (0.5,),
  most_slices: int = 20,
  threads: int = 1,
) -> Comparison:
  """Returns how far runs differ that are columns, by name: `[rows]` each.

  Rows belong together by their place. Nothing is joined by a pandas index, so
  those of all pandas columns must be the same.

  Args:
    runs: predictions of two or more independent trainings, in [0, 1].
    label: 0 or 1, if known.
    example: integers, each once, ascending; 0, 1, ... by default. Whatever else
      joins the runs is the caller's: here rows belong together.
    slices: columns to cut by, likewise by name.
    thresholds: at which decisions are compared, each in [0, 1].
    most_slices: top values, or quantiles, of a column.
    threads: that sum.

  Raises:
    InputError: fewer than two runs, no rows, other lengths, a probability that
      is nan or outside [0, 1], a label that is not 0 or 1, an example twice,
      pandas columns of other indices.
  """
  runs = _by_name(runs, "runs")
  slices = {} if slices is None else _by_name(slices, "slices")
  _check_indices({**runs, "label": label, "example": example, **slices})
  comparison.check(list(runs), thresholds)
  found = {name: np.asarray(column, float) for name, column in runs.items()}
  rows = len(next(iter(found.values())))
  example = np.arange(rows) if example is None else np.asarray(example)
  label = None if label is None else np.asarray(label)
  extra = {name: _arrow(column) for name, column in slices.items()}
  _check(found, label, example, extra, rows)
  whole = Aligned(example, np.array(list(found.values())), label, extra)
  cuts = slicing.survey([extra] if extra else [], slices=most_slices)
  churn = comparison.total(_chunks(whole), thresholds, cuts, threads=threads)
  return Comparison(tuple(runs), churn, churn.qualities, cuts)


def _by_name(columns: Any, what: str) -> dict[str, Any]:
  if isinstance(columns, pa.Table | pa.RecordBatch):
    return dict(zip(columns.column_names, columns.columns))
  if isinstance(columns, Mapping | pd.DataFrame):
    return dict(columns.items())
  raise InputError(
    f"{what} should be columns by name, such as a dict, DataFrame or Table, is "
    f"a {type(columns).__name__}"
  )


def _check_indices(columns: Mapping[str, Any]) -> None:
  """Refuses pandas columns whose rows have other names or another order."""
  found = {n: c.index for n, c in columns.items() if isinstance(c, pd.Series)}
  first = next(iter(found), None)
  for name, index in found.items():
    one = found[first]
    if not index.equals(one) and len(index) == len(one):
      unlike = (i for i, (a, b) in enumerate(zip(index, one)) if a != b)
      row = next(unlike, 0)
      raise InputError(
        f"{name}, row {row}: the index should be {one[row]!r} as that of "
        f"{first}, is {index[row]!r}; align them, or give .to_numpy()"
      )


def _arrow(column: Any) -> pa.Array:
  if isinstance(column, pa.ChunkedArray):
    return column.combine_chunks()
  if isinstance(column, pa.Array):
    return column
  return pa.array(column, from_pandas=True)


def _chunks(whole: Aligned) -> Iterator[Aligned]:
  return aligning.even([whole], aligning.CHUNK_ROWS)


def _check(
  runs: Mapping[str, np.ndarray],
  label: np.ndarray | None,
  example: np.ndarray,
  extra: Mapping[str, pa.Array],
  rows: int,
) -> None:
  columns = {**runs, "example": example, **extra}
  columns |= {} if label is None else {"label": label}
  for name, column in columns.items():
    if len(column) != rows or not rows:
      raise InputError(
        f"{name} should have {max(rows, 1)} rows, has {len(column)}"
      )
  for name, p in runs.items():
    inside = (p >= 0) & (p <= 1)
    metrics.refuse(~inside, p, "probability", "in [0, 1]", where=f"{name}, ")
  if label is not None:
    metrics.refuse((label != 0) & (label != 1), label, "label", "0 or 1")
  wrong = np.append(False, example[1:] <= example[:-1])
  metrics.refuse(wrong, example, "example", "ascending, each once")
