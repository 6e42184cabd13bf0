"""Puts runs through all faults of this folder and writes what came of it.

python tests/faults/run.py --output=runs/faults/report.json --only=SIGKILL
"""

import argparse
import functools
import importlib
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from faults import report  # noqa: E402


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--output", default="runs/faults/report.json")
  parser.add_argument(
    "--only", default="", help="parts of names, as a,b; else all"
  )
  parser.add_argument("--times", type=int, default=100, help="of what is often")
  parser.add_argument("--minutes", type=float, default=30, help="of the soak")
  flags = parser.parse_args()
  for path in sorted(HERE.glob("*.py")):
    if path.stem not in ("report", "run"):
      importlib.import_module(f"faults.{path.stem}")
  names = [
    name
    for name in sorted(report.FAULTS)
    if any(part in name for part in flags.only.split(","))
  ]
  good = report.run(
    names,
    pathlib.Path(flags.output),
    times=flags.times,
    minutes=flags.minutes,
    say=functools.partial(print, flush=True),
  )
  return 0 if good else 1


if __name__ == "__main__":
  sys.exit(main())
