"""What a report on churn costs: `pipelines.churn` beside plain pandas.

Made predictions of four runs with labels, and slices by a column of either
kind; `--rows` says how many examples.
Pandas holds all of them, so beyond 20 million it is left out. Processor seconds
are those of whole processes, imports and the page with its pictures included.

  python -m pipelines.benchmark --case=churn --rows=100000000
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.predictions import Batch
from pipelines.benchmarks.work import Work

UNIT = "s"
_RUNS = 4
_PART = 1 << 20
_MOST_PANDAS = 20_000_000


def lines(work: Work) -> list[dict[str, object]]:
  """Returns wall and processor seconds and the peak memory of each."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    paths = [str(folder / f"run-{run}.parquet") for run in range(_RUNS)]
    for run, path in enumerate(paths):
      predictions.write(path, _made(run, work.rows))
    ours = [
      *("pipelines.churn", f"--runs={','.join(paths)}"),
      f"--output={folder / 'churn'}",
      "--slices=label,probability",  # by values, and by 20 ranges
    ]
    found = [_timed("evaluator", ours)]
    value = json.loads((folder / "churn" / "churn.json").read_text())
    found[0]["mean_absolute"] = value["mean_absolute"]
    if work.rows <= _MOST_PANDAS:
      plain = ["pipelines.benchmarks.plain_churn", *paths]
      found.append(_timed("pandas", plain))
    return [{"rows": work.rows, "runs": _RUNS, **one} for one in found]


def results(parts: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the line of the benchmark: how often pandas' time is ours."""
  return [
    {
      "name": "churn",
      "value": parts["evaluator"],
      "unit": UNIT,
      "against": "pandas",
      "ratio": parts["pandas"] / parts["evaluator"],
    }
  ]


def _made(run: int, rows: int) -> Iterator[Batch]:
  """Yields predictions that scatter by 0.2 logits around the true ones."""
  for low in range(0, rows, _PART):
    size = min(_PART, rows - low)
    truth = np.random.RandomState(low // _PART)
    noise = np.random.RandomState([run, low // _PART])
    logit = truth.standard_normal(size) - 1.5
    label = truth.random_sample(size) < 1 / (1 + np.exp(-logit))
    logit += 0.2 * noise.standard_normal(size)
    yield Batch(
      np.arange(low, low + size),
      1 / (1 + np.exp(-logit)),
      label.astype(np.int8),
    )


def _timed(part: str, command: list[str]) -> dict[str, object]:
  """Runs a module; its peak is right where it is larger than those before."""
  before, start = _children(), time.perf_counter()
  done = subprocess.run(
    [sys.executable, "-m", *command],
    capture_output=True,
    text=True,
    check=False,
  )
  seconds, after = time.perf_counter() - start, _children()
  if done.returncode:
    raise InputError(f"{part} failed: {done.stderr[-2000:]}")
  used = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
  return {
    "part": part,
    UNIT: round(seconds, 2),
    "cpu_s": round(used, 2),
    "peak_mb": round(after.ru_maxrss * 1024 / 1e6),
    **({"mean_absolute": float(done.stdout)} if part == "pandas" else {}),
  }


def _children() -> resource.struct_rusage:
  return resource.getrusage(resource.RUSAGE_CHILDREN)
