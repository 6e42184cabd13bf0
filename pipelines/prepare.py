"""Makes a prepared directory of raw Criteo logs: shards, schema, vocabularies.

Training reads fixed-length rows many times faster than text, and knows by the
schema's fingerprint that rows and model fit. The first rows train, the last
validate; values and statistics are counted over the training rows only. A job
that was killed goes on where it was if the same command is given again.

  python -m pipelines.prepare --input='day_*.tsv.gz' --output=prepared

With --runner the same passes run under Apache Beam, on one machine or many, and
leave the same bytes: docs/beam.md.
"""

import hashlib
import os
import re
import shlex
import time

from absl import flags

from ctr_codistill import places
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.beam_engine import BeamEngine
from ctr_codistill.criteo.preparing.engine import Engine
from ctr_codistill.criteo.preparing.engine import Local
from ctr_codistill.criteo.preparing.preparation import Options
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.errors import InputError
from pipelines import command
from pipelines.bars import Bars

_INPUT = flags.DEFINE_multi_string(
  "input",
  None,
  "raw logs, plain, .gz, .zst or parquet: a path, s3://, http:// or a pattern; "
  "repeat it for more. Label, 13 integers, 26 strings, or see --layout",
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "directory to make, here or s3://; a job that was killed goes on there if "
  "started again",
)
_SCRATCH = flags.DEFINE_string(
  "scratch",
  None,
  "local directory for what is not done yet where the output is s3://, deleted "
  "at the end; by default one of the system's temporary directory that follows "
  "from the output's address",
)
_OVERWRITE = flags.DEFINE_bool(
  "overwrite",
  False,
  "whether a directory that is prepared already, or in part, is made anew",
)
_LAYOUT = flags.DEFINE_string(
  "layout",
  "criteo",
  "columns of the logs: criteo, criteo_x4 (its bins and its minimum count of "
  "10), or a FILE.toml that says them (docs/logs.md)",
)
_MIN_COUNT = flags.DEFINE_integer(
  "min_count",
  None,
  "training rows with a value for it to get an id of its own; the layout's, "
  f"or else {Options.min_count}",
)
_OOV = flags.DEFINE_integer(
  "oov",
  None,
  "ids per feature among which other values are hashed; the layout's, or else "
  f"{Options.oov}",
)
_VALIDATION = flags.DEFINE_float(
  "validation_fraction",
  Options.validation_fraction,
  "share of the rows, the last ones, that is kept for validation",
)
_MAX_BAD = flags.DEFINE_float(
  "max_bad_fraction",
  Options.max_bad_fraction,
  "share of bad lines past which the job ends in an error; those within it go "
  "to OUTPUT/quarantine",
)
_BLOCK_ROWS = flags.DEFINE_integer(
  "block_rows", Options.block_rows, "rows of a checksummed block"
)
_SHARD_ROWS = flags.DEFINE_integer(
  "shard_rows", Options.shard_rows, "rows of a file, a multiple of block_rows"
)
_THREADS = flags.DEFINE_integer(
  "threads", os.cpu_count(), "threads that parse and encode"
)
_BLOCK_BYTES = flags.DEFINE_integer(
  "block_bytes", Options.block_bytes, "raw text that a thread takes at a time"
)
_COUNT_BYTES = flags.DEFINE_integer(
  "count_bytes",
  Options.count_bytes,
  "memory for values while they are counted; more of them go to disk",
)
_MAX_VOCABULARY = flags.DEFINE_integer(
  "max_vocabulary",
  Options.max_vocabulary,
  "values of a feature with an id of their own at most, the most frequent; 0 "
  "is no limit, and then memory grows with the vocabularies",
)
_RUNNER = flags.DEFINE_string(
  "runner",
  None,
  "runs the passes under Apache Beam (requirements-beam.txt), by DirectRunner, "
  "PortableRunner, FlinkRunner, ...; OUTPUT is then a directory that all "
  "workers see (docs/beam.md)",
)
_BEAM_OPTIONS = flags.DEFINE_multi_string(
  "beam_options",
  [],
  "options for --runner, as Beam writes them, with spaces between, such as "
  "'--job_endpoint=localhost:8099 --environment_type=LOOPBACK'",
)
_PIECE_BYTES = flags.DEFINE_integer(
  "piece_bytes",
  pieces.PIECE_BYTES,
  "raw text that a worker of --runner takes at a time; a file that is "
  "compressed or parquet is taken whole",
)


def _engine() -> Engine:
  """Returns what the flags say runs the passes."""
  options = [o for text in _BEAM_OPTIONS.value for o in shlex.split(text)]
  if _RUNNER.value:
    if places.is_remote(_OUTPUT.value):
      raise InputError(
        "output should be a directory that all workers of --runner see, is "
        f"{_OUTPUT.value}"
      )
    options = [f"--runner={_RUNNER.value}", *options]
    return BeamEngine(options, piece_bytes=_PIECE_BYTES.value)
  if options:
    raise InputError(
      f"beam_options should come with --runner, are {' '.join(options)}"
    )
  return Local()


def _first(*values: int | None) -> int:
  """Returns the first value that is said."""
  return next(value for value in values if value is not None)


def _scratch() -> str | None:
  """Returns where the job works if not in its output."""
  output = _OUTPUT.value.rstrip("/")
  if _SCRATCH.value or not places.is_remote(output):
    return _SCRATCH.value
  readable = re.sub(r"[^A-Za-z0-9]+", "-", output)[-60:]
  digest = hashlib.sha256(output.encode()).hexdigest()[:8]
  return command.temporary(f"prepare-{readable}-{digest}")


def main() -> int:
  """Runs the job that the flags describe."""
  command.reach(*_INPUT.value, _OUTPUT.value)
  engine = _engine()
  layout = layout_files.read(_LAYOUT.value)
  options = Options(
    min_count=_first(_MIN_COUNT.value, layout.min_count, Options.min_count),
    oov=_first(_OOV.value, layout.oov, Options.oov),
    validation_fraction=_VALIDATION.value,
    max_bad_fraction=_MAX_BAD.value,
    block_rows=_BLOCK_ROWS.value,
    shard_rows=_SHARD_ROWS.value,
    threads=_THREADS.value,
    block_bytes=_BLOCK_BYTES.value,
    count_bytes=_COUNT_BYTES.value,
    max_vocabulary=_MAX_VOCABULARY.value,
    overwrite=_OVERWRITE.value,
  )
  with Bars() as bars:
    summary = preparation.prepare(
      _INPUT.value,
      _OUTPUT.value,
      options,
      clock=time.monotonic,
      progress=bars,
      layout=layout,
      scratch=_scratch(),
      engine=engine,
    )
  print(preparation.described(summary, _OUTPUT.value))
  return 0


command.require("input", "output")
command.local("scratch")
command.written("output")

if __name__ == "__main__":
  command.run(main)
