"""A preparation by Apache Beam: on many machines, and the same bytes.

Three pipelines, one after the other, for each needs a sum over all that the one
before found: lines say where training ends, values which ids there are, rows
before a piece which shard it is for. A job that was killed goes on after the
last that came to its end. Rows pass from worker to worker by the runner; the
rest lies in the output, which must be a directory that all workers see.
"""

import dataclasses
import functools
import shutil
from collections.abc import Sequence

import numpy as np

from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.preparing import beam_stage
from ctr_codistill.criteo.preparing import count_pass
from ctr_codistill.criteo.preparing import counting_pieces
from ctr_codistill.criteo.preparing import encode_pass
from ctr_codistill.criteo.preparing import encoding_pieces
from ctr_codistill.criteo.preparing.beam_stage import Said
from ctr_codistill.criteo.preparing.beam_stage import Stage
from ctr_codistill.criteo.preparing.counting_pieces import Seen
from ctr_codistill.criteo.preparing.encoding_pieces import Start
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.preparing.job import Progress
from ctr_codistill.criteo.preparing.ledger import Counted
from ctr_codistill.criteo.preparing.ledger import Ledger
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.criteo.records import Shard
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

_BUCKET_ROWS = 1 << 24
_MOST_BUCKETS = 256


class BeamEngine:
  """Runs the passes by Beam; an `engine.Engine`.

  Args:
    flags: Beam's own, such as `--runner=DirectRunner`.
    piece_bytes: of plain text that a worker takes at a time, at least 1.

  Raises:
    InputError: Beam is not installed, or `piece_bytes` is too small.
  """

  name = "beam"

  def __init__(
    self, flags: Sequence[str], *, piece_bytes: int = pieces.PIECE_BYTES
  ) -> None:
    if piece_bytes < 1:
      raise InputError(f"piece_bytes should be at least 1, is {piece_bytes}")
    beam_stage.check()
    self._flags = tuple(flags)
    self._piece_bytes = piece_bytes

  def lines(self, job: Job, progress: Progress) -> int:
    """Cuts the input into pieces and counts their lines."""
    done = progress("lines", None)
    rows = sum(piece.lines for piece in self._pieces(_shared(job)))
    done(rows)
    return rows

  def count(self, job: Job, ledger: Ledger, progress: Progress) -> Schema:
    """Counts the values of all pieces; makes the vocabularies here.

    Raises:
      InputError: as `count_pass.run`, but of bad lines past the training rows
        as well.
    """
    job = _shared(job)
    if ledger.state.schema is None:
      done = progress("count", job.train_rows)
      found = self._counted(job)
      ledger.note(counted=found)
      done(found.rows)
      tally = count_pass.tallied(job, found, counting_pieces.runs(job))
      count_pass.make(job, ledger, tally, progress("vocabularies", None))
    shutil.rmtree(counting_pieces.runs(job), ignore_errors=True)
    return schemas.from_json(ledger.state.schema)

  def encode(
    self, job: Job, ledger: Ledger, schema: Schema, progress: Progress
  ) -> dict[str, int]:
    """Writes the shards of both splits, and joins the bad lines."""
    job = _shared(job)
    done = progress("encode", job.rows)
    seen, said = self._seen(job), self._encoded(job, schema)
    shards = {
      split: _shards(said, split)
      for split in (prepared.TRAIN, prepared.VALIDATION)
    }
    written = encode_pass.sums(
      job,
      counted=ledger.state.counted.rows,
      read=sum(item.get("lines", 0) for item in said),
      train=sum(shard.rows for shard in shards[prepared.TRAIN]),
      validation=sum(shard.rows for shard in shards[prepared.VALIDATION]),
      bad=sum(one.bad for one in seen),
    )
    for split, found in shards.items():
      _finish(job, schema, split, found)
    parts = [
      counting_pieces.bad_path(job, one.piece) for one in seen if one.bad
    ]
    if parts:
      quarantine.join(job.output, parts)
    done(job.rows)
    return written

  def _pieces(self, job: Job) -> list[Piece]:
    """Returns all pieces, counted and numbered."""
    header = job.layout.header
    stage = Stage(
      "lines",
      lambda: pieces.split(job.paths, self._piece_bytes, header=header),
      functools.partial(counting_pieces.lines, header=header),
    )
    found = [Piece(**item["counted"]) for item in self._run(job, stage)]
    return pieces.numbered(sorted(found, key=lambda piece: piece.number))

  def _count(self, job: Job) -> Said:
    counting_pieces.runs(job).mkdir(parents=True, exist_ok=True)
    stage = Stage(
      "count",
      lambda: self._pieces(job),
      functools.partial(counting_pieces.count, job=job, buckets=_buckets(job)),
      functools.partial(counting_pieces.write_run, job=job),
      counting_pieces.merged,
    )
    return self._run(job, stage)

  def _counted(self, job: Job) -> Counted:
    """Returns the sums over all pieces, whose values then lie in runs."""
    said, seen = self._count(job), self._seen(job)
    bad = Quarantine(job.rows, job.options.max_bad_fraction, None)
    for one in seen:
      bad.note(one.bad, one.shown)
    none = np.zeros((3, len(job.layout.numeric)), object)
    moments = sum((np.array(one.moments, object) for one in seen), none)
    counting_pieces.fill_runs(job, _buckets(job))
    return Counted(
      row=job.train_rows,
      bad=bad.rows,
      rows=sum(one.train for one in seen),
      moments=tuple(map(tuple, moments.tolist())),
      runs=_buckets(job),
      spilled_bytes=sum(item.get("run_bytes", 0) for item in said),
    )

  def _seen(self, job: Job) -> list[Seen]:
    """Returns what the counting of each piece found, in order."""
    found = [Seen(**i["seen"]) for i in self._count(job) if "seen" in i]
    return sorted(found, key=lambda one: one.piece)

  def _encoded(self, job: Job, schema: Schema) -> Said:
    stage = Stage(
      "encode",
      lambda: _starts(self._pieces(job), self._seen(job)),
      functools.partial(encoding_pieces.encode, job=job, schema=schema),
      functools.partial(
        encoding_pieces.write_shard, job=job, columns=schema.columns
      ),
    )
    return self._run(job, stage)

  def _run(self, job: Job, stage: Stage) -> Said:
    return beam_stage.run(stage, self._flags, counting_pieces.folder(job))


def _shared(job: Job) -> Job:
  """Returns the job with a path of its output that holds for all workers."""
  return dataclasses.replace(job, output=job.output.absolute())


def _buckets(job: Job) -> int:
  """Returns into how many parts the values of a feature are cut."""
  return min(1 + job.rows // _BUCKET_ROWS, _MOST_BUCKETS)


def _starts(found: Sequence[Piece], seen: Sequence[Seen]) -> list[Start]:
  starts, train, validation = [], 0, 0
  for piece, one in zip(found, seen, strict=True):
    starts.append(Start(piece, train, validation))
    train, validation = train + one.train, validation + one.validation
  return starts


def _shards(said: Said, split: str) -> list[Shard]:
  """Returns the shards of a split that were written, in order."""
  found = [item for item in said if item.get("split") == split]
  found.sort(key=lambda item: item["number"])
  return [Shard(**item["shard"]) for item in found]


def _finish(
  job: Job, schema: Schema, split: str, shards: Sequence[Shard]
) -> None:
  """Writes the manifest of a split, whose shards are there."""
  ShardWriter(
    job.output / split,
    schema,
    block_rows=job.options.block_rows,
    shard_rows=job.options.shard_rows,
    shards=shards,
  ).close()
