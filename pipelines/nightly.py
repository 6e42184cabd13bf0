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
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from absl import flags

from ctr_codistill import stamped
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import report as churn_report
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.quality import report as quality_report
from pipelines import command
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
_INPUT = flags.DEFINE_string(
  "input", None, "raw files with labels, as --input of pipelines.predict"
)
_LAYOUT = flags.DEFINE_string(
  "layout", None, "columns of raw files, as --layout of pipelines.prepare"
)
_GATE = flags.DEFINE_string(
  "gate", None, "TOML file of limits, as --gate of pipelines.churn"
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory of this night's files; each night has its own"
)


@dataclasses.dataclass(frozen=True)
class Night:
  """What a night works on.

  Attributes:
    task: how the day is scored; its last snapshot is the candidate, the one
      before it the served version, if there is one.
    limits: that must hold.
    serving: directory of the served model.
    output: directory of the night's files.
  """

  task: Task
  limits: gate.Limits
  serving: str
  output: pathlib.Path


def main() -> int:
  """Runs the night and prints how it ended."""
  limits = gate.read(_GATE.value)
  command.reach(_INPUT.value)
  output = pathlib.Path(_OUTPUT.value)
  layout = layout_files.read(_LAYOUT.value) if _LAYOUT.value else None
  snapshots = begun(output, _SERVING.value, _CANDIDATE.value)
  task = Task(snapshots, _INPUT.value, layout)
  with Bars() as bars:
    ended = run(
      Night(task, limits, _SERVING.value, output),
      progress=lambda rows: bars("predict", rows),
    )
  print("\n".join(ended["verdicts"] or ["nothing was served before"]))
  print(f"promoted: {ended['promoted'] or 'no'}; {output / _NOTE}")
  return 0 if ended["promoted"] else REFUSED


def begun(
  output: pathlib.Path, serving: str, candidate: str
) -> tuple[str, ...]:
  """Returns the snapshots of a night: what was served when it began, if any.

  Noted at the start: a night that goes on after its promotion must not take
  its own candidate for yesterday's model.
  """
  note = output / _NOTE
  if not note.exists():
    versions = stamped.numbers(serving)
    served = os.path.join(serving, str(versions[-1])) if versions else None
    stamped.write_json(note, {"candidate": candidate, "served": served})
  found = _read(note)
  return tuple(filter(None, (found["served"], candidate)))


def run(
  night: Night,
  *,
  progress: Callable[[int | None], Callable[[int], None]] = lambda rows: (
    lambda rows: None
  ),
) -> Mapping[str, Any]:
  """Scores, compares, judges and promotes; returns what `night.json` says.

  Raises:
    InputError: as `parts.run`; the day has no labels; a limit on what the
      comparison does not have.
  """
  note = _read(night.output / _NOTE)
  if "promoted" in note:
    return note
  done = parts.run(night.task, night.output / "predictions", progress=progress)
  quality_report.write(quality_report.of(done.runs), night.output / "quality")
  verdicts = _judged(night, list(done.runs.values()))
  promoted = None
  if all(verdict.holds for verdict in verdicts):
    promoted = _promote(night.task.snapshots[-1], night.serving)
  lines = [verdict.line for verdict in verdicts]
  note |= {"verdicts": lines, "promoted": promoted}
  stamped.write_json(night.output / _NOTE, note)
  return note


def _read(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_text(encoding="utf-8"))


def _judged(night: Night, runs: list[str]) -> list[gate.Verdict]:
  """Returns the verdict on each limit; none where nothing was served."""
  if len(runs) < 2:
    return []
  found = facts.find(comparison.compare(runs))
  churn_report.write_found(found, night.output / "churn")
  return gate.judge(found, night.limits)


def _promote(snapshot: str, serving: str) -> str:
  """Makes the snapshot the next version; returns its directory."""
  line = [sys.executable, "-m", "pipelines.export"]
  line += [f"--snapshot={snapshot}", f"--output={serving}"]
  done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
  return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
  command.require("candidate", "serving", "input", "gate", "output")
  command.local("candidate", "serving", "output")
  command.run(main)
