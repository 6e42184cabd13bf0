"""Makes clicks in Criteo's raw format, drawn from a model that is known.

No data set is needed to try the project, and the best log loss that any model
can reach is printed. The same flags give the same rows on every machine.

  python -m pipelines.synthesize --rows=140000 --output=clicks.tsv.gz --seed=0
"""

import os

from absl import flags

from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.synthetic import Spec
from pipelines import command
from pipelines.bars import Bars

_ROWS = flags.DEFINE_integer(
  "rows", None, "rows to make, about 243 bytes each", lower_bound=1
)
_OUTPUT = flags.DEFINE_string(
  "output",
  None,
  "file to write or replace, here or s3://; gzip where it ends in .gz",
)
_TRUTH = flags.DEFINE_string(
  "truth",
  None,
  "parquet file for the true probabilities: example, probability, label",
)
_SEED = flags.DEFINE_integer(
  "seed", Spec.seed, "decides the rows and the model", lower_bound=0
)
_START = flags.DEFINE_integer(
  "start",
  0,
  "number of the first row: other ranges are other rows of the same model",
  lower_bound=0,
)
_CLICK_RATE = flags.DEFINE_float(
  "click_rate", Spec.click_rate, "about the share of clicks, 0.01 to 0.99"
)
_SIGNAL = flags.DEFINE_float(
  "signal",
  Spec.signal,
  "spread of the true logits, 0 to 4: more makes clicks easier to predict",
)
_DAYS = flags.DEFINE_integer(
  "days", 1, "days that --rows fill, the unit of drift and fresh", lower_bound=1
)
_DRIFT = flags.DEFINE_float(
  "drift", Spec.drift, "share of values whose effect changes each day, 0 to 1"
)
_FRESH = flags.DEFINE_float(
  "fresh", Spec.fresh, "share of ads that new ones replace each day, 0 to 1"
)
_THREADS = flags.DEFINE_integer(
  "threads", os.cpu_count(), "threads that make rows; they change no byte"
)


def main() -> int:
  """Writes the file and prints what a perfect model reaches on it."""
  command.reach(_OUTPUT.value, _TRUTH.value or "")
  spec = Spec(
    seed=_SEED.value,
    click_rate=_CLICK_RATE.value,
    signal=_SIGNAL.value,
    rows_per_day=-(-_ROWS.value // _DAYS.value),
    drift=_DRIFT.value,
    fresh=_FRESH.value,
  )
  with Bars() as bars:
    truth = click_file.write(
      spec,
      _OUTPUT.value,
      start=_START.value,
      stop=_START.value + _ROWS.value,
      truth=_TRUTH.value,
      threads=_THREADS.value,
      progress=bars("make clicks", _ROWS.value),
    )
  print(f"{_OUTPUT.value}: {truth}")
  return 0


if __name__ == "__main__":
  command.require("rows", "output")
  command.written("output", "truth")
  command.run(main)
