"""What a training holds in memory at most, with and without a teacher.

With a table of 1e7 x 16 rows and Adagrad's slot of the same size. First it
trains and publishes, then it also reads, and learns from, what it published.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping

from ctr_codistill.errors import InputError
from pipelines.benchmarks.made_group import MadeGroup
from pipelines.benchmarks.work import Work

UNIT = "MB"
_ROWS = 10_000_000
_TURNS = 3
_STEPS = 4


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the MB of each part, a line each."""
  found = peaks(dataclasses.replace(work, rows=_ROWS))
  return [{"part": name, UNIT: size} for name, size in found.items()]


def peaks(work: Work) -> dict[str, float]:
  """Returns the most MB that were resident, and those of a table."""
  found = {"before": _peak(), "table": work.rows * 16 * 4 / 1e6}
  with tempfile.TemporaryDirectory() as folder:
    group = MadeGroup(pathlib.Path(folder), work)
    for _ in range(_TURNS):
      _publish(group)
    found["plain"] = _peak()
    for _ in range(_TURNS):
      group.look()
      # A snapshot is written while one is read and one is in use.
      _publish(group)
      group.take()
      group.step(taught=True)
    return {**found, "teacher": _peak()}


def results(sizes: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark; the ratio is in tables.

  It leaves out what there was before the first table: Python and TensorFlow.
  """
  return [
    {
      "name": f"memory_{kind}",
      "value": sizes[kind],
      "unit": UNIT,
      "against": "table",
      "ratio": (sizes[kind] - sizes["before"]) / sizes["table"],
    }
    for kind in ("plain", "teacher")
  ]


def _publish(group: MadeGroup) -> None:
  group.publish()
  for _ in range(_STEPS):
    group.step()
  group.wait()


def _peak() -> float:
  """Returns the most that this process has had in memory, in MB."""
  for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM:"):
      return int(line.split()[1]) * 1024 / 1e6
  raise InputError("/proc/self/status should have VmHWM, has not")
