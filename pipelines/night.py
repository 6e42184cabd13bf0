"""A night of a served model: its steps, which can be taken once only.

What each step leaves is whole or absent, and `night.json` binds the directory
to one candidate and one day, so that a night that was killed goes on.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import plans
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import limitable
from ctr_codistill.evaluation.churn import report as churn_report
from ctr_codistill.evaluation.parts import Done
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.quality import report as quality_report
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import narrow
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import versions
from ctr_codistill.exporting import warmup
from ctr_codistill.exporting.exports import About
from ctr_codistill.exporting.judging import Judgement
from ctr_codistill.keys import Key
from pipelines import provenance

NOTE = "night.json"
"""What a night's directory says of it, and how it ended."""
_NARROW = "candidate-bfloat16"  # in the night's directory


@dataclasses.dataclass(frozen=True)
class Night:
  """What a night works on.

  Attributes:
    task: how the day is scored; its last snapshot is the candidate, the one
      before it the served version, if there is one.
    limits: that must hold.
    serving: directory of the served model.
    output: directory of the night's files.
    keep: versions that a promotion leaves there, 1 or more.
    slices: of the task's columns, those by which reports cut the examples.
    candidate: as its user named it; "" if that is what the task has.
  """

  task: Task
  limits: gate.Limits
  serving: str
  output: pathlib.Path
  keep: int = 3
  slices: tuple[str, ...] = ()
  candidate: str = ""

  @property
  def named(self) -> str:
    """The candidate as its user named it."""
    return self.candidate or self.task.snapshots[-1]

  @property
  def before(self) -> int:
    """The number of the version that was served when it began; 0 for none."""
    *served, _ = self.task.snapshots
    return int(pathlib.Path(served[0]).name) if served else 0

  def __post_init__(self) -> None:
    # Before a day is scored that could not be judged.
    there = limitable.expected(has_slices=bool(self.slices))
    gate.check(self.limits, there)


def begun(
  output: pathlib.Path,
  serving: str,
  candidate: str,
  *,
  weights: str | None = None,
  key: Key | None = None,
) -> tuple[str, ...]:
  """Returns the snapshots of a night: what was served when it began, if any.

  Noted when the scoring begins: a night that goes on after its promotion must
  not take its own candidate for yesterday's model. What is scored is what would
  be served, so with narrow weights that is a narrow copy of the candidate.

  Args:
    output: directory of the night.
    serving: of the served model.
    candidate: directory of a snapshot.
    weights: how its weights are kept; None: as those that are served.
    key: what must have signed it; signs a copy.

  Raises:
    InputError: the output is another night's, or serving is no directory of
      versions.
  """
  exports.check(serving)
  if (output / NOTE).exists():
    note = _read(output / NOTE)
    _check(output, note, "candidate", candidate)
    if weights is not None:
      _check(output, note, "weights", weights)
    scored = note.get("scored", candidate)  # older nights do not say it
    return tuple(filter(None, (note["served"], scored)))
  served = versions.in_place(serving)
  before = (str(served),) if served else ()
  narrow_ = bool(served) and narrow.is_narrow(served)
  narrow_ = narrow_ if weights is None else weights == "bfloat16"
  # What is no snapshot is refused, by its name, where the night is planned.
  if not narrow_ or not stamped.is_stamped(candidate):
    return (*before, candidate)
  if narrow.is_narrow(candidate):
    return (*before, candidate)
  copy = output / _NARROW
  if copy.resolve() == pathlib.Path(candidate).resolve():
    raise InputError(f"{candidate} should lie elsewhere, is made by each night")
  shutil.rmtree(copy, ignore_errors=True)  # of a try that never began
  return (*before, str(narrow.write(candidate, copy, key=key)))


def ended(
  output: pathlib.Path, candidate: str, source: str
) -> Mapping[str, Any] | None:
  """Returns what `night.json` says of a night that came to its end, or None.

  Whatever became of its models since: they are not looked at.

  Args:
    output: directory of the night.
    candidate: as its user names it.
    source: the day.

  Raises:
    InputError: the output is the night of something else.
  """
  if not (output / NOTE).exists():
    return None
  note = _read(output / NOTE)
  _check(output, note, "candidate", candidate)
  _check(output, note, "input", source)
  return note if "promoted" in note else None


