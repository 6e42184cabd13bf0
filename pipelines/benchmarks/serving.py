"""How long an export takes to answer, by the C++ loader: no Python, no network.

The default model with 1M rows of ids, of which half are values of vocabularies
and the rest hashed. Each signature is asked in batches of 1, 32 and 1,024:
first as fast as it can, then at half that rate, steadily, where what a request
waits for the one before counts. `predict_ids` looks up no strings and parses
nothing: what the others take longer is that.
"""

import functools
import itertools
import pathlib
import tempfile
from collections.abc import Mapping

import pyarrow as pa

from ctr_codistill import config
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import warmup
from ctr_codistill.models import networks
from ctr_codistill.training import publishing
from pipelines import cpp_loader
from pipelines.benchmarks.work import Work

UNIT = "ms"
_ROWS = 1_000_000
_BATCHES = (1, 32, 1024)
_REQUESTS = 32  # of other rows each, in turn
_SECONDS = 3.0
_SHARE = 0.5  # of the highest rate
_TARGET_MS = 5.0
"""What 99 of 100 requests of one row should be answered in."""


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the milliseconds of each signature and batch, a line each.

  The shape of `work` is that of training; here it is the default model.
  """
  del work
  return [{"part": name, UNIT: ms} for name, ms in times().items()]


def times(seconds: float = _SECONDS, rows: int = _ROWS) -> dict[str, float]:
  """Returns by "signature batch quantile" milliseconds under a steady load."""
  program = cpp_loader.build()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    version = _export(folder, rows)
    found = {}
    for batch, signature in itertools.product(_BATCHES, warmup.SIGNATURES):
      requests = folder / f"{signature}-{batch}"
      _write(requests, version, signature, batch)
      timed = functools.partial(cpp_loader.timed, program, version, requests)
      most = timed(seconds=seconds)
      steady = timed(seconds=seconds, rate=_SHARE * most["per_second"])
      key = f"{signature} {batch}"
      found[f"{key} alone"] = most["p50_ms"]
      found[f"{key} p50"] = steady["p50_ms"]
      found[f"{key} p99"] = steady["p99_ms"]
    return found


def results(ms: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark.

  The first is the p99 of one row by `predict` over what it should be; then the
  share of a request that is strings and parsing.
  """
  found = [_line("serve_p99", ms["predict 1 p99"], "the target", _TARGET_MS)]
  for batch, signature in itertools.product(_BATCHES, warmup.SIGNATURES):
    whole, ids = (
      ms[f"{name} {batch} alone"] for name in (signature, "predict_ids")
    )
    if signature != "predict_ids":
      name = f"serve_lookups_{signature}_{batch}"
      found.append(_line(name, whole - ids, f"{signature} {batch}", whole))
    for quantile in ("p50", "p99"):
      value = ms[f"{signature} {batch} {quantile}"]
      found.append(
        _line(
          f"serve_{signature}_{batch}_{quantile}", value, "one alone", whole
        )
      )
  return found


def _line(name: str, value: float, against: str, whole: float) -> dict:
  return {
    "name": name,
    "value": value,
    "unit": UNIT,
    "against": against,
    "ratio": value / whole,
  }


def _export(folder: pathlib.Path, rows: int) -> pathlib.Path:
  schema = _schema(folder, rows)
  model = functools.partial(networks.build, config.Model(), schema, seed=1)
  writer = publishing.writer(model, schema, folder, folder / "template")
  weights = [weight.value() for weight in model().weights]
  snapshot = writer.write(folder / "exchange", 1, weights, {})
  return exports.export(snapshot, folder / "clicks")


def _schema(folder: pathlib.Path, rows: int) -> Schema:
  """Writes a spec whose ids are `rows` in all, half of them vocabularies."""
  names = schemas.CRITEO_CATEGORICAL
  size = rows // len(names) // 2
  values = pa.array([b"%08x" % (i * 2654435761 % 2**32) for i in range(size)])
  values = values.cast(pa.binary())
  boundaries = schemas.log_squared_boundaries()
  found = Schema(
    tuple(
      schemas.Numeric(n, 1.0, 1.5, boundaries) for n in schemas.CRITEO_NUMERIC
    ),
    tuple(
      schemas.Categorical(n, size, size, vocabularies.write(values, folder, n))
      for n in names
    ),
  )
  schemas.write(found, folder)
  return found


def _write(
  path: pathlib.Path, version: pathlib.Path, signature: str, batch: int
) -> None:
  schema = schemas.read(version / "assets.extra")
  known = vocabularies.Vocabularies(version, schema, folder="assets")
  count = batch if batch == max(_BATCHES) else batch * _REQUESTS
  rows = raw_rows.of_prepared(raw_rows.drawn(schema, count), schema, known)
  warmup.write(
    path,
    [
      warmup.request("clicks", signature, rows[i : i + batch].inputs(signature))
      for i in range(0, count, batch)
    ],
  )
