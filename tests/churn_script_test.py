import json
import subprocess
import sys

import numpy as np

from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.predictions import Batch


def _write(path, probability):
  rows = np.arange(len(probability))
  predictions.write(path, [Batch(rows, np.array(probability), rows % 2)])
  return str(path)


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "pipelines.churn", *flags],
    capture_output=True,
    text=True,
    check=False,
  )


def test_two_files_give_json_a_page_and_a_table(tmp_path):
  one = _write(tmp_path / "one.parquet", [0.5, 0.25, 0.75])
  other = _write(tmp_path / "other.parquet", [0.5, 0.5, 0.25])
  output = tmp_path / "out"
  done = _run(f"--runs={one},{other}", f"--output={output}")
  assert done.returncode == 0, done.stderr
  found = json.loads((output / "churn.json").read_text())
  # (0 + 0.25 + 0.5) / 3
  assert found["mean_absolute"] == 0.25
  assert found["flips"] == {"0.1": 0.0, "0.5": 2 / 3}
  assert (output / "report.html").is_file()
  lines = done.stdout.splitlines()
  (line,) = (line for line in lines if line.startswith("mean absolute"))
  assert line.split()[3] == "0.250"
  assert lines[-1] == str(output / "report.html")


def test_other_examples_end_in_one_line_and_leave_nothing(tmp_path):
  one = _write(tmp_path / "one.parquet", [0.5, 0.25, 0.75])
  other = _write(tmp_path / "other.parquet", [0.5, 0.5])
  output = tmp_path / "out"
  done = _run(f"--runs={one},{other}", f"--output={output}")
  assert done.returncode == 1
  assert "error: " in done.stderr
  assert "has 3 rows; it has 2" in done.stderr
  assert "Traceback" not in done.stderr
  assert not output.exists()


def test_a_threshold_that_is_no_number_is_refused(tmp_path):
  one = _write(tmp_path / "one.parquet", [0.5])
  other = _write(tmp_path / "other.parquet", [0.5])
  flags = (f"--runs={one},{other}", f"--output={tmp_path}", "--thresholds=x")
  done = _run(*flags)
  assert done.returncode == 1
  assert "--thresholds should be numbers, has 'x'" in done.stderr


def test_an_output_that_the_runs_would_match_is_refused(tmp_path):
  other = _write(tmp_path / "other.parquet", [0.5])
  done = _run(f"--runs={tmp_path}/*,{other}", f"--output={tmp_path}")
  assert done.returncode == 1
  assert "churn.json should lie elsewhere: the input" in done.stderr


def test_one_file_is_refused(tmp_path):
  one = _write(tmp_path / "one.parquet", [0.5])
  done = _run(f"--runs={one}", f"--output={tmp_path / 'out'}")
  assert done.returncode == 1
  assert "at least 2 runs, got 1" in done.stderr


_LIMITS = """
[measures]
mean_absolute = {most}
[worse]
log_loss = 10
"""


def test_a_gate_says_a_line_a_limit_and_its_status(tmp_path):
  one = _write(tmp_path / "one.parquet", [0.5, 0.25, 0.75])
  other = _write(tmp_path / "other.parquet", [0.5, 0.5, 0.25])
  limits = tmp_path / "limits.toml"
  flags = [f"--runs={one},{other}", f"--output={tmp_path / 'out'}"]
  limits.write_text(_LIMITS.format(most=0.3))
  assert _run(*flags, f"--gate={limits}").returncode == 0
  limits.write_text(_LIMITS.format(most=0.2))
  done = _run(*flags, f"--gate={limits}")
  assert done.returncode == 2, done.stderr
  first, second = done.stdout.splitlines()[-2:]
  assert first.split()[:2] == ["BROKEN", "measures.mean_absolute:"]
  assert "0.25, should be at most 0.2" in first
  assert second.startswith("ok      worse.log_loss: ")
  assert "refused: of 2 limits 1 broken, 1 kept" in done.stdout
  value = json.loads((tmp_path / "out" / "churn.json").read_text())["gate"]
  assert not value["holds"]
  assert [one["outcome"] for one in value["verdicts"]] == ["broken", "kept"]
  assert "Gate: refused" in (tmp_path / "out" / "report.html").read_text()


def test_a_limit_on_what_will_not_be_there_ends_it_before_anything_is_read(
  tmp_path,
):
  limits = tmp_path / "limits.toml"
  flags = [f"--output={tmp_path / 'out'}", f"--gate={limits}"]
  limits.write_text("[measures]\nmean_absolut = 1")
  # Before what would be read is even looked for.
  done = _run("--runs=/gone/1,/gone/2", *flags)
  assert done.returncode == 1
  assert "[measures] should be of mean_absolute, " in done.stderr
  limits.write_text("[slices]\nmean_absolute = 1")
  done = _run("--runs=/gone/1,/gone/2", *flags)
  assert "[slices] should be of none (there are no slices" in done.stderr
  limits.write_text("[worse]\nlog_loss = 1")
  one, other = tmp_path / "1.parquet", tmp_path / "2.parquet"
  for path in (one, other):
    predictions.write(path, [Batch(np.arange(2), np.array([0.5, 0.2]))])
  done = _run(f"--runs={one},{other}", *flags)
  assert "[worse] should be of none (there are no labels)" in done.stderr
  assert not (tmp_path / "out").exists()
