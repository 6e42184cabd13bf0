import gzip
import math
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.made.click_file import Truth
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.errors import InputError

_ROOT = pathlib.Path(__file__).parent.parent


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "pipelines.synthesize", *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )


def _truth(**rows):
  counts = np.zeros((4096, 2), np.int64)
  for level, misses_and_clicks in rows.items():
    counts[int(level[1:])] = misses_and_clicks
  return Truth(counts)


def test_a_file_holds_the_rows_in_order(tmp_path):
  path = tmp_path / "rows.tsv"
  click_file.write(Spec(), path, stop=40_000, threads=3)
  expected = synthetic.text(synthetic.rows(Spec(), 0, 40_000))
  assert path.read_bytes() == expected


def test_threads_and_compression_do_not_change_the_text(tmp_path):
  for threads in (1, 4):
    name = f"{threads}.gz"
    click_file.write(
      Spec(), tmp_path / name, start=3, stop=35_000, threads=threads
    )
  one, four = ((tmp_path / f"{n}.gz").read_bytes() for n in (1, 4))
  assert one == four
  expected = synthetic.text(synthetic.rows(Spec(), 3, 35_000))
  assert gzip.decompress(one) == expected


def test_the_truth_is_written_beside(tmp_path):
  table = tmp_path / "truth.parquet"
  found = click_file.write(
    Spec(), tmp_path / "rows.tsv", start=100, stop=20_100, truth=table
  )
  columns = pq.read_table(table).to_pydict()
  made = synthetic.rows(Spec(), 100, 20_100)
  assert columns["example"] == list(range(20_000))
  assert columns["probability"] == made.probabilities.tolist()
  assert columns["label"] == made.labels.tolist()
  assert found.rows == 20_000
  assert found.clicks == made.labels.sum()
  p = made.probabilities
  loss = -np.mean(np.where(made.labels, np.log(p), np.log(1 - p)))
  assert found.log_loss == pytest.approx(loss, rel=1e-12)
  entropy = -np.mean(p * np.log(p) + (1 - p) * np.log(1 - p))
  assert found.best_log_loss == pytest.approx(entropy, rel=1e-12)


def test_made_clicks_are_as_hard_as_criteo(tmp_path):
  found = click_file.write(Spec(), tmp_path / "rows.tsv", stop=100_000)
  assert found.best_log_loss == pytest.approx(0.44, abs=0.01)
  assert found.auc == pytest.approx(0.80, abs=0.01)
  assert found.clicks / found.rows == pytest.approx(0.25, abs=0.01)


def test_a_coin_has_the_log_loss_of_a_bit():
  coin = _truth(_2048=(1, 1))
  assert coin.best_log_loss == pytest.approx(math.log(2))
  assert coin.log_loss == pytest.approx(math.log(2))
  assert coin.auc == 0.5


def test_truths_add_up():
  # Clicks at level 3000 win against the miss; the one at 1000 ties with it:
  # (1 + 1 + 1/2) / (3 x 1).
  both = _truth(_1000=(1, 1)).merge(_truth(_3000=(0, 2)))
  assert both.rows == 4
  assert both.clicks == 3
  assert both.auc == pytest.approx(2.5 / 3)


def test_the_truth_about_nothing_is_no_number():
  none = Truth.empty()
  assert math.isnan(none.best_log_loss)
  assert math.isnan(none.log_loss)
  assert math.isnan(none.auc)


def test_progress_counts_every_row(tmp_path):
  seen = []
  click_file.write(Spec(), tmp_path / "a", stop=20_000, progress=seen.append)
  assert seen == [16_384, 3_616]


def test_a_failure_leaves_nothing_behind_and_keeps_what_was_there(tmp_path):
  def fail(rows):
    raise OSError("no space left")

  path = tmp_path / "rows.tsv"
  path.write_text("before")
  with pytest.raises(OSError, match="no space left"):
    click_file.write(
      Spec(), path, stop=20_000, truth=tmp_path / "t", progress=fail
    )
  assert path.read_text() == "before"
  assert [p.name for p in tmp_path.iterdir()] == ["rows.tsv"]


@pytest.mark.parametrize(
  ("wrong", "message"),
  [({"stop": 0}, "at least 1, is 0"), ({"threads": 0}, "at least 1, is 0"),
   ({"truth": "same"}, "another file than the rows, is .*same"),
   ({"truth": "no/such/file"}, "no/such/file cannot be written: No such"),
   ({"truth": "."}, "is a directory")],
)  # fmt: skip
def test_what_cannot_be_written_is_named(tmp_path, wrong, message):
  wrong = {"stop": 10, **wrong}
  if "truth" in wrong:
    wrong["truth"] = tmp_path / wrong["truth"]
  with pytest.raises(InputError, match=message):
    click_file.write(Spec(), tmp_path / "same", **wrong)
  assert not list(tmp_path.iterdir())


def test_the_sample_is_what_its_command_writes(tmp_path):
  readme = (_ROOT / "data" / "README.md").read_text()
  (command,) = re.findall(
    r"^    python -m pipelines.synthesize (.*)$", readme, re.M
  )
  path = tmp_path / "sample.tsv"
  done = _run(*shlex.split(command.replace("data/sample.tsv", str(path))))
  assert done.returncode == 0, done.stderr
  assert path.read_bytes() == (_ROOT / "data" / "sample.tsv").read_bytes()


def test_the_script_prints_the_best_possible_log_loss(tmp_path):
  flags = ("--days=3", "--drift=0.3", "--fresh=0.1", "--signal=0")
  output = tmp_path / "a.tsv.gz"
  done = _run("--rows=3001", f"--output={output}", *flags)
  assert done.returncode == 0, done.stderr
  # A coin of 1/4: -(1/4 ln 1/4 + 3/4 ln 3/4) = 0.5623.
  assert "3001 rows" in done.stdout
  assert "best possible log loss 0.56" in done.stdout
  assert gzip.decompress(output.read_bytes()).count(b"\n") == 3001


@pytest.mark.parametrize(
  ("flags", "message"),
  [(("--output=/no/such/a.tsv",), "/no/such/a.tsv cannot be written"),
   (("--output=a", "--click_rate=7"), "should be from 0.01 to 0.99, is 7.0")],
)  # fmt: skip
def test_a_users_mistake_is_one_line(flags, message):
  done = _run("--rows=5", *flags)
  assert done.returncode == 1
  assert message in done.stderr
  assert "Traceback" not in done.stderr
