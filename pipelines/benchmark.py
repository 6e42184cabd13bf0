"""Times step, teacher and input, beside what a user would pick instead.

Each case runs in a process of its own, in turn with the others and several
times, so that the ratios hold on a machine whose speed drifts. One step is a
batch of 2,048, one table of 1M x 16 rows, layers 2560-1024-256, Adagrad, two
cores. The input is read into such batches, warm in the page cache.

  python -m pipelines.benchmark --output=/tmp/benchmark.json --peers=DIR

DIR holds peers: scripts that print a JSON line with "ms_median". The output is
a list of {"name", "value", "unit", "against", "ratio"}; a ratio above 1 is ours
faster, for `teacher_over_plain` it is the price of the teacher; in rows/s it is
the share of the rate that it stands against.

  python -m pipelines.benchmark --case=input     # where the input's time goes
  python -m pipelines.benchmark --case=shuffle   # how well it shuffles
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from pipelines import benchmark_input
from pipelines import command

_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write")
_PEERS = flags.DEFINE_string("peers", None, "directory of peers to time beside")
_ROUNDS = flags.DEFINE_integer(
  "rounds", 3, "times that each case runs", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 20, "steps of a round", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 2048, "examples a step", lower_bound=1)
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "rows of the table")
_HIDDEN = flags.DEFINE_list("hidden", ["2560", "1024", "256"], "layer widths")
_CASE = flags.DEFINE_enum(
  "case",
  None,
  ["step", "input", "shuffle"],
  "run this case alone and here, print its lines",
)

_INPUT = "input: "  # before the names of its parts
_PEER_SCRIPTS = ("tfrs_keras.py", "pytorch.py")


def main() -> int:
  """Runs all cases in turn and writes the list, or one case."""
  if _CASE.value:
    for line in _lines(_CASE.value):
      print(json.dumps(line))
    return 0
  _widths()
  if not _OUTPUT.value:
    raise InputError("--output should name a file, is not given")
  found: dict[str, list[float]] = {}
  for turn in range(_ROUNDS.value):
    for name, line in _cases().items():
      print(f"round {turn + 1}: {name}", file=sys.stderr, flush=True)
      for key, value in _timed(name, line).items():
        found.setdefault(key, []).append(value)
  medians = {name: float(np.median(v)) for name, v in found.items()}
  rates = {n: medians.pop(n) for n in list(medians) if n.startswith(_INPUT)}
  results = _results(medians)
  results += benchmark_input.results(
    {name.removeprefix(_INPUT): rate for name, rate in rates.items()}
  )
  stamped.write_json(_OUTPUT.value, results)
  for result in results:
    print(json.dumps(result))
  return 0


def _lines(case: str) -> list[dict]:
  """Returns what a case prints."""
  if case == "shuffle":
    return benchmark_input.qualities(_BATCH.value)
  if case == "input":
    rates = benchmark_input.rates(_BATCH.value)
    return [{"part": name, **rate} for name, rate in rates.items()]
  return [{"ms": _step()}]


def _cases() -> dict[str, list[str]]:
  """Returns the command of each case."""
  shape = [f"--batch={_BATCH.value}", f"--rows={_ROWS.value}"]
  shape += [f"--hidden={','.join(_HIDDEN.value)}", f"--steps={_STEPS.value}"]
  own = [sys.executable, "-m", "pipelines.benchmark"]
  cases = {
    "ours": [*own, "--case=step", *shape],
    "input": [*own, "--case=input", f"--batch={_BATCH.value}"],
  }
  if _PEERS.value:
    for script in _PEER_SCRIPTS:
      path = pathlib.Path(_PEERS.value) / script
      if path.exists():
        cases[path.stem] = [sys.executable, str(path), *shape]
  return cases


def _timed(name: str, line: list[str]) -> dict[str, float]:
  """Returns ms a step or rows/s by case; none where a peer cannot run."""
  done = subprocess.run(line, capture_output=True, text=True, check=False)
  if done.returncode:
    if name in ("ours", "input"):
      raise InputError(f"the benchmark failed: {done.stderr[-2000:]}")
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    print(f"{name} left out: {reason}", file=sys.stderr, flush=True)
    return {}
  lines = done.stdout.strip().splitlines()
  if name == "input":
    parts = map(json.loads, lines)
    return {_INPUT + part["part"]: part["rows/s"] for part in parts}
  value = json.loads(lines[-1])
  return value["ms"] if name == "ours" else {name: value["ms_median"]}


def _results(ms: dict[str, float]) -> list[dict[str, object]]:
  peers = {name: ms[name] for name in ms if name not in ("plain", "teacher")}
  results = [
    {
      "name": "teacher_over_plain",
      "value": ms["teacher"],
      "unit": "ms",
      "against": "plain",
      "ratio": ms["teacher"] / ms["plain"],
    }
  ]
  for name, value in [("", ms["plain"]), *peers.items()]:
    results.append(
      {
        "name": f"step_float32_{name}".rstrip("_"),
        "value": value,
        "unit": "ms",
        "against": name or min(peers, key=peers.get, default=None),
        "ratio": value / ms["plain"]
        if name
        else min(peers.values(), default=float("nan")) / ms["plain"],
      }
    )
  return results


def _step() -> dict[str, float]:
  """Returns the median milliseconds of a step with and without a teacher."""
  import tensorflow as tf

  trainer, teacher = _trainer_and_teacher()
  batches = [tf.constant(rows) for rows in _batches()]

  def plain(rows: tf.Tensor) -> None:
    trainer.step(rows, trainer.no_opinion, 0.0).numpy()

  def taught(rows: tf.Tensor) -> None:
    trainer.step(rows, teacher(trainer.features(rows)), 1.0).numpy()

  times = {"plain": [], "teacher": []}
  for i in range(4 + _STEPS.value):
    for name, step in (("plain", plain), ("teacher", taught)):
      took = _seconds(step, batches[i % len(batches)])
      if i >= 4:  # the first ones trace and warm up
        times[name].append(1e3 * took)
  return {name: float(np.median(values)) for name, values in times.items()}


def _seconds(step: Callable, rows: object) -> float:
  start = time.perf_counter()
  step(rows)
  return time.perf_counter() - start


def _trainer_and_teacher() -> tuple:
  """Returns a group of one worker and a teacher of one real snapshot."""
  from ctr_codistill import config
  from ctr_codistill import serving
  from ctr_codistill import snapshots
  from ctr_codistill.codistill.teacher import Teacher
  from ctr_codistill.criteo import schema as schemas
  from ctr_codistill.criteo import vocabularies
  from ctr_codistill.criteo.lookup import Lookup
  from ctr_codistill.models import networks
  from ctr_codistill.models import optimizers
  from ctr_codistill.training import strategy as strategies
  from ctr_codistill.training.trainer import Trainer

  strategy = strategies.start(strategies.Cluster(), timeout=60)
  hidden = _widths()
  model = config.Model(hidden=hidden, numeric="log")
  with tempfile.TemporaryDirectory() as folder:
    schema = _schema(schemas, vocabularies, folder)
    trainer = Trainer(
      strategy,
      lambda: networks.build(model, schema, seed=1),
      lambda: optimizers.build(config.Optimizer(), steps=1000),
      numerics=len(schema.numeric),
      batch_size=_BATCH.value,
    )
    peer = networks.build(model, schema, seed=2)
    servable = serving.Servable(peer, schema, Lookup(schema, folder))
    schemas.write(schema, folder)
    writer = snapshots.Writer(
      servable,
      servable.signatures(),
      {schemas.FILE: pathlib.Path(folder) / schemas.FILE},
      pathlib.Path(folder) / "template",
    )
    root = pathlib.Path(folder) / "peer"
    writer.write(root, 1, servable.weights, {})
    teacher = Teacher({1: root})
    teacher.take([1])
  return trainer, teacher


def _widths() -> tuple[int, ...]:
  if not all(width.isdecimal() for width in _HIDDEN.value):
    raise InputError(f"--hidden should be widths, is {_HIDDEN.value}")
  return tuple(map(int, _HIDDEN.value))


def _schema(schemas, vocabularies, folder: str):  # noqa: ANN001, ANN202
  """Returns a spec whose tables have `--rows` in all, hashed ids alone."""
  import pyarrow as pa

  each = _ROWS.value // len(schemas.CRITEO_CATEGORICAL)
  boundaries = schemas.log_squared_boundaries()
  empty = pa.array([], pa.binary())
  return schemas.Schema(
    tuple(
      schemas.Numeric(n, 1.0, 1.5, boundaries) for n in schemas.CRITEO_NUMERIC
    ),
    tuple(
      schemas.Categorical(n, 0, each - 1, vocabularies.write(empty, folder, n))
      for n in schemas.CRITEO_CATEGORICAL
    ),
  )


def _batches(count: int = 8) -> list[np.ndarray]:
  """Returns batches int32 `[batch, 40]` with Zipf-distributed ids."""
  random = np.random.RandomState(0)
  each = _ROWS.value // 26
  return [
    np.concatenate(
      [
        random.randint(0, 2, (_BATCH.value, 1)),
        random.zipf(1.5, (_BATCH.value, 13)).clip(0, 10**6),
        random.zipf(1.2, (_BATCH.value, 26)) % each,
      ],
      axis=1,
    ).astype(np.int32)
    for _ in range(count)
  ]


if __name__ == "__main__":
  command.run(main)
