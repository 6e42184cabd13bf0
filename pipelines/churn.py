"""Says how far the predictions of independent trainings differ.

Two trainings of one model on the same data predict other probabilities for the
same examples. This reads what two or more runs predicted (`pipelines.predict`
writes such files; of snapshots it makes them first), and leaves `churn.json`,
`churn.csv` and a page to open, `report.html`. What each figure means, and how
sure it is: docs/churn.md.

  python -m pipelines.churn --runs=a.parquet,b.parquet,c.parquet \\
    --slices=hour,country --gate=limits.toml --output=/tmp/churn

With --gate the status is 0 if all limits hold, 2 if one does not (broken, or
nothing was there to judge), and 1 for an error, such as a limit on a measure
that is not there, which is told before anything is compared.
"""

import dataclasses
import os
import shlex
from collections.abc import Sequence

from absl import flags

from ctr_codistill.criteo.raw import apart
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import grouping
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation import snapshot_runs
from ctr_codistill.evaluation.churn import beam_total
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import limitable
from ctr_codistill.evaluation.churn import report
from ctr_codistill.evaluation.churn.gate import Limits
from ctr_codistill.evaluation.comparison import Comparison
from pipelines import command
from pipelines import demanded
from pipelines.bars import Bars

BROKEN = 2
"""The exit status where a limit does not hold."""

_RUNS = flags.DEFINE_list(
  "runs",
  None,
  "the runs, at least two independent trainings, with commas between: each a"
  " file of predictions, a directory or a pattern of such files, or, with"
  " --examples, a snapshot",
)
_EXAMPLES = flags.DEFINE_string(
  "examples",
  None,
  "what snapshots of --runs predict first: raw files or a prepared directory,"
  " as --input of pipelines.predict; predictions are left in OUTPUT",
)
_LAYOUT = flags.DEFINE_string(
  "layout",
  None,
  "columns of raw files of --examples, as --layout of pipelines.prepare;"
  " Criteo's form with the models' features if not given",
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory for what is written; made if missing"
)
_THRESHOLDS = flags.DEFINE_list(
  "thresholds",
  ["0.1", "0.5"],
  "probabilities at which decisions are compared, with commas between",
)
_SLICES = flags.DEFINE_list(
  "slices",
  [],
  "columns by which examples are cut, with commas between: of --table, or else"
  " of the first run's files; floats by quantiles, others by their top values",
)
_MOST_SLICES = flags.DEFINE_integer(
  "most_slices", 20, "top values, or quantiles, of a column", lower_bound=1
)
_TABLE = flags.DEFINE_string(
  "table",
  None,
  "parquet file with `example`, ascending, and the columns of --slices and"
  " --query",
)
_QUERY = flags.DEFINE_string(
  "query",
  None,
  "column that says which examples are ranked together; adds Kendall's tau-b"
  " and top-k overlap; holds all examples in memory",
)
_TOPS = flags.DEFINE_list("tops", ["1", "5"], "the k of the top-k overlaps")
_GATE = flags.DEFINE_string(
  "gate", None, "TOML file of limits (docs/churn.md); a line a limit"
)
_THREADS = flags.DEFINE_integer(
  "threads", os.cpu_count(), "threads that sum", lower_bound=1
)
_RUNNER = flags.DEFINE_string(
  "runner",
  None,
  "sums under Apache Beam (requirements-beam.txt, docs/beam.md); runs are then"
  " single files that all workers see",
)
_BEAM_OPTIONS = flags.DEFINE_multi_string(
  "beam_options", [], "options for --runner, as Beam writes them"
)


def main() -> int:
  """Compares the runs, judges, writes the report, prints both."""
  command.reach(*_RUNS.value)
  names = ("churn.json", "churn.csv", "report.html")
  files = [os.path.join(_OUTPUT.value, name) for name in names]
  apart.check([_EXAMPLES.value] if _EXAMPLES.value else _RUNS.value, files)
  limits = gate.read(_GATE.value) if _GATE.value else None
  with Bars() as bars:
    found = facts.find(_compared(bars, limits))
  judged = gate.judge(found, limits) if limits else None
  path = report.write_found(found, _OUTPUT.value, gate=judged)
  print(report.text_found(found))
  print(f"\n{path}")
  if not judged:
    return 0
  print(f"\n{judged.word}: {judged.counted}")
  print("\n".join(verdict.line for verdict in judged.verdicts))
  return 0 if judged.holds else BROKEN


def _compared(bars: Bars, limits: Limits | None) -> Comparison:
  thresholds = [_number(text) for text in _THRESHOLDS.value]
  tops = tuple(_top(text) for text in _TOPS.value)
  # What predicts knows no labels yet: taken for granted, then looked at.
  _check(limits, thresholds, tops, is_labelled=True)
  paths = _paths(bars)
  comparison.check(paths, thresholds)
  is_labelled = any(map(shards.has_labels, paths))
  _check(limits, thresholds, tops, is_labelled=is_labelled)
  cuts = aligning.slicings(
    paths[0], _SLICES.value, table=_TABLE.value, slices=_MOST_SLICES.value
  )
  if _RUNNER.value:
    options = [o for text in _BEAM_OPTIONS.value for o in shlex.split(text)]
    found = beam_total.compare(
      paths,
      thresholds=thresholds,
      slicings=cuts,
      table=_TABLE.value,
      flags=[f"--runner={_RUNNER.value}", *options],
      folder=_OUTPUT.value,
    )
  else:
    found = comparison.compare(
      paths,
      thresholds=thresholds,
      progress=bars("compare", shards.count(paths[0])),
      slicings=cuts,
      table=_TABLE.value,
      threads=_THREADS.value,
    )
  if not _QUERY.value:
    return found
  ranks = grouping.ranks(paths, _QUERY.value, table=_TABLE.value, tops=tops)
  return dataclasses.replace(found, ranks=ranks)


def _check(
  limits: Limits | None,
  thresholds: Sequence[float],
  tops: Sequence[int],
  *,
  is_labelled: bool,
) -> None:
  """Raises InputError for a limit on what will not be there."""
  if not limits:
    return
  there = limitable.expected(
    thresholds=thresholds,
    is_labelled=is_labelled,
    has_slices=bool(_SLICES.value),
    tops=tops if _QUERY.value else None,
  )
  gate.check(limits, there)


def _paths(bars: Bars) -> list[str]:
  if not _EXAMPLES.value:
    if _LAYOUT.value:
      raise InputError("--layout is of --examples, which should be given")
    return _RUNS.value
  return snapshot_runs.predicted(
    _RUNS.value,
    _EXAMPLES.value,
    os.path.join(_OUTPUT.value, "predictions"),
    layout=layout_files.read(_LAYOUT.value) if _LAYOUT.value else None,
    demands=demanded.demands(),
    progress=lambda name: bars(f"predict {name}", None),
  )


def _number(text: str) -> float:
  try:
    return float(text)
  except ValueError:
    raise InputError(f"--thresholds should be numbers, has {text!r}") from None


def _top(text: str) -> int:
  if not (text.isascii() and text.isdecimal() and int(text)):
    raise InputError(f"--tops should be whole numbers above 0, has {text!r}")
  return int(text)


flags.adopt_module_key_flags(demanded)
command.require("runs", "output")
command.local("output", "table")

if __name__ == "__main__":
  command.run(main)
