"""A preparation that is killed goes on, and its bytes do not tell."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
VARIES = ("seconds", "seconds_count", "seconds_encode", "peak_rss_bytes")
ROWS = 900


def _command(*words):
  return subprocess.Popen(
    [sys.executable, *map(str, words)],
    cwd=ROOT,
    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _flags(folder, output):
  return (
    f"--input={folder}/*.tsv",
    f"--output={output}",
    "--min_count=2",
    "--max_bad_fraction=0.1",
    "--block_rows=8",
    "--shard_rows=40",
    "--block_bytes=3000",
    "--count_bytes=60000",
    "--max_vocabulary=50",
    "--threads=2",
  )


def _done(process):
  stdout, stderr = process.communicate()
  assert process.returncode == 0, stderr
  return stdout


def _tree(output):
  """Returns the bytes of every file, without what tells time and memory."""
  found = {
    str(path.relative_to(output)): path.read_bytes() if path.is_file() else b""
    for path in output.rglob("*")
  }
  summary = json.loads(found.pop("prepare.json"))
  for name in VARIES:
    assert summary.pop(name) > 0
  return found, summary


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Two raw files; every 50th line is bad."""
  drawn = random.Random(0)
  folder = tmp_path_factory.mktemp("raw")
  for name in ("a.tsv", "b.tsv"):
    lines = []
    for i in range(ROWS // 2):
      numbers = [str(drawn.randrange(-3, 999)) for _ in range(13)]
      strings = [f"{drawn.randrange(2 ** (j % 12)):x}" for j in range(26)]
      bad = ["bad"] * (i % 50 == 7)
      lines.append("\t".join([str(i % 2), *numbers, *strings, *bad]) + "\n")
    (folder / name).write_text("".join(lines))
  return folder


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory):
  """The files of a run that nobody killed."""
  output = tmp_path_factory.mktemp("unbroken") / "out"
  _done(_command("-m", "pipelines.prepare", *_flags(folder, output)))
  files, summary = _tree(output)
  assert summary["rows_in"] == ROWS
  assert summary["rows_quarantined"] == 18
  assert summary["spilled_runs"] > 2
  assert summary["vocabularies"]["C12"]["capped"] > 0
  assert len([name for name in files if name.endswith(".rows")]) > 20
  assert not [name for name in files if "tmp" in name or "unfinished" in name]
  return files, summary


def _check(output, unbroken):
  found, summary = _tree(output)
  expected, whole = unbroken
  assert found.keys() == expected.keys()
  assert [name for name in found if found[name] != expected[name]] == []
  assert summary == whole


# A run makes more than 1,000 changes, of which 60 come before the first note.
@pytest.mark.parametrize("seed, most", [(0, 1000), (1, 300), (2, 150)])
def test_killed_before_any_change_of_a_file(
  folder, unbroken, tmp_path, seed, most
):
  output = tmp_path / "out"
  job = _command("tests/killed_job.py", seed, most, *_flags(folder, output))
  kills = int(_done(job).split()[-2])
  assert kills > 2
  _check(output, unbroken)


def _notes(output):
  """Yields whenever the job is seen to have come further."""
  before, state = None, output / "unfinished" / "state.json"
  while True:
    try:
      now = state.stat().st_mtime_ns
    except FileNotFoundError:
      continue
    if now != before:
      before = now
      yield


def test_the_real_script_is_killed_from_outside(folder, unbroken, tmp_path):
  output, drawn = tmp_path / "out", random.Random(5)
  for _ in range(3):
    job = _command("-m", "pipelines.prepare", *_flags(folder, output))
    notes = _notes(output)
    for _ in range(drawn.randrange(1, 4)):
      next(notes)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert job.returncode == -signal.SIGKILL
  _done(_command("-m", "pipelines.prepare", *_flags(folder, output)))
  _check(output, unbroken)
