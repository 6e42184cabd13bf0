import json
import math

import numpy as np
import pytest

from ctr_codistill.evaluation import report
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import report as churn_report
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.metrics import Quality

_LABEL = np.array([0, 0, 1, 1])
_RUNS = np.array([[0.1, 0.4, 0.4, 0.8], [0.1, 0.2, 0.4, 0.9]])


def _comparison(probability=_RUNS, label=_LABEL):
  qualities = None
  if label is not None:
    qualities = tuple(Quality.of(row, label) for row in probability)
  names = tuple(f"run-{i}" for i in range(len(probability)))
  return Comparison(names, Churn.of(probability), qualities)


def test_an_arm_averages_the_quality_of_its_repeats():
  comparison = _comparison()
  one, other = comparison.qualities
  arm = report.arm("single", (one, other), comparison.churn, seconds=3)
  assert arm["name"] == "single"
  assert arm["repeats"] == 2
  assert arm["log_loss"] == pytest.approx((one.log_loss + other.log_loss) / 2)
  # 3.5 of 4 pairs, and 4 of 4.
  assert arm["auc"] == pytest.approx((3.5 + 4) / 8)
  # (0.2 + 0.1) / 4, and 2 (0.2 / 0.6 + 0.1 / 1.7) / 4
  relative = (0.4 / 0.6 + 0.2 / 1.7) / 4
  wanted = {"mean_absolute": 0.075, "relative": relative}
  assert arm["churn"] == pytest.approx(wanted)
  assert arm["seconds"] == 3


def test_an_arm_without_repeats_has_no_churn():
  arm = report.arm("mean of two", _comparison().qualities[:1], None)
  assert arm["churn"] == {"mean_absolute": None, "relative": None}


def test_refreshed_data_count_pairs_of_an_even_and_an_odd_repeat():
  # Constant predictions: |p - q| is the distance of two runs.
  runs = np.array([[0.1], [0.2], [0.4], [0.8]]) * np.ones(4)
  qualities = [Quality.of(row, _LABEL) for row in runs]
  arm = report.arm("a", qualities, Churn.of(runs), is_refreshed=True)
  # 01: 0.1, 03: 0.7, 12: 0.2, 23: 0.4; not 02: 0.3 and 13: 0.6.
  assert arm["churn"]["mean_absolute"] == pytest.approx(1.4 / 4)
  low, high = arm["interval"]["churn"]["mean_absolute"]
  assert low < 0.35 < high
  all_pairs = report.arm("a", qualities, Churn.of(runs))
  assert all_pairs["churn"]["mean_absolute"] == pytest.approx(2.3 / 6)


def test_further_measures_are_averaged_and_have_an_interval():
  comparison = _comparison()
  measures = {"steps_to": [10.0, 20.0], "examples_per_second": []}
  arm = report.arm(
    "a", comparison.qualities, comparison.churn, measures=measures
  )
  assert arm["steps_to"] == 15
  # s = 7.0711, s / sqrt 2 = 5; t_1 = 12.7062
  assert arm["interval"]["steps_to"] == pytest.approx((-48.53, 78.53), abs=0.01)
  assert math.isnan(arm["examples_per_second"])


def test_churn_json_holds_the_measures_by_name(tmp_path):
  churn_report.write(_comparison(), tmp_path)
  found = json.loads((tmp_path / "churn.json").read_text())
  assert found["mean_absolute"] == pytest.approx(0.075)
  assert (found["examples"], found["runs"], found["pairs"]) == (4, 2, 1)
  assert found["equal"] == 0.5
  # Only 0.5 is asked for, and no prediction crosses it.
  assert found["flips"] == {"0.5": 0.0}
  (pair,) = found["by_pair"]
  assert (pair["first"], pair["second"]) == ("run-0", "run-1")
  # (0 + 0.2 + 0 - 0.1) / 4
  assert pair["shift"] == pytest.approx(0.025)
  assert [run["auc"] for run in found["by_run"]] == [3.5 / 4, 1.0]
  assert sum(g["examples"] for g in found["by_probability"]) == 4


def test_what_is_undefined_is_null_in_json(tmp_path):
  label = np.zeros(4, int)  # one class: no AUC
  churn_report.write(_comparison(label=label), tmp_path)
  text = (tmp_path / "churn.json").read_text()
  assert json.loads(text)["by_run"][0]["auc"] is None
  assert "NaN" not in text


def test_without_labels_the_page_says_so(tmp_path):
  comparison = _comparison(label=None)
  path = churn_report.write(comparison, tmp_path)
  assert "no labels" in path.read_text()
  assert "log loss" not in churn_report.text(comparison)


def test_equal_runs_make_a_page_without_pictures(tmp_path):
  path = churn_report.write(_comparison(_RUNS[[0, 0]]), tmp_path)
  assert "100.0 %" in path.read_text()
  assert "<svg" not in path.read_text()


def test_differences_too_small_for_the_histogram_make_a_page(tmp_path):
  comparison = _comparison(_RUNS[[0, 0]] + [[0.0], [1e-9]])
  path = churn_report.write(comparison, tmp_path)
  assert path.read_text().count("<svg") == 2


def test_groups_by_probability_have_about_equal_numbers(tmp_path):
  rng = np.random.default_rng(0)
  logits = rng.normal(-1, 1, 10_000)
  noisy = logits + 0.1 * rng.normal(size=(2, 10_000))
  comparison = _comparison(1 / (1 + np.exp(-noisy)), label=None)
  groups = churn_report.facts(comparison)["by_probability"]
  assert len(groups) == 10
  assert all(400 < group["examples"] < 1600 for group in groups)
  probability = [group["probability"] for group in groups]
  assert probability == sorted(probability)
  total = sum(g["examples"] * g["mean_absolute"] for g in groups) / 10_000
  assert total == pytest.approx(comparison.churn.mean_absolute)


def test_the_same_numbers_give_the_same_bytes(tmp_path):
  one = churn_report.write(_comparison(), tmp_path / "one")
  other = churn_report.write(_comparison(), tmp_path / "other")
  assert one.read_bytes() == other.read_bytes()


def test_plain_turns_numpy_into_json():
  value = {"a": np.float64(1.5), 2: (np.arange(2), math.nan)}
  assert report.plain(value) == {"a": 1.5, "2": [[0, 1], None]}


def test_numbers_beside_each_other_are_of_one_notation():
  form = report.alike("#.3g", 0.000633, 9.1e-05, math.nan)
  assert [report.number(v, form) for v in (0.000633, 9.1e-05)] == [
    "6.33e-04",
    "9.10e-05",
  ]
  assert report.alike("+#.2g", -0.002, 0.0012) == "+#.2g"
  assert report.alike("+#.2g", -0.002, 1e-9) == "+.1e"
  assert report.alike("%", 1e-9) == "%"
