import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "pipelines.prepare", *flags],
    cwd=ROOT,
    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    capture_output=True,
    text=True,
  )


def test_a_log_becomes_a_prepared_directory_and_mistakes_one_line(tmp_path):
  row = "1\t" + "5\t" * 13 + "\t".join(["a"] * 26) + "\n"
  (tmp_path / "a.tsv").write_text(row * 14)
  flags = (f"--input={tmp_path}/*.tsv", f"--output={tmp_path}/out")
  done = _run(*flags, "--min_count=12")
  assert done.returncode == 0, done.stderr
  assert "14 rows in, 12 to train on, 2 to validate" in done.stdout
  assert "encode" in done.stderr
  summary = json.loads((tmp_path / "out" / "prepare.json").read_text())
  assert summary["options"]["min_count"] == 12
  again = _run(*flags)
  assert again.returncode == 1
  assert "Traceback" not in again.stderr
  assert "out is prepared already" in again.stderr.splitlines()[-1]


def test_a_missing_flag_is_named():
  done = _run("--input=x")
  assert done.returncode != 0
  assert "--output" in done.stderr
