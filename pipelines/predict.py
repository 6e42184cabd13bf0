"""Predicts with snapshots: raw click lines or prepared shards to parquet.

The files have `example` (int64, the row's number in the input), `probability`,
where the input has it `label`, and the columns of --columns, in the order of
the input. Raw files may lack the label column, as those of a scoring job do.

  python -m pipelines.predict --snapshot=RUN/exchange/group-0/STEP \\
    --input='day_8.tsv.gz' --output=predictions.parquet

A large job writes a directory, and goes on where it was if it is started again;
of several snapshots each has its own there: docs/batch.md.

  python -m pipelines.predict --snapshot=OLD,NEW --input='/logs/day_8/*' \\
    --columns=site,hour --report=report --output=predictions
"""

import os

from absl import flags

from ctr_codistill import globs
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.raw import lines
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.inputs import RawInput
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.quality import report
from ctr_codistill.snapshots import Snapshot
from pipelines import command
from pipelines import scoring_flags
from pipelines.bars import Bars

_SNAPSHOT = flags.DEFINE_list(
  "snapshot",
  None,
  "directory of a snapshot, such as RUN/exchange/group-0/STEP; or several with "
  "commas between, for one pass over the input",
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "here or s3://: a file to write if it ends in .parquet, else a directory of "
  "such files, one a piece of the input, in which the job goes on",
)
_REPORT = flags.DEFINE_string(
  "report",
  None,
  "directory for quality.json and report.html: log loss, AUC, calibration by "
  "decile and slice, with intervals; the input must have labels",
)
_OVERWRITE = flags.DEFINE_boolean(
  "overwrite", False, "delete the files of another job in the directory first"
)
flags.adopt_module_key_flags(scoring_flags)
command.require("snapshot", "input", "output")
command.written("output")
command.local("report")


def main() -> int:
  """Runs the job and prints what it did."""
  command.reach(_OUTPUT.value)
  if os.path.isfile(_REPORT.value or ""):
    raise InputError(
      f"--report should be a directory, {_REPORT.value} is a file"
    )
  task = scoring_flags.task(_SNAPSHOT.value, labelled=bool(_REPORT.value))
  if _REPORT.value:
    names = ("quality.json", "report.html")
    files = [os.path.join(_REPORT.value, name) for name in names]
    apart.check(inputs.patterns(task.source), files)
  is_file = _OUTPUT.value.endswith(".parquet")
  runs = _one_file(task) if is_file else _directory(task)
  if _REPORT.value:
    found = report.of(
      runs, scoring_flags.slices(), threads=scoring_flags.threads()
    )
    path = report.write(found, _REPORT.value)
    print(f"\n{report.text(found)}\n\n{path}")
  return 0


def _one_file(task: Task) -> dict[str, str]:
  """Predicts into one file; returns it by the snapshot's name."""
  if len(task.snapshots) > 1:
    raise InputError(
      f"--output should be a directory for {len(task.snapshots)} snapshots, is "
      f"{_OUTPUT.value}"
    )
  if scoring_flags.is_elsewhere():
    raise InputError(
      f"--output should be a directory with --runner, is {_OUTPUT.value}"
    )
  apart.check(inputs.patterns(task.source), [_OUTPUT.value])
  predictor = predict.Predictor(Snapshot(task.snapshots[0], task.demands()))
  source = task.look()
  with Bars() as bars:
    if isinstance(source, RawInput):
      source = inputs.counted(
        source,
        inputs.cut(source, task.piece_bytes),
        threads=scoring_flags.threads(),
        progress=bars("count lines", None),
      )
    done = predict.run(
      predictor,
      source,
      _OUTPUT.value,
      max_bad_fraction=task.max_bad_fraction,
      progress=bars("predict", source.rows),
      threads=scoring_flags.threads(),
    )
  print(f"{done.rows:,} rows predicted: {_OUTPUT.value}")
  if done.bad:
    kept = _OUTPUT.value + lines.BAD_LINES
    quarantine.write(kept, done.bad)
    print(f"{len(done.bad):,} bad lines left out, kept in {kept}")
  if done.quality and not _REPORT.value:
    for name, value in done.quality.to_dict().items():
      print(f"{name.replace('_', ' '):20} {value:.6g}")
  return {comparison.names(task.snapshots)[0]: _OUTPUT.value}


def _directory(task: Task) -> dict[str, str]:
  """Predicts into a directory; returns each snapshot's by its name."""
  done = scoring_flags.scored(task, _OUTPUT.value, overwrite=_OVERWRITE.value)
  for folder in done.runs.values():
    print(f"{done.rows:,} rows predicted: {folder}, {done.parts} files")
  if done.found:
    print(f"{done.found} of them were there already")
  if done.bad:
    kept = os.path.join(_OUTPUT.value, quarantine.FOLDER)
    print(f"{done.bad:,} bad lines left out, kept in {kept}")
  return {
    name: os.path.join(globs.escaped(folder), "*.parquet")
    for name, folder in done.runs.items()
  }


if __name__ == "__main__":
  command.run(main)
