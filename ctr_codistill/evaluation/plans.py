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
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import keys
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo import records
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import pieces as pieces_
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.inputs import Input
from ctr_codistill.evaluation.predict import Predictor
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust.demands import Demands

JOB = "job.json"


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
    name = f"part-{number:05d}.parquet"
    return [os.path.join(folder, name) for folder in self.runs.values()]

  def missing(self) -> list[Piece]:
    """Returns the pieces of which a file is not there yet."""
    there = [_names(folder) for folder in self.runs.values()]
    return [
      piece
      for piece in self.source.pieces
      if not all(
        os.path.basename(path) in names
        for path, names in zip(self.paths(piece.number), there)
      )
    ]


def make(task: Task, output: str, *, overwrite: bool) -> Plan:
  """Finds the input; begins the job's directory or goes on with it."""
  names = comparison.names(task.snapshots)
  folders = [name.replace("/", "-") for name in names]
  runs = {name: os.path.join(output, name) for name in folders}
  if len(runs) == 1:
    runs = {folders[0]: output}
  described = _described(task)
  schemas = [predict.schema_of(path) for path in task.snapshots]
  known = None if overwrite else _known(output, described)
  source = inputs.find(
    task.source,
    schemas,
    layout=task.layout,
    kept=task.kept,
    labelled=task.labelled,
    piece_bytes=task.piece_bytes,
    known=known,
  )
  if known is None:
    _clear(output, list(runs.values()))
    pieces = [dataclasses.asdict(piece) for piece in source.pieces]
    text = json.dumps(described | {"pieces": pieces}, indent=1)
    stamped.write_text(os.path.join(output, JOB), text + "\n")
  return Plan(task, output, runs, source)


def _described(task: Task) -> dict[str, Any]:
  """Returns what decides the bytes of the files, as JSON has it."""
  if inputs.is_shards(task.source):
    files = [os.path.join(task.source, records.MANIFEST)]
  else:
    files = lines.find(task.source)
  found = {
    "input": {path: _size(path) for path in files},
    "snapshots": {path: _sum(path) for path in task.snapshots},
    "layout": task.layout and dataclasses.asdict(task.layout),
    "columns": task.kept,
    "piece_bytes": task.piece_bytes,
  }
  return json.loads(json.dumps(found))


def _known(output: str, described: dict[str, Any]) -> list[Piece] | None:
  """Returns the pieces of the job that was begun; None where none was.

  Raises:
    InputError: it is another one, or there are other things.
  """
  path = os.path.join(output, JOB)
  try:
    found = json.loads(places.read_bytes(path))
  except FileNotFoundError:
    if _names(output):
      raise InputError(
        f"{output} should be new, empty or a job's directory, has other files"
      ) from None
    return None
  pieces = found.pop("pieces")
  for name, value in described.items():
    if found.get(name) != value:
      raise InputError(
        f"{output} is another job's: its {name} should be {value}, is "
        f"{found.get(name)}; another --output, or --overwrite, begins anew"
      )
  return [Piece(**piece) for piece in pieces]


def _clear(output: str, folders: Sequence[str]) -> None:
  """Deletes the files that a job leaves, and no others; its note first."""
  for name in {JOB} & _names(output):
    places.remove(os.path.join(output, name))
  for folder in {*folders, os.path.join(output, quarantine.FOLDER)}:
    for name in _names(folder):
      if name.startswith("part-") and name.endswith((".parquet", ".tsv")):
        places.remove(os.path.join(folder, name))


def _names(folder: str) -> set[str]:
  try:
    return set(places.names(folder))
  except FileNotFoundError:
    return set()


def _size(path: str) -> int:
  with places.open_bytes(path) as file:
    return file.seek(0, os.SEEK_END)


def _sum(snapshot: str) -> str:
  stamped.facts(snapshot)
  manifest = pathlib.Path(snapshot, stamped.MANIFEST).read_bytes()
  return hashlib.sha256(manifest).hexdigest()
