"""Trains the arms of a comparison, scores them and reports quality and churn.

Churn is measured between independent repeats of an arm, on the validation rows,
of what is served: the first group's model, or a mean of some. A repeat that was
scored is not trained again, so a comparison that was broken off goes on where
it was. docs/compare.md has the file's grammar and every measure's formula.

  python -m pipelines.compare --arms=pipelines/quickstart.toml \\
    --data=runs/quickstart/data --output=runs/quickstart
"""

import pathlib
import sys

from absl import flags

from pipelines import cache
from pipelines import command
from pipelines.comparison import comparing
from pipelines.comparison import reading

_ARMS = flags.DEFINE_string("arms", None, "TOML file that describes the arms")
_DATA = flags.DEFINE_string(
  "data", None, "directory that prepare wrote, here or s3://"
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory for runs/, predictions/, report.html, .json, .csv"
)
_PROCESSES = flags.DEFINE_integer(
  "processes", 0, "worker processes at once; 0: as many as cores", lower_bound=0
)
_TRUTH = flags.DEFINE_string(
  "truth",
  None,
  "what synthesize --truth wrote: tells the best possible log loss",
)
flags.adopt_module_key_flags(cache)
command.require("arms", "data", "output")
command.local("output")


def main() -> int:
  """Runs the comparison and prints its table; 1 if a training failed."""
  outcome = comparing.run(
    reading.read(pathlib.Path(_ARMS.value)),
    data=cache.data(_DATA.value),
    output=pathlib.Path(_OUTPUT.value),
    limit=_PROCESSES.value,
    truth=_TRUTH.value,
  )
  print(outcome.text)
  for name, why in outcome.failed.items():
    print(f"error: {name} failed: {why}", file=sys.stderr)
  return 1 if outcome.failed else 0


if __name__ == "__main__":
  command.run(main)
