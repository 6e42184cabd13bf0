"""A worker keeps nothing of what it has done."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent / "kept_memory.py"
# What TensorFlow keeps of one Python number is 1,000, of one array 337.
MOST = 300


@pytest.fixture(scope="module")
def found(prepared, tmp_path_factory):
  done = subprocess.run(
    [
      sys.executable,
      str(SCRIPT),
      str(prepared),
      tmp_path_factory.mktemp("run"),
    ],
    capture_output=True,
    text=True,
    env={
      **os.environ,
      "PYTHONMALLOC": "malloc",
      "PYTHONPATH": os.pathsep.join(sys.path),
    },
    timeout=200,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
  "what", ["step", "take over", "checkpoint", "validation"]
)
def test_of_nothing_that_a_worker_does_memory_is_kept(found, what):
  assert found["kept"][what] < MOST


def test_its_teacher_was_the_newest_snapshot(found):
  # The first, 550 steps of the worker, and 550 publications.
  assert found["newest"] == 1101
