"""The predictions of one run in one file or in many, in the examples' order.

Jobs on many machines leave many files, whose order and whose cuts nobody chose.
Inside a file examples ascend; files may follow one another or be interleaved.
Those that overlap are merged while they are read, a chunk of each in memory.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill import globs
from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.predictions import Batch


def find(path: str | os.PathLike) -> list[str]:
  """Returns the files of a run: of a file, a directory, or a pattern.

  Of a directory those that end in .parquet, but for hidden ones.

  Raises:
    InputError: there is none.
  """
  path = os.fspath(path)
  if not places.is_remote(path) and pathlib.Path(path).is_dir():
    names = sorted(pathlib.Path(path).glob("*.parquet"))
    found = [str(name) for name in names if name.name[0] not in "._"]
    if not found:
      raise InputError(f"{path} should have files *.parquet, has none")
    return found
  if not set("*?[") & set(path) or os.path.exists(path):
    return [path]
  try:
    found = globs.find(path)
  except OSError as error:
    raise InputError(str(error)) from None
  if not found:
    raise InputError(f"{path} should match a file, matches none")
  return found


def count(path: str | os.PathLike) -> int:
  """Returns the number of rows of a run, reading only footers."""
  return sum(map(predictions.count, find(path)))


def has_labels(path: str | os.PathLike) -> bool:
  """Tells whether a run has labels, reading only the footer of a file."""
  return predictions.has_labels(find(path)[0])


def iterate(
  path: str | os.PathLike,
  *,
  chunk_rows: int = 1 << 17,
  extra: Sequence[str] = (),
) -> Iterator[Batch]:
  """Yields the predictions of a run, its examples ascending.

  Args:
    path: see `find`.
    chunk_rows: most rows of a file in memory.
    extra: names of further columns to read.

  Raises:
    InputError: as `predictions.iterate`; or an example is in two files.
  """
  files = find(path)
  if len(files) == 1:
    yield from predictions.iterate(files[0], chunk_rows=chunk_rows, extra=extra)
    return
  waiting = sorted((predictions.first(file), file) for file in files)
  parts: list[_Part] = []
  while waiting or parts:
    bound = min((part.last for part in parts), default=np.inf)
    while waiting and (not parts or waiting[0][0] <= bound):
      file = waiting.pop(0)[1]
      part = _Part(
        file, predictions.iterate(file, chunk_rows=chunk_rows, extra=extra)
      )
      if part.read():
        parts.append(part)
        bound = min(bound, part.last)
    if parts:
      yield _merged([(p.file, p.take(bound)) for p in parts])
      parts = [part for part in parts if len(part.batch) or part.read()]


@dataclasses.dataclass(eq=False)
class _Part:
  """A file that is being read, and what of it is in memory."""

  file: str
  stream: Iterator[Batch]
  batch: Batch | None = None

  def read(self) -> bool:
    """Reads on; tells whether there was more."""
    self.batch = next(self.stream, None)
    return self.batch is not None

  @property
  def last(self) -> int:
    """The last example in memory."""
    return int(self.batch.example[-1])

  def take(self, bound: float) -> Batch:
    """Takes the examples up to `bound` out of the memory."""
    rows = int(np.searchsorted(self.batch.example, bound, side="right"))
    taken, self.batch = self.batch[:rows], self.batch[rows:]
    return taken


def _merged(parts: Sequence[tuple[str, Batch]]) -> Batch:
  """Returns the batches as one, ascending; refuses what is in two of them."""
  parts = [(file, batch) for file, batch in parts if len(batch)]
  if len(parts) == 1:
    return parts[0][1]
  batches = [batch for _, batch in parts]
  example = np.concatenate([batch.example for batch in batches])
  order = np.argsort(example, kind="stable")
  sorted_ = example[order]
  twice = np.flatnonzero(sorted_[1:] == sorted_[:-1])
  if len(twice):
    ends = np.cumsum([len(batch) for batch in batches])
    one, other = (
      parts[np.searchsorted(ends, order[twice[0] + n], side="right")][0]
      for n in (0, 1)
    )
    raise InputError(
      f"{other}: example {sorted_[twice[0]]} should be there once, is in "
      f"{one}, too"
    )
  _check_labels(parts)
  labels = [batch.label for batch in batches if batch.label is not None]
  return Batch(
    sorted_,
    np.concatenate([batch.probability for batch in batches])[order],
    np.concatenate(labels)[order] if labels else None,
    {
      name: pa.concat_arrays([batch.extra[name] for batch in batches]).take(
        pa.array(order)
      )
      for name in batches[0].extra
    },
  )


def _check_labels(parts: Sequence[tuple[str, Batch]]) -> None:
  known = {batch.label is not None: file for file, batch in parts}
  if len(known) > 1:
    raise InputError(
      f"{known[False]} should have a column 'label', as {known[True]} has"
    )
