"""What a scoring job reads and passes on: flags of predict and nightly.

Both score in the same way, so that a night is a job that could be run by hand.
"""

import functools
import pathlib
import shlex
from collections.abc import Sequence

from absl import flags

from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import beam_parts
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.parts import Done
from ctr_codistill.evaluation.plans import Task
from pipelines import cache
from pipelines import command
from pipelines import demanded
from pipelines.bars import Bars

_INPUT = flags.DEFINE_string(
  "input",
  None,
  "raw files (a path or pattern, plain, .gz, .zst or parquet, also s3:// or "
  "http://) or a prepared directory of shards, such as DATA/validation",
)
_LAYOUT = flags.DEFINE_string(
  "layout",
  None,
  "columns of raw files, as --layout of pipelines.prepare; Criteo's form with "
  "the model's features if not given",
)
_COLUMNS = flags.DEFINE_list(
  "columns",
  [],
  "columns of the input that the output has as well, as they came, with commas "
  "between; of shards: the prepared integers and ids",
)
_SLICES = flags.DEFINE_list(
  "slices", [], "of --columns, those by which reports cut the examples"
)
_PIECE_BYTES = flags.DEFINE_integer(
  "piece_bytes",
  Task.piece_bytes,
  "of plain text in a file of the directory; a compressed file, one of parquet "
  "and a shard is one piece",
  lower_bound=1,
)
_THREADS = flags.DEFINE_integer(
  "threads", 2, "threads that parse beside the model", lower_bound=1
)
_MAX_BAD_FRACTION = flags.DEFINE_float(
  "max_bad_fraction",
  predict.MAX_BAD_FRACTION,
  "share of raw lines that may be bad; more end the job",
  lower_bound=0,
  upper_bound=1,
)
_RUNNER = flags.DEFINE_string(
  "runner",
  None,
  "predicts under Apache Beam (requirements-beam.txt, docs/beam.md), into a "
  "directory that all workers see",
)
_BEAM_OPTIONS = flags.DEFINE_multi_string(
  "beam_options", [], "options for --runner, as Beam writes them"
)
flags.adopt_module_key_flags(cache)
flags.adopt_module_key_flags(demanded)


def source() -> str:
  """Returns the input: of prepared data elsewhere the copy on this machine.

  Raises:
    InputError: it is out of reach.
  """
  command.reach(_INPUT.value)
  return cache.shards(_INPUT.value)


def task(snapshots: Sequence[str], *, labelled: bool = False) -> Task:
  """Returns what the flags say shall be predicted by some snapshots.

  Args:
    snapshots: their directories.
    labelled: whether the input must have labels.

  Raises:
    InputError: the input is out of reach, a layout that is none, a slice of no
      column, a snapshot that is remote or none.
  """
  for path in snapshots:
    _check_snapshot(path)
  for name in _SLICES.value:
    if name not in _COLUMNS.value:
      raise InputError(f"--slices should be of --columns, has {name!r}")
  return Task(
    snapshots=tuple(snapshots),
    source=source(),
    layout=layout_files.read(_LAYOUT.value) if _LAYOUT.value else None,
    kept=tuple(_COLUMNS.value),
    piece_bytes=_PIECE_BYTES.value,
    max_bad_fraction=_MAX_BAD_FRACTION.value,
    labelled=labelled,
    sliced=tuple(_SLICES.value),
    **demanded.asked(),
  )


def _check_snapshot(path: str) -> None:
  """Names the snapshots that there are where a path of this machine is none."""
  if places.is_remote(path):
    raise InputError(
      f"{path} should be a directory of this machine: snapshots are read here"
    )
  found = pathlib.Path(path)
  if stamped.is_stamped(found):
    return
  own = exchange.folder(found, 0)
  newest = exchange.latest(own)
  if newest is not None:
    raise InputError(
      f"{path} should be a snapshot, such as {own / str(newest)}; it is a "
      "whole run"
    )
  beside = stamped.numbers(found.parent)
  if not found.exists() and beside:
    raise InputError(
      f"{path} is not there; snapshots there are {', '.join(map(str, beside))}"
    )


def slices() -> tuple[str, ...]:
  """Returns the columns by which reports cut the examples."""
  return tuple(_SLICES.value)


def threads() -> int:
  """Returns how many threads parse, 1 or more."""
  return _THREADS.value


def is_elsewhere() -> bool:
  """Tells whether Beam's workers score."""
  return bool(_RUNNER.value)


def scored(task: Task, output: str, *, overwrite: bool = False) -> Done:
  """Scores into a directory, here or by --runner, and shows how far it is.

  Args:
    task: what shall be predicted.
    output: the directory.
    overwrite: delete what another job left there.

  Raises:
    InputError: as `parts.run`.
  """
  score = count = None
  if is_elsewhere():
    options = [o for text in _BEAM_OPTIONS.value for o in shlex.split(text)]
    own = [f"--runner={_RUNNER.value}", *options]
    score = functools.partial(beam_parts.score, flags=own)
    count = functools.partial(beam_parts.count, output=output, flags=own)
  with Bars() as bars:
    return parts.run(
      task,
      output,
      overwrite=overwrite,
      threads=threads(),
      progress=lambda rows: bars(
        "count lines" if rows is None else "predict", rows
      ),
      score=score,
      count=count,
    )
