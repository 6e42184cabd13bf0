"""Sums of one model's quality: they merge, and their figures are right."""

import json

import numpy as np
import pyarrow as pa
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.churn import slicing
from ctr_codistill.evaluation.predictions import Batch
from ctr_codistill.evaluation.quality import figures
from ctr_codistill.evaluation.quality import report
from ctr_codistill.evaluation.quality.sums import Scores

ROWS = 20_000


def _made(seed=0, rows=ROWS, off=0.0):
  """Calibrated predictions, but those of site "s1", too high by `off`."""
  random = np.random.RandomState(seed)
  true = random.randn(rows) - 1
  site = random.randint(0, 4, rows)
  label = random.rand(rows) < 1 / (1 + np.exp(-true))
  shown = true + off * (site == 1)
  return Batch(
    np.arange(rows) + seed * rows,
    (1 / (1 + np.exp(-shown))).astype(np.float32),
    label.astype(np.int8),
    {"site": pa.array([f"s{i}" for i in site])},
  )


def _cuts(batch):
  return slicing.survey([batch.extra], slices=10)


def test_shards_in_any_order_merge_to_the_same_sums():
  batch = _made()
  cuts = _cuts(batch)
  parts = [Scores.of(batch[a : a + 3000], cuts) for a in range(0, ROWS, 3000)]
  one, other = parts[0], parts[-1]
  for part in parts[1:]:
    one = one.merge(part)
  for part in reversed(parts[:-1]):
    other = other.merge(part)
  for name, value in one.parts.items():
    np.testing.assert_array_equal(value, other.parts[name])
  for name, value in one.counts.items():
    np.testing.assert_array_equal(value, other.counts[name])
  whole = Scores.of(batch, cuts)
  for name in whole.parts:
    np.testing.assert_allclose(one.floats(name), whole.floats(name), rtol=1e-9)


def test_the_figures_are_those_of_the_plain_formulas():
  batch = _made()
  found = figures.of(Scores.of(batch))
  p, y = batch.probability.astype(float), batch.label
  exact = metrics.auc(p, y)
  assert found.quality.log_loss == pytest.approx(
    metrics.log_losses(p, y).mean()
  )
  assert abs(found.quality.auc - exact) <= found.quality.auc_error < 1e-3
  assert found.measures["calibration"].value == pytest.approx(p.sum() / y.sum())
  low, high = found.measures["log_loss"].interval_examples
  error = metrics.log_losses(p, y).std() / np.sqrt(ROWS)
  # The bootstrap's width is known to about 4 % of itself.
  assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.2)
  assert low < found.quality.log_loss < high


def test_deciles_are_tenths_whose_sums_are_the_whole():
  batch = _made()
  found = figures.of(Scores.of(batch)).deciles
  assert len(found) == 10
  assert sum(one.examples for one in found) == ROWS
  for one in found:
    assert one.examples == pytest.approx(ROWS / 10, rel=0.15)
    inside = (batch.probability >= one.low) & (batch.probability < one.high)
    assert inside.sum() == pytest.approx(one.examples, abs=2)
    assert one.clicked == pytest.approx(batch.label[inside].mean(), abs=1e-3)
    low, high = one.calibration.interval_examples
    assert low < 1.1 and high > 0.9 and low < one.calibration.value < high


def test_deciles_of_rare_clicks_are_tenths_too():
  # About one click in 10,000.
  logits = np.random.RandomState(0).randn(ROWS) - 9.2
  p = (1 / (1 + np.exp(-logits))).astype(np.float32)
  batch = Batch(np.arange(ROWS), p, np.zeros(ROWS, np.int8))
  found = figures.of(Scores.of(batch)).deciles
  assert len(found) == 10
  for one in found:
    assert one.examples == pytest.approx(ROWS / 10, rel=0.15)
    assert one.low <= one.predicted <= one.high


def test_equal_predictions_are_one_group_and_no_click_has_no_calibration():
  rows = np.arange(50)
  batch = Batch(rows, np.full(50, 0.2), np.zeros(50, np.int8))
  found = figures.of(Scores.of(batch))
  (one,) = found.deciles
  assert one.examples == 50
  assert one.clicked == 0 and np.isnan(one.calibration.value)
  assert np.isnan(found.measures["calibration"].value)


def test_the_slice_that_is_off_is_marked_and_no_other():
  batch = _made(off=0.7)
  found = figures.of(Scores.of(batch, _cuts(batch)), _cuts(batch)).slices
  assert {one.name for one in found} == {"s0", "s1", "s2", "s3"}
  assert [one.name for one in found if one.miscalibrated] == ["s1"]
  (bad,) = (one for one in found if one.name == "s1")
  at = np.array(batch.extra["site"].to_pylist()) == "s1"
  assert bad.measures["calibration"].value == pytest.approx(
    batch.probability[at].sum() / batch.label[at].sum(), rel=1e-6
  )


def test_the_report_is_one_page_of_all_runs_and_json(tmp_path):
  runs = {}
  for name, off in (("old", 0.0), ("new", 0.7)):
    (tmp_path / name).mkdir()
    for seed in (0, 1):
      batch = _made(seed, off=off)
      predictions.write(tmp_path / name / f"part-{seed}.parquet", [batch])
    runs[name] = tmp_path / name
  found = report.of(runs, ["site"])
  path = report.write(found, tmp_path / "out")
  text = path.read_text()
  assert "site = s1" in text and "<svg" in text
  assert "http" not in text.replace("http://www.w3.org", "")
  value = json.loads((tmp_path / "out" / "quality.json").read_text())["runs"]
  assert value["old"]["examples"] == 2 * ROWS
  assert len(value["new"]["deciles"]) == 10
  assert [s["name"] for s in value["new"]["slices"] if s["miscalibrated"]] == [
    "s1"
  ]
  assert not any(s["miscalibrated"] for s in value["old"]["slices"])
  assert value["old"]["log_loss"] < value["new"]["log_loss"]
  lines = report.text(found).splitlines()
  assert lines[0].split() == ["measure", "snapshot", "value", "95", "%"]
  assert [line.split()[-5:-3] for line in lines[2:]] == [
    [run, f"{value[run][measure]:{form}}"]
    for measure, form in (
      *(("log_loss", ".5f"), ("normalized_entropy", ".4f")),
      *(("auc", ".4f"), ("calibration", ".3f")),
    )
    for run in ("old", "new")
  ]
  assert max(map(len, lines)) < 60


def test_predictions_without_labels_cannot_be_judged(tmp_path):
  path = tmp_path / "a.parquet"
  predictions.write(path, [Batch(np.arange(3), np.full(3, 0.5))])
  with pytest.raises(InputError, match="should have labels"):
    report.of({"a": path})
