"""The first pass in portions: pieces of the input to runs of values.

The same work as one process does on its blocks, in portions that know nothing
of one another: any worker may do any of them, and do it again. What others take
is yielded with a key that says who; what whoever runs all of it wants to know,
as a dictionary; what only waits for its use lies in files.
"""

import dataclasses
import functools
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.preparing import count_pass
from ctr_codistill.criteo.preparing import counting
from ctr_codistill.criteo.preparing import ledger
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.preparing import tally
from ctr_codistill.criteo.preparing.counting import Counts
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.criteo.raw.pieces import Piece

Made = Iterator[tuple[Any, Any] | dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Seen:
  """What the counting of a piece found.

  Attributes:
    piece: its number.
    train: rows for training.
    validation: rows for validation.
    bad: lines that are no rows; they lie in `bad_path`.
    shown: what an error says of the first of them.
    moments: of the training rows, as in `counting.Counts`.
  """

  piece: int
  train: int
  validation: int
  bad: int
  shown: tuple[str, ...]
  moments: list[list[int]]


def lines(piece: Piece, *, header: bool) -> Made:
  """Says the piece with the number of its lines."""
  counted = pieces.counted(piece, header=header)
  yield {"counted": dataclasses.asdict(counted)}


def count(piece: Piece, *, job: Job, buckets: int) -> Made:
  """Yields tables of values by feature and bucket, and says a `Seen`.

  A bucket is a part of a feature's values, so that no worker has to hold all.
  """
  total = counting.nothing(len(job.layout.numeric), job.layout.counted)
  lines_in = 0
  with _Bad(job, piece) as bad:
    for rows, counts in _counted(job, piece, bad.allowed):
      bad.add(rows.bad)
      lines_in += rows.lines_in
      total = total.merge(counts)
      if total.bytes > job.options.count_bytes:
        yield from _values(total, buckets)
        total = dataclasses.replace(
          total, values=(spilling.TYPE.empty_table(),) * job.layout.counted
        )
  yield from _values(total, buckets)
  seen = Seen(
    piece=piece.number,
    train=total.rows,
    validation=lines_in - bad.rows - total.rows,
    bad=bad.rows,
    shown=bad.shown,
    moments=total.moments.tolist(),
  )
  yield {"seen": dataclasses.asdict(seen)}


def merged(tables: Iterable[pa.Table]) -> pa.Table:
  """Returns each value of some tables once, with the sum of its counts."""
  return spilling.grouped(pa.concat_tables(tables))


def write_run(part: tuple[tuple[int, int], pa.Table], *, job: Job) -> Made:
  """Writes a bucket of a feature's values as a run, and says its bytes."""
  (feature, bucket), table = part
  yield {"run_bytes": spilling.write(table, _run(job, feature, bucket))}


def fill_runs(job: Job, buckets: int) -> None:
  """Writes the runs of buckets that no value fell into."""
  for feature in range(job.layout.counted):
    for bucket in range(buckets):
      if not _run(job, feature, bucket).exists():
        table = spilling.TYPE.empty_table()
        spilling.write(table, _run(job, feature, bucket))


def folder(job: Job) -> pathlib.Path:
  """Returns where workers leave what others take."""
  return job.output / ledger.FOLDER


def runs(job: Job) -> pathlib.Path:
  """Returns where the values lie while they are counted."""
  return folder(job) / count_pass.RUNS


def bad_path(job: Job, piece: int) -> pathlib.Path:
  """Returns where the bad lines of a piece lie, if there are any."""
  return folder(job) / "bad" / f"{piece:06d}.tsv"


class _Bad(Quarantine):
  """The bad lines of a piece, in a file that is complete or absent."""

  def __init__(self, job: Job, piece: Piece) -> None:
    self._target = bad_path(job, piece.number)
    self._aside = self._target.with_name(f".tmp-{uuid.uuid4().hex[:8]}")
    super().__init__(job.rows, job.options.max_bad_fraction, self._aside)

  def __exit__(self, kind: type | None, *unused: object) -> None:
    self.close()
    if self.rows and kind is None:
      os.replace(quarantine.path(self._aside), self._target)
    shutil.rmtree(self._aside, ignore_errors=True)


def _run(job: Job, feature: int, bucket: int) -> pathlib.Path:
  names = count_pass.counted_names(job)
  return tally.path(runs(job), bucket, names[feature])


def _counted(
  job: Job, piece: Piece, most_bad: int
) -> Iterator[tuple[Rows, Counts]]:
  blocks = pieces.blocks(
    piece, job.options.block_bytes, header=job.layout.header
  )
  function = functools.partial(count_pass.counted, job, most_bad)
  return parallel.in_order(function, blocks, job.options.threads)


def _values(counts: Counts, buckets: int) -> Made:
  """Yields the values of each feature, cut into buckets."""
  for feature, table in enumerate(counts.values):
    table = spilling.grouped(table)
    for bucket, part in enumerate(_bucketed(table, buckets)):
      if len(part):
        yield (feature, bucket), part


def _bucketed(table: pa.Table, buckets: int) -> Sequence[pa.Table]:
  if buckets == 1:
    return [table]
  values = table["value"].combine_chunks().to_numpy(zero_copy_only=False)
  places = tf.strings.to_hash_bucket_fast(
    tf.constant(values, tf.string), buckets
  )
  order = np.argsort(places.numpy(), kind="stable")
  ends = np.cumsum(np.bincount(places.numpy(), minlength=buckets))
  return [table.take(pa.array(some)) for some in np.split(order, ends[:-1])]
