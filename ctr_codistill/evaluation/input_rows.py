"""Rows of an input on their way to models: numbers, ids, and what is kept."""

import dataclasses
import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.parsing import BadLine

Encoders = Mapping[str, Encoder]
"""What makes prepared rows of raw ones, by the fingerprint of its schema."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
  """Consecutive rows of one piece.

  Attributes:
    piece: its number.
    example: `[rows]` int64, the rows' numbers in the whole input.
    label: `[rows]` int32, 0 or 1; None where the input has none.
    encoded: by fingerprint int32 `[rows, columns]`, label first.
    kept: columns that are passed on, `[rows]` each, by name.
    bad: lines between them that are no rows.
  """

  piece: int
  example: np.ndarray
  label: np.ndarray | None
  encoded: dict[str, np.ndarray]
  kept: dict[str, pa.Array] = dataclasses.field(default_factory=dict)
  bad: tuple[BadLine, ...] = ()

  def __len__(self) -> int:
    return len(self.example)

  def cut(self, row: int) -> tuple["Rows", "Rows"]:
    """Returns the rows before and from `row` on; the bad go with the first."""
    return self._part(slice(row)), dataclasses.replace(
      self._part(slice(row, None)), bad=()
    )

  def _part(self, rows: slice) -> "Rows":
    return Rows(
      self.piece,
      self.example[rows],
      None if self.label is None else self.label[rows],
      {name: array[rows] for name, array in self.encoded.items()},
      {name: array[rows] for name, array in self.kept.items()},
      self.bad,
    )

  def then(self, other: "Rows") -> "Rows":
    """Returns these rows and those of `other`, of the same piece."""
    if not len(self):
      return dataclasses.replace(other, bad=self.bad + other.bad)
    labels = None
    if self.label is not None:
      labels = np.concatenate([self.label, other.label])
    return Rows(
      self.piece,
      np.concatenate([self.example, other.example]),
      labels,
      {
        name: np.concatenate([array, other.encoded[name]])
        for name, array in self.encoded.items()
      },
      {
        name: pa.concat_arrays([array, other.kept[name]])
        for name, array in self.kept.items()
      },
      self.bad + other.bad,
    )


def even(parts: Iterable[Rows], size: int) -> Iterator[Rows]:
  """Yields the same rows, a multiple of `size` but for the last of a piece.

  So that a model mostly gets full batches, and what a piece gives does not
  depend on the blocks that it came in.
  """
  for _, found in itertools.groupby(parts, key=lambda rows: rows.piece):
    group = iter(found)
    held = next(group)
    for part in group:
      full, held = held.cut(len(held) - len(held) % size)
      yield full
      held = held.then(part)
    yield held
