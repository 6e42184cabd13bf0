"""Scoring by Apache Beam: the files of `parts`, to the byte, from many workers.

A piece of the input is read by one worker, asked about by others, and written
by one, which holds its rows; so what is there is whole here as well, and a job
that was killed goes on.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from ctr_codistill import places
from ctr_codistill.criteo.preparing import beam_stage
from ctr_codistill.criteo.preparing import counting_pieces
from ctr_codistill.criteo.raw import pieces as pieces_
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import input_rows
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.input_rows import Encoders
from ctr_codistill.evaluation.input_rows import Rows
from ctr_codistill.evaluation.inputs import RawInput
from ctr_codistill.evaluation.plans import Plan
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.predict import Bad
from ctr_codistill.evaluation.predict import Scored


def score(
  plan: Plan, pieces: Sequence[Piece], before: int, *, flags: Sequence[str]
) -> None:
  """Writes the files of some pieces; what `parts.run` takes.

  Args:
    plan: whose they are; workers see its output, snapshots and input under the
      same paths.
    pieces: whose files are missing.
    before: bad lines of the others.
    flags: Beam's, such as --runner=DirectRunner.

  Raises:
    InputError: Beam is missing, an output that is no directory of all workers,
      or as `Input.read`.
  """
  plan = _absolute(plan)
  bad = Bad(plan.source.rows, plan.task.max_bad_fraction, before=before)
  with _aside(plan.output) as aside:
    stage = beam_stage.Stage(
      name="score",
      items=lambda: pieces,
      work=functools.partial(_read, plan=plan, most_bad=bad.allowed),
      between=functools.partial(_inference, plan.task),
      write=functools.partial(_write, plan=plan),
    )
    beam_stage.run(stage, flags, aside)


def count(
  found: RawInput,
  pieces: Sequence[Piece],
  *,
  output: str,
  flags: Sequence[str],
) -> RawInput:
  """Counts the lines of raw files; what `parts.run` takes.

  Args:
    found: the files, which workers see under the same paths.
    pieces: of them.
    output: a directory that workers see.
    flags: Beam's.

  Raises:
    InputError: as `score`.
  """
  stage = beam_stage.Stage(
    name="lines",
    items=lambda: pieces,
    work=functools.partial(counting_pieces.lines, header=found.layout.header),
  )
  with _aside(output) as aside:
    said = beam_stage.run(stage, flags, aside)
  done = sorted((Piece(**item["counted"]) for item in said), key=_number)
  return dataclasses.replace(found, pieces=tuple(pieces_.numbered(done)))


def _number(piece: Piece) -> int:
  return piece.number


@contextlib.contextmanager
def _aside(output: str) -> Iterator[pathlib.Path]:
  """Gives a directory that all workers see, and deletes it."""
  beam_stage.check()
  if places.is_remote(output):
    raise InputError(
      "with --runner the output should be a directory that all workers see, "
      f"is {output}"
    )
  prefix = f"{places.ASIDE}beam-"
  output = os.path.abspath(output)
  with tempfile.TemporaryDirectory(dir=output, prefix=prefix) as aside:
    yield pathlib.Path(aside)


def _absolute(plan: Plan) -> Plan:
  task = plan.task
  snapshots = tuple(map(os.path.abspath, task.snapshots))
  key_file = task.key_file and os.path.abspath(task.key_file)
  return dataclasses.replace(
    plan,
    task=dataclasses.replace(task, snapshots=snapshots, key_file=key_file),
    output=os.path.abspath(plan.output),
    runs={name: os.path.abspath(path) for name, path in plan.runs.items()},
  )


def _inference(task: Task) -> Any:
  from ctr_codistill.evaluation import beam_model

  return beam_model.inference(task)


def _read(
  piece: Piece, *, plan: Plan, most_bad: int
) -> Iterator[tuple[int, Rows]]:
  """Yields the rows of a piece, for models that may be elsewhere."""
  encoders = (
    _encoders(plan.task.snapshots) if isinstance(plan.source, RawInput) else {}
  )
  rows = plan.source.read([piece], encoders, threads=1, most_bad=most_bad)
  for part in input_rows.even(rows, predict.CHUNK_ROWS):
    yield piece.number, part


@functools.lru_cache(maxsize=1)
def _encoders(snapshots: tuple[str, ...]) -> Encoders:
  """Returns the encoders; a worker process makes them once."""
  return predict.encoders(snapshots)


def _write(
  item: tuple[int, Iterable[Scored]], *, plan: Plan
) -> Iterator[dict[str, int]]:
  """Writes the files of a piece, all of whose rows are here, in any order."""
  number, found = item
  ordered = sorted(found, key=lambda part: part.first)
  yield {"piece": number, "rows": parts.write(plan, number, ordered)}
