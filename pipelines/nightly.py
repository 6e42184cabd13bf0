"""A night of a served model: score, compare with yesterday's, gate, promote.

A day of labelled clicks is scored by tonight's candidate and by the version
that is served, in one pass; if the limits of --gate hold, the candidate becomes
the next version of --serving. What each step leaves, and how limits are
written: docs/batch.md.

  python -m pipelines.nightly --candidate=RUN/exchange/group-0/460 \\
    --serving=clicks --input='/logs/day_8/*' --gate=limits.toml \\
    --output=nights/8

The status is 0 if it was promoted, 2 if it was refused, and 1 if that could not
be told. A night that was killed goes on when it is started again; one that came
to its end says how it ended.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from absl import flags

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
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.quality import report as quality_report
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import versions
from ctr_codistill.exporting.exports import About
from ctr_codistill.exporting.judging import Judgement
from pipelines import command
from pipelines import provenance
from pipelines import scoring_flags
from pipelines.bars import Bars

REFUSED = 2
"""The exit status where a limit is broken."""
_NOTE = "night.json"

_CANDIDATE = flags.DEFINE_string(
  "candidate", None, "directory of the snapshot that may be served tomorrow"
)
_SERVING = flags.DEFINE_string(
  "serving",
  None,
  "directory of the served model, as --output of pipelines.export; of its "
  "versions the highest is yesterday's; none: the candidate is the first",
)
_GATE = flags.DEFINE_string(
  "gate", None, "TOML file of limits, as --gate of pipelines.churn"
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory of this night's files; each night has its own"
)
_KEEP = flags.DEFINE_integer(
  "keep", 3, "versions that a promotion leaves in --serving", lower_bound=1
)
flags.adopt_module_key_flags(scoring_flags)


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
  """

  task: Task
  limits: gate.Limits
  serving: str
  output: pathlib.Path
  keep: int = 3
  slices: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    # Before a day is scored that could not be judged.
    there = limitable.expected(has_slices=bool(self.slices))
    gate.check(self.limits, there)


def main() -> int:
  """Runs the night and prints how it ended."""
  limits = gate.read(_GATE.value)
  output = pathlib.Path(_OUTPUT.value)
  snapshots = begun(output, _SERVING.value, _CANDIDATE.value)
  night = Night(
    scoring_flags.task(snapshots),
    limits,
    _SERVING.value,
    output,
    _KEEP.value,
    scoring_flags.slices(),
  )
  with Bars() as bars:
    ended = run(
      night,
      threads=scoring_flags.threads(),
      progress=lambda rows: bars("predict", rows),
    )
  print("\n".join(ended["verdicts"] or ["nothing was served before"]))
  print(f"promoted: {ended['promoted'] or 'no'}; {output / _NOTE}")
  return 0 if ended["promoted"] else REFUSED


def begun(
  output: pathlib.Path, serving: str, candidate: str
) -> tuple[str, ...]:
  """Returns the snapshots of a night: what was served when it began, if any.

  Noted when the scoring begins: a night that goes on after its promotion must
  not take its own candidate for yesterday's model.

  Raises:
    InputError: the output is another night's, or serving is no directory of
      versions.
  """
  exports.check(serving)
  if not (output / _NOTE).exists():
    served = versions.in_place(serving)
    return (str(served), candidate) if served else (candidate,)
  note = _read(output / _NOTE)
  _check(output, note, "candidate", candidate)
  return tuple(filter(None, (note["served"], candidate)))


def run(
  night: Night,
  *,
  threads: int = 2,
  progress: Callable[[int | None], Callable[[int], None]] = lambda rows: (
    lambda rows: None
  ),
) -> Mapping[str, Any]:
  """Scores, compares, judges and promotes; returns what `night.json` says.

  Raises:
    InputError: as `parts.run`; the day has no labels; a limit on what the
      comparison does not have.
  """
  task = dataclasses.replace(night.task, labelled=True)
  predictions = night.output / "predictions"
  if not (night.output / _NOTE).exists():
    # What is wrong is said here, before a note binds the next try.
    plans.make(task, str(predictions), overwrite=False)
    stamped.write_json(night.output / _NOTE, _begin(task))
  note = _read(night.output / _NOTE)
  _check(night.output, note, "input", task.source)
  if "promoted" in note:
    return note
  done = parts.run(task, predictions, threads=threads, progress=progress)
  figures = quality_report.of(done.runs, night.slices, threads=threads)
  quality_report.write(figures, night.output / "quality")
  judged = _judged(night, list(done.runs.values()))
  promoted = None
  if judged is None or judged.holds:
    measured = list(figures.values())[-1].quality.to_dict()
    promoted = _promote(night, {"of": night.task.source, **measured}, judged)
  lines = [verdict.line for verdict in judged.verdicts] if judged else []
  note |= {"verdicts": lines, "promoted": promoted}
  stamped.write_json(night.output / _NOTE, note)
  return note


def _begin(task: Task) -> dict[str, Any]:
  *served, candidate = task.snapshots
  before = served[0] if served else None
  return {"candidate": candidate, "served": before, "input": task.source}


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
  """Makes the candidate the next version; returns its directory."""
  *served, candidate = night.task.snapshots
  about = About(
    source=candidate,
    quality=quality,
    judged=provenance.judged(
      judged,
      night.task.source,
      served[0] if served else None,
      str(night.output / "churn" / "churn.json"),
    ),
    experiment=provenance.experiment(candidate),
  )
  version = exports.export(
    candidate, night.serving, about=about, demands=night.task.demands()
  )
  versions.keep(night.serving, night.keep)
  return str(version)


if __name__ == "__main__":
  command.require("candidate", "serving", "input", "gate", "output")
  command.local("candidate", "serving", "output")
  command.run(main)
