"""What preparation takes, beside pyarrow's mere parsing of the same file.

2 M made rows, warm in the page cache. pyarrow reads them at once with the types
that a preparation needs, strings as dictionaries; it takes turns with ours.
"""

import pathlib
import tempfile
import time
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyarrow import csv

from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.job import Options
from ctr_codistill.criteo.synthetic import Spec
from pipelines.benchmarks.work import Work

UNIT = "s"
_ROWS = 2_000_000
_TURNS = 3
_BLOCK = 1 << 22


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the seconds of each part, whatever the step's `work`."""
  del work
  return [{"part": name, UNIT: took} for name, took in times().items()]


def times() -> dict[str, float]:
  """Returns the median seconds of pyarrow, of the encode pass, of both."""
  taken: dict[str, list[float]] = {"pyarrow": [], "encode": [], "both": []}
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    text = folder / "clicks.tsv"
    click_file.write(Spec(rows_per_day=_ROWS), text, start=0, stop=_ROWS)
    for _ in range(_TURNS):
      taken["pyarrow"].append(_parsed(text))
      summary = preparation.prepare(
        str(text),
        folder / "data",
        Options(overwrite=True),
        clock=time.monotonic,
      )
      taken["encode"].append(summary["seconds_encode"])
      taken["both"].append(summary["seconds"])
  return {part: float(np.median(seconds)) for part, seconds in taken.items()}


def results(seconds: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark: the share of pyarrow's rate."""
  return [
    {
      "name": f"prepare_{part}",
      "value": seconds[part],
      "unit": UNIT,
      "against": "pyarrow",
      "ratio": seconds["pyarrow"] / seconds[part],
    }
    for part in ("encode", "both")
  ]


def _parsed(text: pathlib.Path) -> float:
  integers = ["label", *schemas.CRITEO_NUMERIC]
  strings = list(schemas.CRITEO_CATEGORICAL)
  types = dict.fromkeys(integers, pa.int32())
  types |= dict.fromkeys(strings, pa.dictionary(pa.int32(), pa.string()))
  start = time.perf_counter()
  csv.read_csv(
    text,
    read_options=csv.ReadOptions(
      column_names=integers + strings, block_size=_BLOCK
    ),
    parse_options=csv.ParseOptions(delimiter="\t"),
    convert_options=csv.ConvertOptions(column_types=types),
  )
  return time.perf_counter() - start
