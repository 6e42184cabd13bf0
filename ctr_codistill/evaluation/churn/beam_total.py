"""The sums of churn by Apache Beam: the same bits as on one machine.

A combine: workers sum the chunks of rows that one machine would sum, and sums
of integers merge to the same in any order (`exact`). Beam is an optional
requirement, imported only when something runs.
"""

import dataclasses
import functools
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.churn.sums import Churn
from ctr_codistill.evaluation.comparison import Comparison

_Summed = tuple[list[tuple[int, int, int]], Churn]


@dataclasses.dataclass(frozen=True)
class Piece:
  """Rows of the runs' files that a worker sums.

  Attributes:
    paths: one file a run, that all workers see.
    start: number of the first row; a multiple of the rows of a chunk.
    stop: number after the last.
    thresholds: at which decisions are compared.
    slicings: how columns of the first file are cut.
  """

  paths: tuple[str, ...]
  start: int
  stop: int
  thresholds: tuple[float, ...]
  slicings: tuple[Slicing, ...]


def compare(
  paths: Sequence[str | os.PathLike],
  *,
  thresholds: Sequence[float] = (0.5,),
  slicings: Sequence[Slicing] = (),
  table: str | os.PathLike | None = None,
  flags: Sequence[str] = (),
  folder: str | os.PathLike,
  rows: int = aligning.CHUNK_ROWS,
) -> Comparison:
  """Returns what `comparison.compare` does, summed by Beam's workers.

  Args:
    paths: one file a run, with the same examples in the same rows.
    thresholds: at which decisions are compared, each in [0, 1].
    slicings: how columns of the first file are cut.
    table: None; columns of another file are not joined here.
    flags: Beam's, such as --runner=DirectRunner.
    folder: that all workers see under this path; the sums pass through it.
    rows: of a chunk; the same as on one machine for the same bits.

  Raises:
    InputError: Beam is missing, what `comparison.compare` refuses, a run of
      several files, or a table.
  """
  comparison.check(paths, thresholds)
  if table:
    raise InputError(
      f"--table should not come with --runner, is {table}; put its columns into"
      " the files of the first run"
    )
  files = [_only(path) for path in paths]
  counts = [shards.count(file) for file in files]
  if len(set(counts)) > 1 or not counts[0]:
    raise InputError(
      f"runs should have the same number of rows, 1 or more, have {counts}"
    )
  pieces = [
    Piece(
      tuple(files),
      start,
      min(start + rows, counts[0]),
      tuple(thresholds),
      tuple(slicings),
    )
    for start in range(0, counts[0], rows)
  ]
  churn = _combined(pieces, flags, pathlib.Path(folder))
  return Comparison(
    comparison.names(paths), churn, churn.qualities, tuple(slicings)
  )


def _only(path: str | os.PathLike) -> str:
  files = shards.find(path)
  if len(files) > 1:
    raise InputError(
      f"{path} should be one file with --runner, is {len(files)} files"
    )
  return files[0] if places.is_remote(files[0]) else os.path.abspath(files[0])


def _combined(
  pieces: Sequence[Piece], flags: Sequence[str], folder: pathlib.Path
) -> Churn:
  """Returns the sums of all pieces; what passes through `folder` is deleted."""
  # TensorFlow comes with it, which takes seconds.
  from ctr_codistill.criteo.preparing import beam_stage

  beam_stage.check()
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=folder, prefix=".beam-") as aside:
    sums = pathlib.Path(aside).absolute() / "sums"
    stage = beam_stage.Stage(
      name="churn",
      items=lambda: pieces,
      work=_work,
      merge=_merge,
      write=functools.partial(_write, sums),
    )
    beam_stage.run(stage, flags, sums.parent)
    return _read(sums)


def _work(piece: Piece) -> Iterator[tuple[str, _Summed]]:
  """Yields the ends of a piece's examples and its sums, under one key."""
  extra = [cut.column for cut in piece.slicings]
  length = piece.stop - piece.start
  found = runs.align_rows(
    piece.paths, piece.start, piece.stop, chunk_rows=length, extra=extra
  )
  (part,) = aligning.even(found, length)
  ends = (piece.start, int(part.example[0]), int(part.example[-1]))
  churn = comparison.of_chunk(part, piece.thresholds, piece.slicings)
  yield "all", ([ends], churn)


def _merge(parts: Iterable[_Summed]) -> _Summed | None:
  """Returns some pieces as one; Beam also asks for none."""
  ends, total = [], None
  for part in parts:
    if part:
      ends += part[0]
      total = total.merge(part[1]) if total else part[1]
  return (ends, total) if total else None


def _write(
  path: pathlib.Path, item: tuple[str, _Summed]
) -> Iterator[dict[str, str]]:
  """Writes the sums, if the pieces' examples ascend from one to the next."""
  ends, churn = item[1]
  ends = sorted(ends)
  for (_, _, last), (row, first, _) in itertools.pairwise(ends):
    if first <= last:
      raise InputError(
        f"row {row}: example should be above {last}, that of the row before,"
        f" is {first}"
      )
  with path.open("wb") as file:
    np.savez(
      file,
      runs=churn.runs,
      thresholds=churn.thresholds,
      maximum_of=churn.maximum_of,
      **{f"counts:{name}": value for name, value in churn.counts.items()},
      **{f"parts:{name}": value for name, value in churn.parts.items()},
    )
  yield {"sums": str(path)}


def _read(path: pathlib.Path) -> Churn:
  """Returns what `_write` wrote: numbers, since a pickle would be a program."""
  with np.load(path, allow_pickle=False) as held:
    parts = {
      kind: {
        name.removeprefix(kind + ":"): held[name]
        for name in held.files
        if name.startswith(kind + ":")
      }
      for kind in ("counts", "parts")
    }
    return Churn(
      int(held["runs"]),
      tuple(held["thresholds"].tolist()),
      parts["counts"],
      parts["parts"],
      held["maximum_of"],
    )
