"""The memory of a scoring job does not grow with its input."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
PIECE = 1 << 20
"""Bytes of a piece. A few are in memory at once."""
SMALL, LARGE = 16 * PIECE, 128 * PIECE
BOUND = 32 << 20
"""Bytes. What the large job reads more, and writes again, is 112 MiB."""
LAYOUT = """
numeric = ["I1", "I2"]
categorical = ["C1", "C2", "C3"]
ignored = ["page"]
columns = ["label", "page", "I1", "I2", "C1", "C2", "C3"]
"""
# The peak of this program alone: what `getrusage` says of a child begins with
# the memory of its parent.
METERED = """
import pathlib, runpy, sys
try:
  runpy.run_module("pipelines.predict", run_name="__main__", alter_sys=True)
finally:
  lines = pathlib.Path("/proc/self/status").read_text().splitlines()
  print(next(line for line in lines if line.startswith("VmHWM:")))
"""


def _write(path, size):
  """Writes lines whose bytes are nearly all of a column that is passed on."""
  piece = b"".join(
    b"%d\thttps://example/%s%d\t%d\t\ta\tb\tx\n" % (i % 2, b"long" * 120, i, i)
    for i in range(PIECE // 512)
  )
  with path.open("wb") as file:
    while file.tell() < size:
      file.write(piece)


def _peak(snapshot, source, layout, output):
  """Returns the bytes that the job had in memory at most."""
  done = subprocess.run(
    [
      *(sys.executable, "-c", METERED),
      *(f"--snapshot={snapshot}", f"--input={source}", f"--layout={layout}"),
      *("--columns=page", f"--piece_bytes={PIECE}", f"--output={output}"),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert "rows predicted" in done.stdout
  return int(done.stdout.split("VmHWM:")[1].split()[0]) * 1024


def test_eight_times_the_rows_take_no_more_memory(publish, tmp_path):
  snapshot = publish(tmp_path / "run", 1, seed=1)
  layout = tmp_path / "layout.toml"
  layout.write_text(LAYOUT)
  peaks = []
  for size in (SMALL, LARGE):
    source = tmp_path / f"{size}.tsv"
    _write(source, size)
    peaks.append(_peak(snapshot, source, layout, tmp_path / f"out-{size}"))
    source.unlink()
  small, large = peaks
  assert large - small < BOUND, peaks
