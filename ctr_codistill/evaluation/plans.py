"""What a scoring job does, and what of it is done: a file a piece of the input.

`job.json` in the job's directory says whose files lie there: they are whole or
absent, so that a job that was killed goes on with those that are missing. Each
snapshot has its own files, which is what `pipelines.churn` reads; a single
snapshot's lie in no folder of their own.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import keys
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.raw import pieces as pieces_
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import jobs
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.inputs import Input
from ctr_codistill.evaluation.inputs import RawInput
from ctr_codistill.evaluation.predict import Predictor
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust.demands import Demands

Count = Callable[[RawInput, Sequence[Piece]], RawInput]
"""Returns raw files with their pieces, whose lines it counts."""


@dataclasses.dataclass(frozen=True)
class Task:
  """What shall be predicted.

  Attributes:
    snapshots: their directories, at least one.
    source: a directory of shards, or a pattern of raw files.
    layout: of raw files; None is Criteo's form with the models' features.
    kept: names of columns of the input that the files have as well.
    piece_bytes: of plain text in a piece, at least 1.
    max_bad_fraction: of the lines that may be bad, in [0, 1].
    key_file: with the key that must have signed the snapshots, "" for none;
      every process that loads one reads it there.
    allowed_ops: that their graphs may have beside the usual ones.
    labelled: whether the input must have labels, which is told at the start.
    sliced: of the kept columns those by which reports will cut the rows, which
      must be of values, likewise.
  """

  snapshots: tuple[str, ...]
  source: str
  layout: Layout | None = None
  kept: tuple[str, ...] = ()
  piece_bytes: int = pieces_.PIECE_BYTES
  max_bad_fraction: float = predict.MAX_BAD_FRACTION
  key_file: str = ""
  allowed_ops: tuple[str, ...] = ()
  labelled: bool = False
  sliced: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    for path in self.snapshots:
      if self.snapshots.count(path) > 1:
        raise InputError(f"{path} should be given once, is twice")

  def demands(self) -> Demands:
    """Returns what the snapshots must show.

    Raises:
      InputError: the key cannot be used.
    """
    return Demands(keys.read(self.key_file), self.allowed_ops)

  def look(self) -> Input:
    """Returns the input; raw files are not cut into pieces yet.

    Raises:
      InputError: as `inputs.look`; a snapshot's directory is none.
    """
    return inputs.look(
      self.source,
      [predict.schema_of(path) for path in self.snapshots],
      layout=self.layout,
      kept=self.kept,
      sliced=self.sliced,
      labelled=self.labelled,
    )

  def predictors(self) -> list[Predictor]:
    """Loads the snapshots."""
    demands = self.demands()
    return [Predictor(Snapshot(path, demands)) for path in self.snapshots]


@dataclasses.dataclass(frozen=True)
class Plan:
  """A task whose input was found.

  Attributes:
    task: what it is.
    output: the directory.
    runs: directory of each snapshot's files, by its name.
    source: the input.
  """

  task: Task
  output: str
  runs: Mapping[str, str]
  source: Input

  def paths(self, number: int) -> list[str]:
    """Returns the files of a piece, one a snapshot."""
    name = jobs.part(number)
    return [os.path.join(folder, name) for folder in self.runs.values()]

  def missing(self) -> list[Piece]:
    """Returns the pieces of which a file is not there yet.

    A file here that cannot be read, as a power cut leaves some, is deleted.
    """
    there = [jobs.names(folder) for folder in self.runs.values()]
    return [
      piece
      for piece in self.source.pieces
      if not all(
        os.path.basename(path) in names and _is_whole(path)
        for path, names in zip(self.paths(piece.number), there)
      )
    ]


def find(task: Task, output: str) -> Plan:
  """Finds the input; changes nothing, and raw files are not cut yet.

  Raises:
    InputError: as `inputs.look`; no snapshot; it would write what it reads.
  """
  for path in task.snapshots:
    stamped.facts(path)  # what is no snapshot is told first
  plan = Plan(task, output, jobs.runs(output, task.snapshots), task.look())
  bad = jobs.bad_lines(output, 0)
  apart.check(
    inputs.patterns(task.source),
    files=[os.path.join(output, jobs.FILE), bad, *plan.paths(0)],
    folders=[output, os.path.dirname(bad), *plan.runs.values()],
  )
  return plan


def begin(
  plan: Plan, *, overwrite: bool, count: Count = inputs.counted
) -> Plan:
  """Returns the plan with its pieces: begins the job, or goes on with it.

  Args:
    plan: as it was found.
    overwrite: whether another job's files are deleted.
    count: counts the lines of raw files; not done where they are known.

  Raises:
    InputError: as `jobs.known`; there is no row.
  """
  described = _described(plan)
  known = None if overwrite else jobs.known(plan.output, described)
  source = plan.source
  if isinstance(source, RawInput):
    if known is None:
      cut = inputs.cut(source, plan.task.piece_bytes)
      if not cut:
        raise InputError(f"{plan.task.source} should have a row, has none")
      source = count(source, cut)
    else:
      source = dataclasses.replace(source, pieces=tuple(known))
  if known is None:
    jobs.clear(plan.output, plan.runs.values())
    jobs.begin(plan.output, described, source.pieces)
  return dataclasses.replace(plan, source=source)


def make(task: Task, output: str, *, overwrite: bool) -> Plan:
  """Finds the input; begins the job's directory or goes on with it."""
  return begin(find(task, output), overwrite=overwrite)


def _described(plan: Plan) -> dict[str, Any]:
  """Returns what decides the bytes of the files, as JSON has it."""
  task, source = plan.task, plan.source
  if isinstance(source, RawInput):
    files = {path: places.version(path) for path in source.paths}
  else:
    path = os.path.join(task.source, records.MANIFEST)
    files = {path: records.digest(source.shards)}
  found = {
    "input": files,
    "snapshots": {path: _sum(path) for path in task.snapshots},
    "layout": task.layout and dataclasses.asdict(task.layout),
    "columns": task.kept,
    "piece_bytes": task.piece_bytes,
  }
  return json.loads(json.dumps(found))


def _is_whole(path: str) -> bool:
  """Tells whether a file of predictions has its end; deletes it otherwise."""
  if places.is_remote(path):  # there all are
    return True
  try:
    predictions.count(path)
  except InputError:
    places.remove(path)
    return False
  return True


def _sum(snapshot: str) -> str:
  manifest = pathlib.Path(snapshot, stamped.MANIFEST).read_bytes()
  return hashlib.sha256(manifest).hexdigest()
