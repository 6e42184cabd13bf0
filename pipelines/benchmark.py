"""Times step, teacher and input, beside what a user would pick instead.

Each case runs in a process of its own, in turn with the others and several
times, so that the ratios hold on a machine whose speed drifts. One step is a
batch of 2,048, one table of 1M x 16 rows, layers 2560-1024-256, Adagrad. The
input is read into such batches, warm in the page cache.

  python -m pipelines.benchmark --output=/tmp/benchmark.json --peers=DIR

DIR holds peers: scripts that print a JSON line with "ms_median". The output is
a list of {"name", "value", "unit", "against", "ratio"}. The ratio of a
`step_...` is our rate over the peer's; of what ends in `_over_plain` the price
over the step alone; of rates the share of what they stand against.

  python -m pipelines.benchmark --case=step --precision=bfloat16  # one case

runs one case here and prints its parts, a line each.
"""

import importlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from pipelines import command
from pipelines.benchmarks.work import Work

# Each is a file of benchmarks/, with lines(work), UNIT and results(parts).
_CASES = (
  "step",
  "process",
  "updates",
  "publish",
  "memory",
  "reading",
  "preparation",
  "churn",
  "serving",
  "predict",
)
_ALONE = ("shuffle",)  # no time, so no turn
_PRECISIONS = ("float32", "bfloat16")
_PEER_SCRIPTS = ("tfrs_keras.py", "pytorch.py")

_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write")
_PEERS = flags.DEFINE_string("peers", None, "directory of peers to time beside")
_PEER_PYTHON = flags.DEFINE_string(
  "peer_python", sys.executable, "the Python that has the peers' packages"
)
_ROUNDS = flags.DEFINE_integer(
  "rounds", 3, "times that each case runs", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 20, "steps of a round", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 2048, "examples a step", lower_bound=1)
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "rows of the table")
_HIDDEN = flags.DEFINE_list("hidden", ["2560", "1024", "256"], "layer widths")
_PRECISION = flags.DEFINE_enum(
  "precision", "float32", _PRECISIONS, "of a case that runs alone"
)
_CASE = flags.DEFINE_enum(
  "case",
  None,
  [*_CASES, *_ALONE],
  "run this case alone and here, print its lines",
)
_ONLY = flags.DEFINE_list("only", list(_CASES), "cases that take turns")


def main() -> int:
  """Runs all cases in turn and writes the list, or one case."""
  work = _work()
  if _CASE.value:
    for line in _case(_CASE.value).lines(work):
      print(json.dumps(line), flush=True)
    return 0
  if not _OUTPUT.value:
    raise InputError("--output should name a file, is not given")
  found: dict[str, dict[str, list[float]]] = {}
  for turn in range(_ROUNDS.value):
    for name, line in _commands().items():
      print(f"round {turn + 1}: {name}", file=sys.stderr, flush=True)
      for part, value in _timed(name, line).items():
        found.setdefault(name, {}).setdefault(part, []).append(value)
  results = _results(
    {
      name: {part: float(np.median(v)) for part, v in parts.items()}
      for name, parts in found.items()
    }
  )
  stamped.write_json(_OUTPUT.value, results)
  for result in results:
    print(json.dumps(result))
  return 0


def _work() -> Work:
  if not all(width.isdecimal() for width in _HIDDEN.value):
    raise InputError(f"--hidden should be widths, is {_HIDDEN.value}")
  for name in _ONLY.value:
    if name not in _CASES:
      raise InputError(f"--only should be of {', '.join(_CASES)}, has {name!r}")
  return Work(
    batch=_BATCH.value,
    rows=_ROWS.value,
    hidden=tuple(map(int, _HIDDEN.value)),
    precision=_PRECISION.value,
    steps=_STEPS.value,
  )


def _case(name: str) -> Any:
  """Returns the module of a case; most of them import TensorFlow."""
  return importlib.import_module(f"pipelines.benchmarks.{name}")


def _commands() -> dict[str, list[str]]:
  """Returns by name the command of each case and each peer."""
  shape = [f"--batch={_BATCH.value}", f"--rows={_ROWS.value}"]
  shape += [f"--hidden={','.join(_HIDDEN.value)}", f"--steps={_STEPS.value}"]
  found = {}
  for name in _ONLY.value:
    own = [sys.executable, "-m", "pipelines.benchmark", f"--case={name}"]
    if name != "step":
      found[name] = [*own, *shape]
      continue
    for precision in _PRECISIONS:
      kind = [*shape, f"--precision={precision}"]
      found[f"step {precision}"] = [*own, *kind]
      for script in _PEER_SCRIPTS if _PEERS.value else ():
        path = pathlib.Path(_PEERS.value) / script
        line = [_PEER_PYTHON.value, str(path), *kind]
        if script == _PEER_SCRIPTS[0]:
          line[0] = sys.executable
        found[f"peer {precision} {path.stem}"] = line
  return found


def _timed(name: str, line: list[str]) -> dict[str, float]:
  """Returns what each part of a case took; none where a peer cannot run."""
  done = subprocess.run(line, capture_output=True, text=True, check=False)
  if done.returncode:
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if not name.startswith("peer "):
      raise InputError(f"the benchmark failed: {done.stderr[-2000:]}")
    print(f"{name} left out: {reason}", file=sys.stderr, flush=True)
    return {}
  lines = list(map(json.loads, done.stdout.strip().splitlines()))
  if name.startswith("peer "):
    return {"ms": lines[-1]["ms_median"]}
  unit = _case(name.split()[0]).UNIT
  return {part["part"]: part[unit] for part in lines}


def _results(
  medians: Mapping[str, Mapping[str, float]],
) -> list[dict[str, object]]:
  found = []
  for name, parts in medians.items():
    case, _, precision = name.partition(" ")
    if case == "peer":
      continue
    if case == "step":
      start = f"peer {precision} "
      peers = {
        other.removeprefix(start): value["ms"]
        for other, value in medians.items()
        if other.startswith(start)
      }
      found += _case(case).results(parts, peers, precision)
    else:
      found += _case(case).results(parts)
  return found


if __name__ == "__main__":
  command.run(main)
