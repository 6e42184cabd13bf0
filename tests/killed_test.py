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
# A run makes some 500 changes, of which 60 come before the first note.
SEEDS = {1: 500, 2: 300, 3: 200, 4: 150, 5: 120}


def _command(*words):
  return subprocess.Popen(
    [sys.executable, *map(str, words)],
    cwd=ROOT,
    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _flags(folder):
  return (
    f"--input={folder}/*.tsv",
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
def jobs(folder, tmp_path_factory):
  """A folder of the outputs of jobs, by their seeds; 0 was not killed."""
  outputs = tmp_path_factory.mktemp("outputs")
  seeds = ",".join(f"{seed}:{most}" for seed, most in ({0: 0} | SEEDS).items())
  job = _command("tests/killed_job.py", outputs, seeds, *_flags(folder))
  kills = json.loads(_done(job).splitlines()[-1])
  return outputs, kills


@pytest.fixture(scope="module")
def unbroken(jobs):
  """The files of a run that nobody killed."""
  outputs, kills = jobs
  assert kills["0"] == 0
  files, summary = _tree(outputs / "0")
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


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_before_any_change_of_a_file(jobs, unbroken, seed):
  outputs, kills = jobs
  assert kills[str(seed)] > 0
  _check(outputs / str(seed), unbroken)


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
  words = ("-m", "pipelines.prepare", f"--output={output}", *_flags(folder))
  for _ in range(2):
    job = _command(*words)
    notes = _notes(output)
    for _ in range(drawn.randrange(2, 7)):
      next(notes)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert job.returncode == -signal.SIGKILL
  _done(_command(*words))
  _check(output, unbroken)
