import numpy as np
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import limitable
from ctr_codistill.evaluation.churn import ranks
from ctr_codistill.evaluation.churn import verdict
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.comparison import Comparison


@pytest.fixture(scope="module")
def found():
  """Three runs of 4,000 examples; slice b is predicted too high."""
  rng = np.random.default_rng(0)
  code = np.arange(4000) % 2
  truth = rng.normal(-1, 1, 4000)
  logit = truth + 0.5 * code + 0.1 * rng.normal(size=(3, 4000))
  label = (rng.random(4000) < 1 / (1 + np.exp(-truth))).astype(int)
  cut = Slicing("site", values=("a", "b"))
  churn = Churn.of(
    1 / (1 + np.exp(-logit)),
    label=label,
    codes={"site": code},
    slices={"site": len(cut.names)},
  )
  names = ("first", "second", "third")
  return facts.find(Comparison(names, churn, churn.qualities, (cut,)))


def _judge(found, tmp_path, text):
  path = tmp_path / "limits.toml"
  path.write_text(text)
  return gate.judge(found, gate.read(path)).verdicts


def test_a_limit_holds_or_is_broken_by_the_value(found, tmp_path):
  value = found.measures["mean_absolute"].value
  for most, holds in ((value * 1.01, True), (value * 0.99, False)):
    (one,) = _judge(found, tmp_path, f"[measures]\nmean_absolute = {most}")
    assert one.holds == holds
    assert f"{value:.4g}, should be at most {most:g}" in one.line


def test_least_and_most_and_dotted_names(found, tmp_path):
  text = (
    '[measures]\nequal = {least = 0.5}\n"flips.0.5" = {most = 1, least = 0}'
  )
  equal, flips = _judge(found, tmp_path, text)
  assert (equal.holds, flips.holds) == (False, True)
  assert "at least 0.5" in equal.line


def test_the_worst_slice_is_named(found, tmp_path):
  (one,) = _judge(found, tmp_path, "[slices]\ncalibration_off = 0.1")
  assert not one.holds
  assert "in site = b" in one.line
  assert "1 of 2 beyond" in one.line


def test_a_limit_that_nothing_was_held_against_does_not_hold(found, tmp_path):
  text = "[slices]\nexamples = 5000\ncalibration_off = 0.1"
  (one,) = _judge(found, tmp_path, text)
  assert (one.holds, one.judged, one.outcome) == (False, 0, "not judged")
  # 4,000 examples in two slices
  said = "nothing to judge, no slice has 5,000 examples, the largest has 2,000"
  assert one.line == f"NOT JUDGED slices.calibration_off: {said}"
  (one,) = _judge(found, tmp_path, f"{text}\nmay_be_none = true")
  assert (one.holds, one.outcome) == (True, "not judged")
  assert one.line == f"ok      slices.calibration_off: {said}"


@pytest.mark.parametrize("examples", ["inf", "-1"])
def test_examples_of_a_slice_are_a_number_of_them(tmp_path, examples):
  path = tmp_path / "limits.toml"
  path.write_text(f"[slices]\nexamples = {examples}\nlog_loss = 1")
  with pytest.raises(InputError, match=f"slices.examples is {examples}"):
    gate.read(path)


def test_a_slice_without_clicks_has_no_calibration_to_judge(tmp_path):
  label = np.repeat([0, 1], 2000)
  logit = 0.1 * np.random.RandomState(0).normal(size=(2, 4000))
  cut = Slicing("clicked", values=("no", "yes"))
  churn = Churn.of(
    1 / (1 + np.exp(-logit)),
    label=label,
    codes={"clicked": label},
    slices={"clicked": len(cut.names)},
  )
  found = facts.find(Comparison(("a", "b"), churn, churn.qualities, (cut,)))
  (one,) = _judge(found, tmp_path, "[slices]\ncalibration_off = 9")
  assert (one.holds, one.judged, one.worst.place) == (True, 1, "clicked = yes")


def test_the_whole_is_counted(found, tmp_path):
  path = tmp_path / "limits.toml"
  path.write_text(
    "[measures]\nmean_absolute = 1\nequal = {least = 0.5}\n"
    "[slices]\nexamples = 5000\nlog_loss = 1"
  )
  outcome = gate.judge(found, gate.read(path))
  assert (outcome.holds, outcome.word) == (False, "refused")
  assert outcome.counted == "of 3 limits 1 broken, 1 not judged, 1 kept"


def test_a_verdict_is_data(found, tmp_path):
  path = tmp_path / "limits.toml"
  path.write_text(
    "[slices]\ncalibration_off = 0.1\n[worse]\nlog_loss = -1\n"
    "[measures]\nmaximum = {least = 0, most = 1}"
  )
  outcome = gate.judge(found, gate.read(path))
  value = report.plain(outcome.to_dict())
  assert (value["judge"], value["holds"]) == ("value", False)
  cut, worse, largest = value["verdicts"]
  (b,) = (one for one in found.slices if one.name == "b")
  off = b.measures["calibration"].value - 1
  low, high = b.measures["calibration"].interval_examples
  assert cut == {
    "section": "slices",
    "measure": "calibration_off",
    "most": 0.1,
    "least": None,
    "holds": False,
    "outcome": "broken",
    "judged": 2,
    "beyond": 1,
    "value": pytest.approx(off),
    "interval": pytest.approx([low - 1, high - 1]),
    "run": None,
    "slice": ["site", "b"],
  }
  assert worse["run"] in ("second", "third")
  assert (worse["judged"], worse["beyond"]) == (2, 2)
  # The largest of some has no interval.
  assert (largest["holds"], largest["interval"]) == (True, None)
  assert (largest["run"], largest["slice"]) == (None, None)


