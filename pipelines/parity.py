"""Whether a model answers the same in every way that it is asked.

The same raw rows go through the records that training reads and the model in
this process, through the signatures `predict` and `serving_default`, through
the C++ loader, which has no Python, and through the batch job. All in batches
of the batch job's size, so the largest difference of two probabilities should
be 0. Then the same in batches of 1, 32 and 1,024 rows: another size is another
order of sums, and another kernel, so there a bound stands instead:
docs/serving.md.

  python -m pipelines.parity --snapshot=RUN/exchange/group-0/STEP \\
    --input='day_8.tsv.gz' --output=parity.json

The status is 0 where no two ways differ by more than 1e-6, 2 where some do.
"""

import os
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from ctr_codistill import stamped
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.report import plain
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import warmup
from ctr_codistill.exporting.raw_rows import RawRows
from ctr_codistill.snapshots import Snapshot
from pipelines import cache
from pipelines import command
from pipelines import cpp_loader
from pipelines import demanded

BOUND = 1e-6
"""Of what the batch size may change in a probability, at float32."""
DIFFERENT = 2
"""The exit status where two ways differ by more than that."""
_BATCHES = (1, 32, 1024)
_BATCHES_EACH = 1024  # at most
_SIGNATURES = {
  "records": "predict_ids",
  "predict": "predict",
  "example": "serving_default",
}

_SNAPSHOT = flags.DEFINE_string(
  "snapshot", None, "directory of a snapshot, or of an exported version"
)
_INPUT = flags.DEFINE_string(
  "input", None, "raw files, or a prepared directory such as DATA/validation"
)
_LAYOUT = flags.DEFINE_string(
  "layout", None, "columns of raw files, as --layout of pipelines.prepare"
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write")
_ROWS = flags.DEFINE_integer(
  "rows", 10_000, "rows of --input at most", lower_bound=1
)
_LOADER = flags.DEFINE_string(
  "loader", None, "the C++ loader; built by g++ if not given, and kept"
)
flags.adopt_module_key_flags(cache)
flags.adopt_module_key_flags(demanded)
command.require("snapshot", "input", "output")
command.local("snapshot", "output")


def main() -> int:
  """Asks in every way, writes the report and prints it."""
  command.reach(_INPUT.value)
  source = cache.shards(_INPUT.value)
  layout = layout_files.read(_LAYOUT.value) if _LAYOUT.value else None
  rows = raw_rows.read(source, _SNAPSHOT.value, _ROWS.value, layout)
  snapshot = Snapshot(_SNAPSHOT.value, demanded.demands())
  program = _LOADER.value or (cpp_loader.compiler() and cpp_loader.build())
  with tempfile.TemporaryDirectory() as folder:
    found = _ways(snapshot, rows, folder, program)
  report = {
    "rows": len(rows),
    **compared(found),
    "batch_sizes": _of_batches(snapshot, rows),
    "bound": BOUND,
    "left_out": {} if program else {"cpp": "there is no compiler, no --loader"},
  }
  stamped.write_json(_OUTPUT.value, plain(report))
  for way, largest in report["differences"].items():
    print(f"{way:12} {largest:.3g}")
  for batch, largest in report["batch_sizes"].items():
    print(f"batches of {batch:>4}, against all at once: {largest:.3g}")
  # What is no number is no agreement either.
  return 0 if report["max_difference"] <= BOUND else DIFFERENT


def compared(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Returns the names of ways, and how far each is from any other at most.

  Args:
    found: by way float32 `[rows]` probabilities of the same rows.

  Raises:
    InputError: a way has another number of rows.
  """
  first = next(iter(found.values()))
  for way, values in found.items():
    if values.shape != first.shape:
      raise InputError(
        f"{way} should have answered {first.shape}, has {values.shape}"
      )
  every = np.stack(list(found.values())).astype(np.float64)
  low, high = every.min(0), every.max(0)
  each = {
    way: float(np.maximum(values - low, high - values).max())
    for way, values in zip(found, every)
  }
  return {
    "ways": list(found),
    "max_difference": max(each.values()),
    "differences": each,
  }


def _ways(
  snapshot: Snapshot, rows: RawRows, folder: str, program: str | None
) -> dict[str, np.ndarray]:
  chunks = _chunks(rows)
  found = {
    way: _joined(map(_signature(snapshot, name), chunks), rows)
    for way, name in _SIGNATURES.items()
  }
  for way, name in _SIGNATURES.items() if program else ():
    requests = [
      warmup.request("model", name, chunk.inputs(name)) for chunk in chunks
    ]
    answers = cpp_loader.answers(program, snapshot.path, requests, folder)
    for answer in answers:
      if isinstance(answer, str):
        raise InputError(f"the C++ loader was refused {way}: {answer}")
    parts = (answer["probability"] for answer in answers)
    found[f"cpp {way}"] = _joined(parts, rows)
  return found | {"batch": _batch_job(snapshot, rows, folder)}


def _chunks(rows: RawRows) -> list[RawRows]:
  """Returns rows as the batch job asks: always as many, some once more."""
  size, count = predict.CHUNK_ROWS, len(rows)
  starts = range(0, count, size)
  return [rows[np.arange(at, at + size) % count] for at in starts]


def _joined(parts: Iterable[np.ndarray], rows: RawRows) -> np.ndarray:
  return np.concatenate(list(parts))[: len(rows)]


def _signature(
  snapshot: Snapshot, name: str
) -> Callable[[RawRows], np.ndarray]:
  signature = snapshot.signature(name)

  def ask(rows: RawRows) -> np.ndarray:
    inputs = rows.inputs(name)
    tensors = {k: tf.convert_to_tensor(v) for k, v in inputs.items()}
    return signature(**tensors)["probability"].numpy()

  return ask


def _batch_job(snapshot: Snapshot, rows: RawRows, folder: str) -> np.ndarray:
  """Returns what the batch job says of the rows, written as raw lines."""
  source = os.path.join(folder, "rows.tsv")
  target = os.path.join(folder, "rows.parquet")
  with open(source, "wb") as file:
    for values in zip(*map(_texts, rows.raw.values())):
      file.write(b"\t".join(values) + b"\n")
  predict.run(predict.Predictor(snapshot), source, target)
  return predictions.read(target).probability


def _texts(values: np.ndarray) -> list[bytes]:
  if values.dtype == object:
    return list(values)
  return [b"" if v == MISSING_INT64 else b"%d" % v for v in values.tolist()]


def _of_batches(snapshot: Snapshot, rows: RawRows) -> dict[str, float]:
  """Returns by batch size how far such batches are from all rows at once."""
  ask = _signature(snapshot, "predict_ids")
  whole, found = ask(rows), {}
  for batch in _BATCHES:
    few = min(len(rows), _BATCHES_EACH * batch)
    parts = [ask(rows[i : min(i + batch, few)]) for i in range(0, few, batch)]
    off = np.abs(np.concatenate(parts) - whole[:few])
    found[str(batch)] = float(off.max())
  return found


if __name__ == "__main__":
  command.run(main)
