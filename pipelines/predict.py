"""Predicts with a snapshot: raw click lines or prepared shards to parquet.

The file has `example` (int64, the row's number in the input), `probability`
and, where the input has it, `label`, in the order of the input. Raw files may
lack the label column, as those of a scoring job do.

  python -m pipelines.predict --snapshot=RUN/exchange/group-0/460 \\
    --input='day_8.tsv.gz' --output=predictions.parquet
"""

from absl import flags

from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.evaluation import predict
from ctr_codistill.snapshots import Snapshot
from pipelines import cache
from pipelines import command
from pipelines import demanded
from pipelines.bars import Bars

_SNAPSHOT = flags.DEFINE_string(
  "snapshot", None, "directory of a snapshot, such as RUN/exchange/group-0/460"
)
_INPUT = flags.DEFINE_string(
  "input",
  None,
  "raw files (a path or pattern, plain, .gz, .zst or parquet, also s3:// or "
  "http://) or a prepared directory of shards, such as DATA/validation",
)
_LAYOUT = flags.DEFINE_string(
  "layout",
  None,
  "columns of raw files, as --layout of pipelines.prepare; Criteo's form with "
  "the model's features if not given",
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "parquet file to write, here or s3://"
)
_MAX_BAD_FRACTION = flags.DEFINE_float(
  "max_bad_fraction",
  0.001,
  "share of raw lines that may be bad; more end the job",
  lower_bound=0,
  upper_bound=1,
)
flags.adopt_module_key_flags(cache)
flags.adopt_module_key_flags(demanded)
command.require("snapshot", "input", "output")
command.local("snapshot")
command.written("output")


def main() -> int:
  """Runs the job and prints what it did."""
  command.reach(_INPUT.value, _OUTPUT.value)
  source = cache.shards(_INPUT.value)
  layout = layout_files.read(_LAYOUT.value) if _LAYOUT.value else None
  predictor = predict.Predictor(Snapshot(_SNAPSHOT.value, demanded.demands()))
  total = predict.count(predictor, source, layout)
  with Bars() as bars:
    done = predict.run(
      predictor,
      source,
      _OUTPUT.value,
      max_bad_fraction=_MAX_BAD_FRACTION.value,
      progress=bars("predict", total),
      layout=layout,
    )
  print(f"{done.rows:,} rows predicted: {_OUTPUT.value}")
  if done.bad:
    kept = f"{_OUTPUT.value}.quarantine.tsv"
    quarantine.write(kept, done.bad)
    print(f"{len(done.bad):,} bad lines left out, kept in {kept}")
  if done.quality:
    for name, value in done.quality.to_dict().items():
      print(f"{name.replace('_', ' '):20} {value:.6g}")
  return 0


if __name__ == "__main__":
  command.run(main)
