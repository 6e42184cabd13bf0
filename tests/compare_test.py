"""A comparison end to end: tiny models really trained, scored, reported."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.evaluation import predictions

ROOT = pathlib.Path(__file__).parents[1]
ARMS = """
[experiment]
groups = 1
[experiment.model]
hidden = [8]
embedding_dim = 2
[experiment.training]
batch_size = 64
max_steps = 12
threads = 1
average_decay = 0.5
average_every = 4
[experiment.exchange]
every_steps = 4
[[arm]]
name = "single"
repeats = 4
[[arm]]
name = "mean of two"
repeats = 2
mean_of = "single"
[[arm]]
name = "codistilled"
repeats = 2
[arm.experiment]
groups = 2
[arm.experiment.codistill]
burn_in_steps = 2
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
  """The folder of a comparison: arms.toml, data/, truth.parquet, out/."""
  folder = tmp_path_factory.mktemp("compare")
  click_file.write(
    synthetic.Spec(),
    folder / "clicks.tsv",
    stop=3000,
    truth=folder / "truth.parquet",
  )
  preparation.prepare(
    str(folder / "clicks.tsv"),
    folder / "data",
    preparation.Options(),
    clock=time.monotonic,
  )
  (folder / "arms.toml").write_text(ARMS)
  return folder, compare(folder)


def compare(folder):
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "pipelines.compare",
      f"--arms={folder / 'arms.toml'}",
      f"--data={folder / 'data'}",
      f"--output={folder / 'out'}",
      f"--truth={folder / 'truth.parquet'}",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def read(folder, name):
  return predictions.read(folder / "out" / "predictions" / f"{name}.parquet")


def test_the_report_has_quality_and_churn_of_each_arm(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  names = [arm["name"] for arm in report["arms"]]
  assert names == ["single", "mean of two", "codistilled"]
  assert [arm["repeats"] for arm in report["arms"]] == [4, 2, 2]
  for arm in report["arms"]:
    for measure in ("log_loss", "auc", "normalized_entropy", "calibration"):
      assert arm[measure] > 0
    assert arm["churn"]["mean_absolute"] > 0
    assert arm["churn"]["relative"] > 0
  assert (compared[0] / "out" / "report.html").stat().st_size > 10_000


def test_churn_is_the_mean_difference_between_independent_repeats(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  pair = [
    read(compared[0], f"codistilled-{r}").probability.astype(np.float64)
    for r in (0, 1)
  ]
  np.testing.assert_allclose(
    report["arms"][2]["churn"]["mean_absolute"],
    np.abs(pair[0] - pair[1]).mean(),
    rtol=1e-6,
  )


def test_the_mean_of_two_averages_different_singles(compared):
  for repeat, members in ((0, (0, 1)), (1, (2, 3))):
    singles = [read(compared[0], f"single-{m}").probability for m in members]
    np.testing.assert_allclose(
      read(compared[0], f"mean-of-two-{repeat}").probability,
      np.mean(singles, axis=0),
      atol=1e-7,
    )


def test_the_best_possible_log_loss_is_that_of_the_validation_rows(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  rows = synthetic.rows(synthetic.Spec(), 2571, 3000)  # the last 3000 / 7
  p, y = rows.probabilities, rows.labels
  losses = -np.where(y, np.log(p), np.log1p(-p))
  np.testing.assert_allclose(report["best_log_loss"], losses.mean(), rtol=1e-6)


def test_finished_trainings_are_not_run_again(compared):
  (compared[0] / "out" / "report.json").unlink()
  said = compare(compared[0])
  assert "0 of 6 trainings to do" in said
  assert (compared[0] / "out" / "report.json").exists()


def test_the_table_ends_with_the_path_of_the_page(compared):
  lines = compared[1].strip().splitlines()
  assert "6 of 6 trainings to do" in lines[0]
  assert lines[-1] == str(compared[0] / "out" / "report.html")
  assert any(line.startswith("codistilled") for line in lines)
