"""The report that `make faults` writes, with faults that are none."""

import json

import pytest
from faults import report
from faults.report import Outcome


def _fails(trial):
  raise AssertionError("it went wrong")


def _is_skipped(trial):
  raise report.Skipped("no root")


@pytest.fixture
def run(monkeypatch, tmp_path):
  """A function: tries faults; returns what came of all, report and words."""
  monkeypatch.setattr(report, "FAULTS", {})

  def call(**faults):
    report.FAULTS.update(faults)
    said, path = [], tmp_path / "runs" / "report.json"
    good = report.run(faults, path, times=3, minutes=1, say=said.append)
    found = json.loads(path.read_text()) if path.exists() else []
    return good, found, " ".join(said)

  return call


def test_each_fault_is_an_entry(run):
  good, found, _ = run(
    a=lambda trial: Outcome(trial.times, trial.times, 1.5),
    b=lambda trial: Outcome(2, 1),
  )
  assert not good
  assert found == [
    {"fault": "a", "tried": 3, "survived": 3, "lost": 1.5},
    {"fault": "b", "tried": 2, "survived": 1, "lost": 0.0},
  ]


def test_what_goes_wrong_is_not_survived_and_what_cannot_be_is_left_out(run):
  good, found, said = run(a=_fails, b=_is_skipped)
  assert not good
  assert found == [{"fault": "a", "tried": 1, "survived": 0, "lost": 0.0}]
  assert "it went wrong" in said and "b: skipped, no root" in said


def test_others_stay_in_the_report(run):
  run(a=lambda trial: Outcome(1, 1), b=lambda trial: Outcome(1, 1))
  good, found, _ = run(a=lambda trial: Outcome(9, 9))
  assert good
  assert sorted((e["fault"], e["tried"]) for e in found) == [("a", 9), ("b", 1)]


def test_two_of_a_name_are_refused(monkeypatch):
  monkeypatch.setattr(report, "FAULTS", {})
  report.fault("a")(_fails)
  with pytest.raises(ValueError, match="two faults 'a'"):
    report.fault("a")(_fails)
