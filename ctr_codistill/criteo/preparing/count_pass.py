"""The first pass over raw logs: vocabularies and statistics, hence the schema.

It looks at the training rows only, and keeps no more than a bounded part of
what it saw in memory.
"""

import dataclasses
import functools
import itertools
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo import bins
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing import counting
from ctr_codistill.criteo.preparing import ledger as ledgers
from ctr_codistill.criteo.preparing.counting import Counts
from ctr_codistill.criteo.preparing.counting import Vocabulary
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.preparing.job import Progress
from ctr_codistill.criteo.preparing.ledger import Counted
from ctr_codistill.criteo.preparing.ledger import Ledger
from ctr_codistill.criteo.preparing.tally import Tally
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

RUNS = "runs"
"""The folder of runs in that of the ledger."""
_NOTED_BLOCKS = 512
"""Blocks after which the counts go to disk even if there is room for them."""


def run(job: Job, ledger: Ledger, progress: Progress) -> Schema:
  """Writes the vocabularies, notes the schema and returns it.

  Raises:
    InputError: no row is left for training, or too many lines are bad.
    OSError: such as a full disk.
  """
  folder = job.output / ledgers.FOLDER / RUNS
  if ledger.state.schema is None:
    tally = tallied(job, ledger.state.counted, folder)
    _count(job, ledger, tally, progress("count", job.train_rows))
    make(job, ledger, tally, progress("vocabularies", None))
  shutil.rmtree(folder, ignore_errors=True)
  return schemas.from_json(ledger.state.schema)


def tallied(job: Job, found: Counted, folder: pathlib.Path) -> Tally:
  """Returns what was counted so far, its runs in `folder`."""
  names = counted_names(job)
  return Tally(
    names,
    folder,
    most_bytes=job.options.count_bytes,
    threads=job.options.threads,
    start=found.counts(len(job.layout.numeric), len(names)),
    runs=found.runs,
    spilled_bytes=found.spilled_bytes,
  )


def counted_names(job: Job) -> tuple[str, ...]:
  """Returns the features whose values are counted, as `Rows.categorical`."""
  layout = job.layout
  return layout.categorical + (layout.numeric if layout.binned else ())


def _count(
  job: Job, ledger: Ledger, tally: Tally, done: Callable[[int], None]
) -> None:
  """Adds the training rows to `tally`."""
  before = ledger.state.counted
  bad = Quarantine(job.rows, job.options.max_bad_fraction, None, bad=before.bad)
  row, blocks = before.row, 0  # blocks since the last note
  done(before.rows)
  for rows, counts in _blocks(job, row, bad.allowed):
    bad.add(rows.bad)
    full = tally.add(counts)
    row, blocks = row + rows.lines_in, blocks + 1
    done(counts.rows)
    if full or blocks == _NOTED_BLOCKS:
      tally.spill()
      ledger.note(counted=_counted(tally, row, bad.rows))
      blocks = 0
  if tally.runs and blocks:
    tally.spill()
    ledger.note(counted=_counted(tally, row, bad.rows))


def _blocks(
  job: Job, start: int, most_bad: int
) -> Iterator[tuple[parsing.Rows, Counts]]:
  """Yields the rows and counts of all blocks with training rows."""
  blocks = lines.blocks(
    job.paths, job.options.block_bytes, header=job.layout.header
  )
  blocks = itertools.dropwhile(lambda block: block.row < start, blocks)
  blocks = itertools.takewhile(lambda block: block.row < job.train_rows, blocks)

  function = functools.partial(counted, job, most_bad)
  return parallel.in_order(function, blocks, job.options.threads)


def counted(
  job: Job, most_bad: int, block: lines.Block
) -> tuple[parsing.Rows, Counts]:
  """Returns the rows of a block, and the counts of those for training."""
  rows = parsing.parse(block, job.layout, most_bad)
  stop = int(np.searchsorted(rows.lines, job.train_rows))
  return rows, counting.count(rows, stop)


def _counted(tally: Tally, row: int, bad: int) -> Counted:
  return Counted(
    row=row,
    bad=bad,
    rows=tally.counts.rows,
    moments=tuple(map(tuple, tally.counts.moments.tolist())),
    runs=tally.runs,
    spilled_bytes=tally.spilled_bytes,
  )


def make(
  job: Job, ledger: Ledger, tally: Tally, done: Callable[[int], None]
) -> None:
  """Writes the vocabularies and notes the schema; raises as `run`."""
  options, names = job.options, job.layout.categorical
  if not tally.counts.rows:
    raise InputError(
      f"no row is left for training: {job.rows} lines, the first "
      f"{job.train_rows} are for it"
    )

  def feature(place: int) -> tuple[Categorical, dict[str, int]]:
    found = counting.vocabulary(
      tally.values(place), options.min_count, options.max_vocabulary
    )
    name, size = names[place], len(found.values)
    sha256 = vocabularies.write(found.values, job.output, name)
    return Categorical(name, size, options.oov, sha256), _facts(found)

  made, facts = [], {}
  for one, said in parallel.in_order(
    feature, range(len(names)), options.threads
  ):
    made.append(one)
    facts[one.name] = said
    done(said["distinct"])
  schema = Schema(
    counting.numerics(tally.counts, job.layout.numeric), tuple(made)
  )
  if job.layout.binned:
    schema = bins.binned(schema, _often(job, tally, len(names)))
  ledger.note(
    schema=schemas.to_json(schema),
    vocabularies=facts,
    counted=dataclasses.replace(ledger.state.counted, rows=tally.counts.rows),
  )


def _often(job: Job, tally: Tally, first: int) -> list[pa.BinaryArray]:
  """Returns the bins of each numeric that are frequent enough."""
  places = range(first, first + len(job.layout.numeric))
  found = [
    counting.vocabulary(tally.values(place), job.options.min_count)
    for place in places
  ]
  return [vocabulary.values for vocabulary in found]


def _facts(found: Vocabulary) -> dict[str, int]:
  return {
    "distinct": found.distinct,
    "size": len(found.values),
    "capped": found.capped,
    "capped_rows": found.capped_rows,
  }
