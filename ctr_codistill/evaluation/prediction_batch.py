"""Some predictions in memory, and the rules that their values keep."""

import dataclasses
import functools
import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ctr_codistill.evaluation import metrics


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
  """Predictions of consecutive rows.

  Attributes:
    example: `[rows]` int64, the rows' numbers in the input, ascending.
    probability: `[rows]` float, of a click, in [0, 1].
    label: `[rows]` integer, 0 or 1; None where it is not known.
    extra: further columns of the file by name, `[rows]` each.
  """

  example: np.ndarray
  probability: np.ndarray
  label: np.ndarray | None = None
  extra: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

  def __post_init__(self) -> None:
    shapes = {np.shape(column) for column in self.columns().values()}
    if len(shapes) > 1 or len(shapes.pop()) != 1:
      found = {name: np.shape(c) for name, c in self.columns().items()}
      raise ValueError(f"columns should all be [rows], are {found}")

  def columns(self) -> dict[str, np.ndarray]:
    """Returns the columns that are there, by name."""
    columns = {"example": self.example, "probability": self.probability}
    return columns if self.label is None else columns | {"label": self.label}

  def __len__(self) -> int:
    return len(self.example)

  def __getitem__(self, rows: slice) -> "Batch":
    extra = {name: array[rows] for name, array in self.extra.items()}
    return Batch(
      **{name: c[rows] for name, c in self.columns().items()}, extra=extra
    )


class Checker:
  """Refuses batches of a file, one after the other, whose values are wrong.

  Args:
    path: of the file, for errors.
    row: number of the first batch's first row in it.
  """

  def __init__(self, path: str | os.PathLike, row: int = 0) -> None:
    self._path = path
    self._row = row
    self._last = -1

  def check(self, batch: Batch) -> None:
    """Checks the next batch.

    Raises:
      InputError: examples out of order or twice, a probability outside [0, 1],
        a label that is not 0 or 1.
    """
    if not len(batch):
      return
    before = np.concatenate([[self._last], batch.example[:-1]])
    rule = "0 or more, ascending, each once"
    refuse = functools.partial(
      metrics.refuse, where=f"{self._path}, ", row=self._row
    )
    refuse(batch.example <= before, batch.example, "example", rule)
    inside = (batch.probability >= 0) & (batch.probability <= 1)
    refuse(~inside, batch.probability, "probability", "in [0, 1]")
    if batch.label is not None:
      refuse((batch.label & ~1) != 0, batch.label, "label", "0 or 1")
    self._row += len(batch)
    self._last = int(batch.example[-1])
