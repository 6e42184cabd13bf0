"""Says how far the predictions of independent trainings differ.

Two trainings of one model on the same data predict other probabilities for the
same examples. This reads what two or more runs predicted (`pipelines.predict`
writes such files), and leaves `churn.json` and a page to open, `report.html`.

  python -m pipelines.churn --runs=a.parquet,b.parquet --output=/tmp/churn
"""

from absl import flags

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.churn import report as churn_report
from pipelines import command
from pipelines.bars import Bars

_RUNS = flags.DEFINE_list(
  "runs",
  None,
  "files of predictions for the same examples, one a run, at least two, with"
  " commas between; the runs should be independent trainings",
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory for churn.json and report.html; made if missing"
)
_THRESHOLDS = flags.DEFINE_list(
  "thresholds",
  ["0.1", "0.5"],
  "probabilities at which decisions are compared, with commas between",
)


def main() -> int:
  """Compares the runs, writes both files, prints the headline numbers."""
  command.reach(*_RUNS.value)
  rows = predictions.count(_RUNS.value[0])
  with Bars() as bars:
    found = comparison.compare(
      _RUNS.value,
      thresholds=[_number(text) for text in _THRESHOLDS.value],
      progress=bars("compare", rows),
    )
  path = churn_report.write(found, _OUTPUT.value)
  print(churn_report.text(found))
  print(f"\n{path}")
  return 0


def _number(text: str) -> float:
  try:
    return float(text)
  except ValueError:
    raise InputError(f"--thresholds should be numbers, has {text!r}") from None


command.require("runs", "output")
command.local("output")

if __name__ == "__main__":
  command.run(main)
