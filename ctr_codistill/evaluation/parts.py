"""Scoring into a directory: files whole or absent, going on where it was."""

import contextlib
import dataclasses
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo.quarantine import Quarantine
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import jobs
from ctr_codistill.evaluation import plans
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.inputs import RawInput
from ctr_codistill.evaluation.plans import Count
from ctr_codistill.evaluation.plans import Plan
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.predict import Bad
from ctr_codistill.evaluation.predict import Scored


@dataclasses.dataclass(frozen=True)
class Done:
  """What a job left.

  Attributes:
    runs: the directory of each snapshot's files, by its name.
    rows: predicted rows, of each.
    bad: lines that were none.
    parts: files of each.
    found: of them that were there when the job began.
  """

  runs: Mapping[str, str]
  rows: int
  bad: int
  parts: int
  found: int


Score = Callable[[Plan, Sequence[Piece], int], None]
"""Writes the files of some pieces of a plan, given the bad lines before."""


def run(
  task: Task,
  output: str | os.PathLike,
  *,
  overwrite: bool = False,
  threads: int = 2,
  progress: Callable[[int | None], Callable[[int], None]] = lambda rows: (
    lambda rows: None
  ),
  score: Score | None = None,
  count: Count | None = None,
) -> Done:
  """Predicts what is not there yet; no other job may write there meanwhile.

  Args:
    task: what shall be predicted.
    output: the directory, local or s3://; made if missing.
    overwrite: delete what another job left there.
    threads: that parse and encode, or count lines.
    progress: of the number of rows, None while they are counted, makes what is
      called with rows newly done.
    score: another way to write the files than by this process.
    count: another way to count lines.

  Raises:
    InputError: as `plans.find` and `plans.begin`; another job is at work there;
      too many bad lines.
  """
  output = os.fspath(output)

  def counted(found: RawInput, pieces: Sequence[Piece]) -> RawInput:
    return inputs.counted(
      found, pieces, threads=threads, progress=progress(None)
    )

  found = plans.find(task, output)
  with locks.claimed(output, os.path.join(output, locks.FILE)):
    plan = plans.begin(found, overwrite=overwrite, count=count or counted)
    _sweep(plan)
    return _done(plan, threads=threads, progress=progress, score=score)


def write(plan: Plan, number: int, parts: Iterable[Scored]) -> int:
  """Writes the files of a piece, and its bad lines; returns its rows."""
  bad = []
  with contextlib.ExitStack() as stack:
    files = [
      stack.enter_context(predictions.writing(path))
      for path in plan.paths(number)
    ]
    for part in parts:
      bad += part.bad
      for file, batch in zip(files, part.batches, strict=True):
        file.add(batch)
    if bad:
      # Of one file all; rows that other workers gave may come in any order.
      bad.sort(key=lambda line: line.line)
      quarantine.write(jobs.bad_lines(plan.output, number), bad)
  return files[0].rows


def _done(
  plan: Plan,
  *,
  threads: int,
  progress: Callable[[int | None], Callable[[int], None]],
  score: Score | None,
) -> Done:
  """Writes the files that are missing."""
  missing = plan.missing()
  numbers = {piece.number for piece in missing}
  there = [p for p in plan.source.pieces if p.number not in numbers]
  before, _ = _sums(plan, there)
  moved = progress(plan.source.rows)
  moved(sum(piece.lines for piece in there))
  if missing and score:
    score(plan, missing, before)
  elif missing:
    _score(plan, missing, before, threads=threads, progress=moved)
  bad, rows = _sums(plan, plan.source.pieces)
  # What workers found apart is judged here.
  fraction = plan.task.max_bad_fraction
  Quarantine(plan.source.rows, fraction, None).note(bad, [])
  return Done(plan.runs, rows, bad, len(plan.source.pieces), len(there))


def _sweep(plan: Plan) -> None:
  """Deletes what a job that was killed left aside."""
  if places.is_remote(plan.output):
    return
  own = os.path.dirname(jobs.bad_lines(plan.output, 0))
  for folder in {plan.output, own, *plan.runs.values()}:
    stamped.sweep(folder)


def _score(
  plan: Plan,
  pieces: Sequence[Piece],
  before: int,
  *,
  threads: int,
  progress: Callable[[int], None],
) -> None:
  """Writes the files of some pieces, one after the other."""
  bad = Bad(plan.source.rows, plan.task.max_bad_fraction, before=before)
  parts = predict.scored(
    plan.task.predictors(), plan.source, pieces, bad=bad, threads=threads
  )
  for number, of_piece in predict.by_piece(parts):
    write(plan, number, _counted(of_piece, progress))


def _counted(
  parts: Iterable[Scored], progress: Callable[[int], None]
) -> Iterable[Scored]:
  for part in parts:
    yield part
    progress(len(part.batches[0]) + len(part.bad))


def _sums(plan: Plan, pieces: Sequence[Piece]) -> tuple[int, int]:
  """Returns the bad lines and the rows of pieces whose files are there."""
  rows = sum(predictions.count(plan.paths(p.number)[0]) for p in pieces)
  return sum(piece.lines for piece in pieces) - rows, rows
