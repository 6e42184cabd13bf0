"""The second pass over raw logs: rows to shards, bad lines to quarantine.

A note at the end of each shard says where the next one begins in the input, so
that a job that was killed goes on there and writes the same bytes.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.preparing.job import Progress
from ctr_codistill.criteo.preparing.ledger import Encoded
from ctr_codistill.criteo.preparing.ledger import Ledger
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.records import Shard
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.vocabularies import Vocabularies
from ctr_codistill.errors import InputError


def run(
  job: Job, ledger: Ledger, schema: Schema, progress: Progress
) -> dict[str, int]:
  """Writes the shards and the quarantine; returns how many rows are where.

  Raises:
    InputError: no row is left for validation, too many lines are bad, or the
      rows out are not as many as those in.
    OSError: such as a full disk.
  """
  done = progress("encode", job.rows)
  with _Output(job, ledger, schema) as output:
    done(output.row)
    for rows, encoded in _rows(job, schema, output):
      output.write(rows, encoded)
      done(rows.lines_in)
    return sums(
      job,
      counted=ledger.state.counted.rows,
      read=output.row,
      train=output.train.rows,
      validation=output.validation.rows,
      bad=output.bad.rows,
    )


def _rows(
  job: Job, schema: Schema, output: "_Output"
) -> Iterator[tuple[Rows, np.ndarray]]:
  """Yields the blocks from `output.row` on, parsed and encoded."""
  return encoding.read(
    job.paths,
    Encoder(schema, Vocabularies(job.output, schema)),
    threads=job.options.threads,
    block_bytes=job.options.block_bytes,
    most_bad=output.bad.allowed,
    start=output.row,
    layout=job.layout,
  )


class _Output:
  """Where rows and bad lines go, from where the ledger says they lack."""

  def __init__(self, job: Job, ledger: Ledger, schema: Schema) -> None:
    found = ledger.state.encoded
    self._job, self._ledger = job, ledger
    self._written = found.written
    self.row = found.row
    self.train = _writer(job, schema, prepared.TRAIN, found.train)
    self.validation = _writer(
      job, schema, prepared.VALIDATION, found.validation
    )
    self.bad = Quarantine(
      job.rows,
      job.options.max_bad_fraction,
      job.output,
      bad=found.bad,
      size=found.bad_bytes,
    )

  def __enter__(self) -> "_Output":
    return self

  def __exit__(self, kind: type | None, *unused: object) -> None:
    self.bad.close()
    if kind is None:
      self.train.close()
      self.validation.close()

  @property
  def _shards(self) -> tuple[tuple[Shard, ...], tuple[Shard, ...]]:
    return self.train.shards, self.validation.shards

  def write(self, rows: Rows, encoded: np.ndarray) -> None:
    """Takes a block: int32 `[rows, columns]`, and its bad lines."""
    begin = Encoded(self.row, 0, self.bad.rows, self.bad.size)
    shards = self._shards
    cut = int(np.searchsorted(rows.lines, self._job.train_rows))
    self.train.write(encoded[min(self._written, cut) : cut])
    self.validation.write(encoded[max(self._written, cut) :])
    self.bad.add(rows.bad)
    self._written = 0
    self.row += rows.lines_in
    if self.row >= self._job.train_rows:
      # What waits for a shard must be of this block, or a note could not tell
      # where it begins.
      self.train.close()
    if self._shards != shards:
      self._note(begin, len(encoded))

  def _note(self, begin: Encoded, rows: int) -> None:
    """Notes the shards; `begin` is where the block of `rows` began."""
    self.bad.flush()
    pending = self.train.pending + self.validation.pending
    if pending:
      place = dataclasses.replace(begin, written=rows - pending)
    else:
      place = Encoded(self.row, 0, self.bad.rows, self.bad.size)
    train, validation = self._shards
    place = dataclasses.replace(place, train=train, validation=validation)
    self._ledger.note(encoded=place)


def _writer(
  job: Job, schema: Schema, split: str, shards: tuple[Shard, ...]
) -> ShardWriter:
  return ShardWriter(
    job.split(split),
    schema,
    block_rows=job.options.block_rows,
    shard_rows=job.options.shard_rows,
    shards=shards,
  )


def sums(
  job: Job, *, counted: int, read: int, train: int, validation: int, bad: int
) -> dict[str, int]:
  """Returns the rows in and out for the summary.

  Args:
    job: says how many lines there should be.
    counted: training rows behind the vocabularies.
    read: lines that were encoded or bad.
    train: rows in shards.
    validation: rows in shards.
    bad: lines in quarantine.

  Raises:
    InputError: they are not as many, or there is no row for validation.
  """
  if not validation:
    raise InputError(
      f"no row is left for validation: {job.rows} lines, the last "
      f"{job.rows - job.train_rows} are for it"
    )
  if not job.rows == read == train + validation + bad:
    raise InputError(
      f"{job.rows} rows were counted, {read} read, {train + validation} "
      f"written and {bad} quarantined; did the input change meanwhile? "
      "--overwrite starts anew"
    )
  if counted != train:
    raise InputError(
      f"vocabularies were counted over {counted} training rows, {train} were "
      "written; did the input change meanwhile? --overwrite starts anew"
    )
  return {
    "rows_in": read,
    "rows_out": train + validation,
    "rows_quarantined": bad,
    "rows_train": train,
    "rows_validation": validation,
  }
