"""Says what churn comes from: retrains with one source varied at a time.

Each repeat trains a model and trains it again with ONE change: nothing (which
must give exactly 0), threads, oneDNN, workers, initial weights, order of rows,
a share of rows more, and all of these; and a codistilled pair with teachers of
another age, and with everything. All trainings repeat to the bit, so the churn
between the two is what the change adds. What is finished is not trained again.

  python -m pipelines.churn_sources --data=runs/quickstart/data \\
    --output=runs/sources

writes sources.html, sources.json and sources.csv. For your own model take its
flags, as for pipelines.launch (--model.hidden=..., --preset=NAME); groups,
workers, threads, seeds of weights and delay are varied here: leave them out.
For a quick look: --repeats=2 --training.epochs=1. docs/churn_sources.md has
what each source holds fixed, and how to read the shares.
"""

import pathlib
import sys

from absl import flags

from ctr_codistill.errors import InputError
from pipelines import cache
from pipelines import command
from pipelines import config_flags
from pipelines.comparison import sources
from pipelines.comparison import sourcing

_DATA = flags.DEFINE_string(
  "data", None, "directory that prepare wrote, here or s3://"
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "directory for runs/, predictions/, sources.html, .json, .csv",
)
_REPEATS = flags.DEFINE_integer(
  "repeats",
  4,
  "of each source, each with seeds of its own: what intervals count",
  lower_bound=2,
)
_REFRESH = flags.DEFINE_float(
  "refresh",
  1 / 6,
  "share of the training rows, the last, that a data refresh adds; in (0, 1)",
)
_SOURCES = flags.DEFINE_list(
  "sources",
  [],
  "what to vary, by commas; none: everything, which is "
  + ", ".join(source.label for source in sources.SOURCES),
)
_PROCESSES = flags.DEFINE_integer(
  "processes", 0, "worker processes at once; 0: as many as cores", lower_bound=0
)
config_flags.define()
config_flags.begin_with("small")
for _name in sources.VARIED:
  flags.FLAGS[_name].help = ""  # not shown: this script sets it itself
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(cache)
command.require("data", "output")
command.local("output")


def main() -> int:
  """Runs the study and prints its table; 1 if a training failed."""
  _check_flags()
  study = sourcing.Study(
    config_flags.experiment(),
    repeats=_REPEATS.value,
    refresh=_REFRESH.value,
    sources=sources.chosen(_SOURCES.value),
  )
  outcome = sourcing.run(
    study,
    data=cache.data(_DATA.value),
    output=pathlib.Path(_OUTPUT.value),
    limit=_PROCESSES.value,
  )
  print(outcome.text)
  for name, why in outcome.failed.items():
    print(f"error: {name} failed: {why}", file=sys.stderr)
  return 1 if outcome.failed else 0


def _check_flags() -> None:
  """Refuses flags that are varied here, and would be overruled in silence."""
  for name in sources.VARIED:
    if flags.FLAGS[name].present:
      raise InputError(f"--{name} is set by churn_sources itself: leave it out")
  if not 0 < _REFRESH.value < 1:
    raise InputError(f"--refresh should be in (0, 1), is {_REFRESH.value}")


if __name__ == "__main__":
  command.run(main)
