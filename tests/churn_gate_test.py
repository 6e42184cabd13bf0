import numpy as np
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
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
  return gate.judge(found, gate.read(path))


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


def test_slices_with_few_examples_are_not_judged(found, tmp_path):
  text = "[slices]\nexamples = 5000\ncalibration_off = 0.1"
  (one,) = _judge(found, tmp_path, text)
  assert one.holds
  assert "nothing to judge" in one.line


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
  with pytest.raises(InputError, match=r"ranks should be of none.*'tau_b'"):
    _judge(found, tmp_path, "[ranks]\ntau_b = 1")