@pytest.mark.parametrize("labels, cuts, ranked", [
  (True, True, True), (False, True, False), (True, False, False),
])  # fmt: skip
def test_what_can_be_limited_is_known_before_anything_is_read(
  labels, cuts, ranked
):
  rng = np.random.default_rng(0)
  rows = rng.random((2, 100))
  code = np.arange(100) % 2
  cut = Slicing("site", values=("a", "b")) if cuts else None
  churn = Churn.of(
    rows,
    thresholds=(0.1, 0.5),
    label=code if labels else None,
    codes={"site": code} if cuts else None,
    slices={"site": len(cut.names)} if cuts else None,
  )
  order = ranks.of("query", [(code, rows)], tops=(1, 5)) if ranked else None
  found = facts.find(
    Comparison(("a", "b"), churn, churn.qualities, (cut,) * cuts, order)
  )
  there = limitable.expected(
    thresholds=(0.1, 0.5),
    is_labelled=labels,
    has_slices=cuts,
    tops=(1, 5) if ranked else None,
  )
  assert limitable.of(found) == there
  assert set(there["measures"]) == set(found.measures)
  assert set(there["runs"]) - {"calibration_off"} == set(found.quality)
  assert set(there["ranks"]) == set(found.rank_measures)
  own = set(found.slices[0].measures) if cuts else set()
  assert set(there["slices"]) - {"calibration_off"} == own
  # Each of them is judged: none is promised that is not there.
  every = [verdict.Limit(s, m, most=9.0) for s, ms in there.items() for m in ms]
  outcome = gate.judge(found, gate.Limits("value", tuple(every)))
  assert len(outcome.verdicts) == len(every)


def test_what_must_be_sure_breaks_sooner_and_what_must_be_surely_beyond_later(
  found, tmp_path
):
  low, high = found.measures["mean_absolute"].interval_examples
  value = found.measures["mean_absolute"].value
  for most, within, beyond in (
    ((value + high) / 2, False, True),
    ((value + low) / 2, False, True),
    (high * 1.01, True, True),
    (low * 0.99, False, False),
  ):
    for judge, holds in (("surely_within", within), ("surely_beyond", beyond)):
      text = f'judge = "{judge}"\n[measures]\nmean_absolute = {most}'
      (one,) = _judge(found, tmp_path, text)
      assert one.holds == holds, (judge, most)
      sure = (judge == "surely_within") == holds
      said = f": {'' if sure else 'not '}{judge.replace('_', ' ')}"
      assert one.line.endswith(f"at most {most:g}{said}")


def test_what_has_no_interval_is_surely_nothing(found, tmp_path):
  value = found.measures["maximum"].value
  for judge, holds in (("surely_within", False), ("surely_beyond", True)):
    text = f'judge = "{judge}"\n[measures]\nmaximum = 1'
    (one,) = _judge(found, tmp_path, text)
    assert one.holds == holds
    said = f"maximum: {value:.4g} (no interval), should be at most 1"
    assert one.line.endswith(said)


def test_a_run_worse_than_the_first_is_named(found, tmp_path):
  values = {d.run: d.value for d in found.differences if d.measure == "auc"}
  worst = min(values, key=values.get)
  (one,) = _judge(found, tmp_path, "[worse]\nauc = -1")
  assert not one.holds
  # A lower AUC is worse.
  assert f"{-values[worst]:.4g} of {found.comparison.names[worst]}" in one.line


@pytest.mark.parametrize(
  "text, message",
  [
    ("mean_absolute = 1", "has 'mean_absolute'"),
    ("[measures]\nx = 'a'", "measures.x should be a number, is 'a'"),
    ("[measures]\nx = {at = 1}", "measures.x should say most or least"),
    ("judge = 'so'\n[measures]\nx = 1", "judge should be of .* is 'so'"),
    (
      "[measures]\nx = {most = 1, least = 2}",
      "least should be at most 1, is 2",
    ),
    ("[slices]\nmay_be_none = 1\nlog_loss = 1", "may_be_none should be true"),
    ("", "should have a limit, has none"),
    ("[", "should be TOML"),
  ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, message):
  path = tmp_path / "limits.toml"
  path.write_text(text)
  with pytest.raises(InputError, match=f"(?s)limits.toml.*{message}"):
    gate.read(path)


def test_a_measure_that_is_not_there_is_refused(found, tmp_path):
  with pytest.raises(InputError, match=r"of mean_absolute.* has 'absolut'"):
    _judge(found, tmp_path, "[measures]\nabsolut = 1")
  with pytest.raises(
    InputError, match=r"\[ranks\] should be of none.*--query.*'tau_b'"
  ):
    _judge(found, tmp_path, "[ranks]\ntau_b = 1")
  with pytest.raises(InputError, match=r"\[worse\].*has 'calibration'"):
    _judge(found, tmp_path, "[worse]\ncalibration = 1")
