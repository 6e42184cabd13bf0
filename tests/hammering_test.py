"""Eight processes on one exchange."""

import json
import pathlib
import subprocess
import sys

from ctr_codistill import stamped

SCRIPT = pathlib.Path(__file__).with_name("hammering.py")
GROUPS, PUBLICATIONS = 8, 150


def test_no_read_is_torn_and_no_latest_is_lost(tmp_path):
  processes = [
    subprocess.Popen(
      [sys.executable, SCRIPT, tmp_path, *map(str, (g, GROUPS, PUBLICATIONS))],
      stdout=subprocess.PIPE,
      text=True,
    )
    for g in range(GROUPS)
  ]
  total = {"read": 0, "gone": 0, "torn": 0, "lost": 0}
  for process in processes:
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    for name, count in json.loads(said).items():
      total[name] += count
  assert (total["torn"], total["lost"]) == (0, 0), total
  assert total["read"] > GROUPS * PUBLICATIONS / 2, total
  for group in range(GROUPS):
    root = tmp_path / f"group-{group}"
    assert stamped.numbers(root) == [PUBLICATIONS - 1, PUBLICATIONS]
    assert len(list(root.iterdir())) == 2
