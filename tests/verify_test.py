"""The script against runs whose manifests and hashes are written here."""

import pathlib
import subprocess
import sys

import pytest

from ctr_codistill import config
from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.training import contents
from ctr_codistill.training import manifest
from ctr_codistill.training import verifying
from ctr_codistill.training import workdir

ROOT = pathlib.Path(__file__).parents[1]
SOFTWARE = {"software": {"tensorflow": "2.16.2"}, "processor": "A"}
FIELDS = {"reproducible": True, "training": {"threads": 1}}


@pytest.fixture
def run(prepared, tmp_path):
  """A function: the directory of a run of two groups."""

  def make(name, steps=(4, 8), *, fields=FIELDS, surroundings=SOFTWARE):
    root = tmp_path / name
    experiment = config.from_dict(fields)
    root.mkdir()
    manifest.claim(root, experiment, prepared, surroundings)
    for group in range(2):
      for step in steps:
        _leave(root, group, step)
    return root

  return make


def _leave(root, group, step, altered=""):
  held = tuple(
    (name, f"{name} {step}" + "!" * (name == altered))
    for name in ("table:0", "kernel:0", "bias:0")
  )
  contents.leave(workdir.group_folder(root, group), step, held)


def test_equal_runs_are_said_to_be_equal(run):
  found = verifying.verify(run("a"), run("b"))
  assert found.status == verifying.EQUAL
  assert found.lines[0] == "equal in 4 snapshots"
  assert "they should be equal" in found.lines[1]


def test_the_first_step_and_variable_that_part_are_named(run):
  one, other = run("a"), run("b", steps=(4, 8, 12))
  _leave(other, 0, 8, altered="table:0")
  _leave(other, 1, 4, altered="kernel:0")
  found = verifying.verify(one, other)
  assert found.status == verifying.DIFFERENT
  assert found.lines[0] == (
    "differ first at step 4, group 1, variable kernel:0"
  )


def test_others_need_not_be_equal(run):
  one, other = run("a", fields={}), run("b", fields={})
  found = verifying.verify(one, other)
  assert found.status == verifying.EQUAL
  assert "they need not be equal" in found.lines[1]


@pytest.mark.parametrize(
  ("given", "said"),
  [
    (
      {"fields": FIELDS | {"model": {"name": "dcn"}}},
      "flags.model.name: 'dnn' against 'dcn'",
    ),
    ({"surroundings": {"processor": "B"}}, "processor: 'A' against 'B'"),
    ({"steps": (4,)}, "group 1 has snapshots up to step 8 in"),
  ],
)
def test_what_cannot_be_compared_is_named(run, given, said):
  found = verifying.verify(run("a"), run("b", **given))
  assert found.status == verifying.INCOMPARABLE
  assert any(said in line for line in found.lines)


@pytest.mark.parametrize("flags", [[], None, "none"])
def test_a_manifest_without_flags_need_not_be_of_equals(run, flags):
  one, other = run("a"), run("b")
  for root in (one, other):
    found = manifest.read(root)
    stamped.write_json(root / manifest.FILE, found | {"flags": flags})
  found = verifying.verify(one, other)
  assert found.status == verifying.EQUAL
  assert found.lines[-1].startswith("they need not be equal")


def test_other_data_cannot_be_compared(run):
  one, other = run("a"), run("b")
  found = manifest.read(other)
  found["data"]["train"] = "0" * 32
  stamped.write_json(other / manifest.FILE, found)
  lines = verifying.verify(one, other).lines
  assert lines[1].startswith("data.train: ") and "000" in lines[1]


def test_the_script_exits_with_the_verdict(run, tmp_path):
  one, other = run("a"), run("b")
  _leave(other, 0, 4, altered="bias:0")
  cases = {
    (one, one): (0, "equal in 4 snapshots"),
    (one, other): (1, "variable bias:0"),
    (one, tmp_path / "none"): (2, "none should be the directory of a run"),
    (one,): (2, "error: should be given the directories of two runs"),
  }
  for words, (status, said) in cases.items():
    done = subprocess.run(
      [sys.executable, "-m", "pipelines.verify", *map(str, words)],
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (
      status,
      True,
    ), done


def test_a_wrong_flag_says_nothing_of_the_runs():
  done = subprocess.run(
    [sys.executable, "-m", "pipelines.verify", "--nonsense", "a", "b"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == verifying.INCOMPARABLE
  assert "nonsense" in done.stderr


def test_a_reproducible_run_goes_on_with_what_it_was_begun(run, prepared):
  root, experiment = run("a"), config.from_dict(FIELDS)
  training = FIELDS["training"] | {"storage_timeout": 7.0}
  patient = config.from_dict(FIELDS | {"training": training})
  for same in (experiment, patient):
    manifest.claim(root, same, prepared, SOFTWARE)
  with pytest.raises(InputError, match="processor: 'A' against 'B'"):
    manifest.claim(root, experiment, prepared, SOFTWARE | {"processor": "B"})


def test_any_other_run_goes_on_with_what_it_finds(run, prepared):
  root = run("a", fields={})
  manifest.claim(root, config.Experiment(), prepared, {"processor": "B"})
  assert manifest.read(root)["processor"] == "A"