def run(
  night: Night,
  *,
  threads: int = 2,
  score: Callable[[Task, str], Done] = parts.run,
) -> Mapping[str, Any]:
  """Scores, compares, judges and promotes; returns what `night.json` says.

  Args:
    night: what it works on.
    threads: that sum what was predicted.
    score: predicts a task into a directory.

  Raises:
    InputError: as `parts.run`; the day has no labels; a limit on what the
      comparison does not have.
  """
  task = dataclasses.replace(night.task, labelled=True)
  predictions = night.output / "predictions"
  if not (night.output / NOTE).exists():
    # What is wrong is said here, before a note binds the next try.
    plans.find(task, str(predictions))
    stamped.write_json(night.output / NOTE, _begin(night))
  note = _read(night.output / NOTE)
  _check(night.output, note, "input", task.source)
  if "promoted" in note:
    return note
  _check_place(night)
  done = score(task, str(predictions))
  figures = quality_report.of(done.runs, night.slices, threads=threads)
  quality_report.write(figures, night.output / "quality")
  judged = _judged(night, list(done.runs.values()))
  promoted = None
  if judged is None or judged.holds:
    measured = list(figures.values())[-1].quality.to_dict()
    promoted = _promote(night, {"of": night.task.source, **measured}, judged)
  lines = [verdict.line for verdict in judged.verdicts] if judged else []
  note |= {"verdicts": lines, "promoted": promoted}
  stamped.write_json(night.output / NOTE, note)
  if promoted:  # only now: what was served is asked for until the end is noted
    versions.keep(night.serving, night.keep)
  return note


def _check_place(night: Night) -> None:
  """Refuses to go on where another model came into place meanwhile."""
  *served, candidate = night.task.snapshots
  place = versions.in_place(night.serving)
  now = int(place.name) if place else 0
  if now != night.before and not (place and exports.is_same(place, candidate)):
    raise InputError(
      f"{night.serving} has {place or 'no version'} in place by now, this "
      f"night compares with {served[0] if served else 'none'}: compare anew, "
      "with another --output"
    )


def _begin(night: Night) -> dict[str, Any]:
  *served, scored = night.task.snapshots
  return {
    "candidate": night.named,
    "scored": scored,
    "weights": "bfloat16" if narrow.is_narrow(scored) else "float32",
    "served": served[0] if served else None,
    "input": night.task.source,
  }


def _check(
  output: pathlib.Path, note: Mapping[str, Any], name: str, value: str
) -> None:
  """Refuses to go on with the night of something else."""
  if note.get(name, value) != value:
    raise InputError(
      f"{output} is the night of the {name} {note[name]}, not of {value}; each "
      "night should have an --output of its own"
    )


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text(encoding="utf-8"))


def _judged(night: Night, runs: list[str]) -> Judgement | None:
  """Returns how both models differ, with the verdict on each limit.

  None where nothing was served.
  """
  if len(runs) < 2:
    return None
  cuts = aligning.slicings(runs[0], night.slices)
  found = facts.find(comparison.compare(runs, slicings=cuts))
  judged = gate.judge(found, night.limits)
  churn_report.write_found(found, night.output / "churn", gate=judged)
  return Judgement(found, judged.verdicts)


def _promote(
  night: Night, quality: Mapping[str, Any], judged: Judgement | None
) -> str:
  """Makes the candidate the next version; returns its directory.

  Where it is in place already, of a night that was killed after its promotion
  or of the one before, that is it: to go back would else lead to itself.
  """
  _check_place(night)
  *served, candidate = night.task.snapshots
  place = versions.in_place(night.serving)
  if place and exports.is_same(place, candidate):
    return str(place)
  task = night.task
  rows = raw_rows.read(task.source, candidate, warmup.ROWS, task.layout)
  about = About(
    source=night.named,
    quality=quality,
    judged=provenance.judged(
      judged,
      task.source,
      served[0] if served else None,
      str(night.output / "churn" / "churn.json"),
    ),
    experiment=provenance.experiment(night.named),
    rows=rows,
    rows_of=f"of {task.source}",
  )
  version = exports.export(
    candidate,
    night.serving,
    above=night.before,
    about=about,
    demands=task.demands(),
  )
  return str(version)
