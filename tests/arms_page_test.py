import csv
import itertools
import json
import math

import numpy as np
import pytest

from ctr_codistill.evaluation import arm_tables
from ctr_codistill.evaluation import arms_page
from ctr_codistill.evaluation import leaders


def _arm(name, loss, churn, **extra):
  return {
    "name": name,
    "repeats": 2,
    "log_loss": loss,
    "auc": 0.77,
    "normalized_entropy": 0.83,
    "calibration": 1.0,
    "churn": {"mean_absolute": churn, "relative": churn},
    **extra,
  }


def _difference(loss, churn):
  interval = {"log_loss": [loss - 0.01, loss + 0.01], "churn": [-0.4, -0.1]}
  return {
    "paired": 2,
    "log_loss": loss,
    "auc": 0.0,
    "normalized_entropy": 0.0,
    "churn": churn,
    "interval": interval,
  }


def _arms():
  return [
    _arm("single", 0.5, 0.04, difference=None, worse="", training_cost=1.0),
    _arm("mean of two", 0.49, None),
    _arm(
      "codistilled",
      0.48,
      0.03,
      difference=_difference(-0.02, -0.25),
      worse="better",
      training_cost=2.25,
      serving_cost=1.0,
      steps_to=150.0,
      steps_to_reached=1,
      interval={
        "log_loss": [0.47, 0.49],
        "churn": {"mean_absolute": [0.02, 0.04], "relative": [0.01, 0.05]},
      },
    ),
  ]


def test_report_json_has_the_names_that_others_rely_on(tmp_path):
  path = arms_page.write(
    _arms(), tmp_path / "new", title="t", best_log_loss=0.47, facts={"rows": 7}
  )
  assert path == tmp_path / "new" / "report.html"
  found = json.loads((tmp_path / "new" / "report.json").read_text())
  assert found == {"arms": _arms(), "rows": 7, "best_log_loss": 0.47}


def test_report_csv_has_a_row_an_arm_and_a_column_a_number(tmp_path):
  arms_page.write(_arms(), tmp_path, title="t")
  with (tmp_path / "report.csv").open() as file:
    single, mean, pair = csv.DictReader(file)
  assert (single["name"], single["log_loss"]) == ("single", "0.5")
  assert (mean["churn_mean_absolute"], mean["training_cost"]) == ("", "")
  wanted = {
    "log_loss": "0.48",
    "log_loss_low": "0.47",
    "log_loss_high": "0.49",
    "churn_relative": "0.03",
    "churn_relative_low": "0.01",
    "churn_relative_high": "0.05",
    "difference_log_loss": "-0.02",
    "difference_log_loss_low": "-0.03",
    "difference_churn": "-0.25",
    "difference_churn_high": "-0.1",
    "difference_paired": "2.0",
    "worse": "better",
    "steps_to_reached": "1.0",
  }
  assert {name: pair[name] for name in wanted} == wanted
  assert not {"difference", "interval"} & set(pair)


def test_churn_is_compared_with_the_first_arm():
  table = arm_tables.quality(_arms())
  assert list(table["against first"]) == ["", "–", "-25 % [-40, -10]"]
  assert list(table["churn"]) == ["0.0400", "–", "0.0300 ± 0.01"]
  assert "above best" not in table


def test_the_best_possible_log_loss_adds_a_column():
  table = arm_tables.quality(_arms(), best_log_loss=0.47)
  assert list(table["above best"]) == ["+0.03000", "+0.02000", "+0.01000"]


def test_differences_have_a_table_of_the_arms_that_have_one():
  (row,) = arm_tables.against(_arms()).to_dict("records")
  assert (row["arm"], row["pairs"]) == ("codistilled", "2")
  assert (row["log loss"], row["is it worse?"]) == ("-0.02000 ± 0.01", "better")


def test_what_was_not_reached_is_told_beside_the_steps():
  table = arm_tables.cost(_arms())
  assert list(table["steps to target"]) == ["", "", "150"]
  assert list(table["reached"]) == ["", "", "1 of 2"]
  assert list(table["training cost"]) == ["1.00", "–", "2.25"]


def test_how_much_an_arm_was_taught_is_told_of_those_that_are_to_learn():
  arms = [*_arms(), _arm("late", 0.5, 0.04, taught_steps=0.0)]
  column = arm_tables.cost(arms)["taught steps"]
  assert list(column) == ["", "", "", "0.0 %"]


def test_the_text_table_is_aligned_and_fits_a_terminal():
  arms = _arms()
  arms[2]["name"] = "codistilled four"
  lines = arm_tables.text(arms).splitlines()
  assert lines[0].startswith("arm               n        log loss  worse?")
  assert lines[2].startswith("single            2         0.50000")
  assert lines[4].startswith("codistilled four  2  0.48000 ± 0.01  better")
  assert lines[4].endswith("-25 % [-40, -10]   2.25   1.00")
  assert len(lines[0]) == len(lines[1]) == len(lines[4]) <= 100


def test_a_page_has_what_there_is(tmp_path):
  path = arms_page.write(
    _arms(), tmp_path, title="t", target=0.485, facts={"failed": {}}
  )
  text = path.read_text()
  for heading in ("Against single", "Cost and speed", "Churn against log loss"):
    assert f"<h2>{heading}</h2>" in text
  assert "reached 0.48500" in text


def test_arms_that_were_not_repeated_make_a_page_without_churn(tmp_path):
  path = arms_page.write([_arms()[1]], tmp_path, title="t")
  assert "<svg" not in path.read_text()
  assert "Cost and speed" not in path.read_text()


def test_intervals_are_bars_of_the_picture(tmp_path):
  arms = _arms()
  with_bars = arms_page.write(arms, tmp_path / "a", title="t").read_text()
  arms[2]["interval"] = {"log_loss": [math.nan, math.nan]}
  without = arms_page.write(arms, tmp_path / "b", title="t").read_text()
  assert with_bars != without


@pytest.mark.parametrize("churn", [math.nan, None])
def test_an_undefined_change_is_a_dash(churn):
  arms = _arms()
  arms[2]["difference"]["churn"] = churn
  assert arm_tables.quality(arms)["against first"][2] == "–"


def _lines(seed):
  """The lines to labels of one to three lines, of random points."""
  rng = np.random.default_rng(seed)
  count = int(rng.integers(1, 16))
  points = rng.uniform(0.1, 0.9, (count, 2))
  if seed % 3 == 0:  # some as high as others
    points = np.round(points, 1)
  heights = rng.integers(1, 4, count) + 0.6
  places = leaders.order(points, heights, right=1.04)
  assert sorted(i for i, _ in places) == list(range(count))
  # From the top down, with each label's height between.
  assert places[0][1] == 1
  assert places[-1][1] == pytest.approx(heights[places[-1][0]] / heights.sum())
  return [(points[i], np.array([1.04, top])) for i, top in places]


def _turn(a, b, c):
  """Whether c is left (1) or right (-1) of the line from a to b, or on it."""
  (x, y), (u, v) = b - a, c - a
  return np.sign(round(x * v - y * u, 12))


def test_no_two_lines_from_points_to_their_names_cross():
  for seed in range(100):
    for (a, b), (c, d) in itertools.combinations(_lines(seed), 2):
      crosses = _turn(a, b, c) * _turn(a, b, d) < 0
      crosses &= _turn(c, d, a) * _turn(c, d, b) < 0
      assert not crosses, seed
