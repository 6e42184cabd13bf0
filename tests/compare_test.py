"""A comparison end to end: tiny models really trained, scored, reported."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from ctr_codistill import snapshots
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
[[arm]]
name = "merged"
repeats = 2
weights_of = "codistilled"
"""


SEARCHED = """
target = {arm = "single"}
[experiment]
groups = 1
model = {hidden = [8], embedding_dim = 2}
training = {batch_size = 64, max_steps = 6, threads = 1, evaluate_every = 2}
exchange = {every_steps = 3}
codistill = {burn_in_steps = 2}
[search]
arm = "single"
holdout = 0.2
repeats = 1
grid = {"optimizer.learning_rate" = [1e-9, 0.02]}
[[arm]]
name = "single"
refresh = 0.25
[[arm]]
name = "broken"
experiment.model.name = "nowhere.models:make"
[[arm]]
name = "taught by broken"
teachers_of = "broken"
"""
TAUGHT = """
[[arm]]
name = "taught"
teachers_of = "single"
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
  return folder, compare(folder, f"--truth={folder / 'truth.parquet'}")


def compare(folder, *flags, arms="arms.toml", output="out", status=0):
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "pipelines.compare",
      f"--arms={folder / arms}",
      f"--data={folder / 'data'}",
      f"--output={folder / output}",
      *flags,
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == status, done.stderr
  return done.stdout + done.stderr


def read(folder, name):
  return predictions.read(folder / "out" / "predictions" / f"{name}.parquet")


def test_the_report_has_quality_and_churn_of_each_arm(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  names = [arm["name"] for arm in report["arms"]]
  assert names == ["single", "mean of two", "codistilled", "merged"]
  assert [arm["repeats"] for arm in report["arms"]] == [4, 2, 2, 2]
  for arm in report["arms"]:
    for measure in ("log_loss", "auc", "normalized_entropy", "calibration"):
      assert arm[measure] > 0
    assert arm["churn"]["mean_absolute"] > 0
    assert arm["churn"]["relative"] > 0
  assert (compared[0] / "out" / "report.html").stat().st_size > 10_000


def test_what_arms_cost_is_told_relative_to_the_single(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  single, mean, pair, merged = report["arms"]
  assert (single["training_cost"], single["serving_cost"]) == (1, 1)
  assert (mean["training_cost"], mean["serving_cost"]) == (2, 2)
  # Twice three passes, and a quarter of the rows of 10 of 12 steps asked about.
  cost = 2 * (3 + 0.25 * 10 / 12) / 3
  assert pair["training_cost"] == pytest.approx(cost)
  assert pair["serving_cost"] == 1
  # One model of the mean weights of two groups that were trained anyway.
  assert merged["training_cost"] == pair["training_cost"]
  assert merged["serving_cost"] == 1
  assert single["interval"]["training_cost"] == [1, 1]
  assert "examples_per_second" not in mean
  assert pair["examples_per_second"] > 0
  # Taught at most in the 10 steps after the burn-in, if the peer was in time.
  assert 0 <= pair["taught_steps"] <= 10 / 12
  assert not {"taught_steps"} & {*single, *mean}


def test_differences_are_to_the_first_arm(compared):
  report = json.loads((compared[0] / "out" / "report.json").read_text())
  single, _, pair, _ = report["arms"]
  assert single["difference"] is None
  difference = pair["difference"]
  assert difference["paired"] == 0  # two repeats are too few
  moved = pair["log_loss"] - single["log_loss"]
  assert difference["log_loss"] == pytest.approx(moved)
  ratio = pair["churn"]["mean_absolute"] / single["churn"]["mean_absolute"]
  assert difference["churn"] == pytest.approx(ratio - 1)
  assert pair["worse"] in ("worse", "better", "not shown")
  lines = (compared[0] / "out" / "report.csv").read_text().splitlines()
  assert [line.split(",")[0] for line in lines] == [
    "name",
    "single",
    "mean of two",
    "codistilled",
    "merged",
  ]


def test_a_merged_arm_serves_the_mean_of_the_weights(compared):
  run = compared[0] / "out" / "runs" / "codistilled-0"
  groups = [run / "exchange" / f"group-{g}" / "12" for g in (0, 1)]
  merged, one, other = map(snapshots.read, (run / "merged", *groups))
  pairs = zip(one.tensors, other.tensors)
  for tensor, (a, b) in zip(merged.tensors, pairs, strict=True):
    np.testing.assert_allclose(tensor, (a.numpy() + b.numpy()) / 2, rtol=1e-6)
  assert len(read(compared[0], "merged-0")) == len(
    read(compared[0], "codistilled-0")
  )


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
  truth = compared[0] / "truth.parquet"
  said = compare(compared[0], f"--truth={truth}")
  assert "0 of 6 trainings to do" in said
  assert (compared[0] / "out" / "report.json").exists()


def test_the_table_ends_with_the_path_of_the_page(compared):
  lines = compared[1].strip().splitlines()
  assert "6 of 6 trainings to do" in lines[0]
  assert str(compared[0] / "out" / "report.html") in lines
  assert any(line.startswith("codistilled") for line in lines)


@pytest.fixture(scope="module")
def searched(compared):
  """The folder of a comparison with a search and an arm that fails."""
  folder = compared[0]
  (folder / "searched.toml").write_text(SEARCHED + TAUGHT)
  said = compare(folder, arms="searched.toml", output="searched", status=1)
  report = json.loads((folder / "searched" / "report.json").read_text())
  return folder / "searched", said, report


def test_a_failed_arm_is_named_and_the_others_reported(searched):
  _, said, report = searched
  assert "error: broken-0 failed: group 0 worker 0 ended with status 1" in said
  assert report["arms"][0]["name"] == "single"
  assert "broken" not in [arm["name"] for arm in report["arms"]]
  assert set(report["failed"]) == {
    "broken-0",
    "broken-1",
    "taught-by-broken-0",
    "taught-by-broken-1",
  }
  assert report["failed"]["taught-by-broken-1"] == (
    "its teacher broken-1 failed"
  )


def test_the_search_chooses_and_the_arms_are_trained_with_it(searched):
  output, _, report = searched
  search = report["search"]
  assert search["chosen"] == {"optimizer.learning_rate": 0.02}
  losses = [point["log_loss"] for point in search["points"]]
  assert losses[1] < losses[0]
  assert search["at_an_end"] == ["optimizer.learning_rate"]
  run = json.loads((output / "runs" / "single-0/experiment.json").read_text())
  assert run["experiment"]["optimizer"]["learning_rate"] == 0.02


def test_nothing_of_the_search_has_seen_the_rows_of_the_report(searched):
  output, _, _ = searched
  (view,) = (output / "views").glob("holdout-*")
  summary = json.loads((view / "prepare.json").read_text())
  # 3,000 rows, 2,571 to train; the last fifth of them judges.
  assert (summary["rows_train"], summary["rows_validation"]) == (2057, 514)
  name = "optimizer.learning_rate=0.02-0"
  path = output / "search" / "predictions" / f"{name}.parquet"
  assert predictions.count(path) == 514


def test_every_second_repeat_has_fewer_rows(searched):
  output, _, _ = searched
  rows = [
    json.loads((output / "runs" / f"single-{r}/experiment.json").read_text())
    for r in (0, 1)
  ]
  assert [run["data"]["rows"] for run in rows] == [1928, 2571]
  # All are measured on the same rows.
  for repeat in (0, 1):
    path = output / "predictions" / f"single-{repeat}.parquet"
    assert predictions.count(path) == 429


def test_steps_to_the_target_are_those_of_the_repeats_that_reached_it(searched):
  _, _, report = searched
  single = report["arms"][0]
  assert report["target"] > 0
  # The mean of the two final losses: one at least is not above it.
  assert single["steps_to_reached"] in (1, 2)
  assert 0 < single["steps_to"] <= 6


def test_an_arm_is_taught_by_repeats_of_another(searched):
  output, _, report = searched
  taught = next(arm for arm in report["arms"] if arm["name"] == "taught")
  run = json.loads((output / "runs" / "taught-1/experiment.json").read_text())
  (teacher,) = run["experiment"]["codistill"]["teachers"]
  assert teacher == str(output / "runs/single-1/exchange/group-0/6")
  # Three passes each, and a quarter of 4 of 6 steps' rows asked about.
  cost = (3 + 3 + 0.25 * 4 / 6) / 3
  assert taught["training_cost"] == pytest.approx(cost)
