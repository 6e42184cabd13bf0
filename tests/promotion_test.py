"""What may take the place of a served model, and the script that decides it."""

import json
import subprocess
import sys

import pytest

from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import judging
from ctr_codistill.exporting import server_files
from ctr_codistill.exporting import versions


@pytest.fixture(scope="module")
def models(publish, prepared, tmp_path_factory):
  """Two snapshots: the better one on the rows to validate on, and the worse."""
  root = tmp_path_factory.mktemp("exchange")
  first, second = (publish(root, step, seed=step) for step in (1, 2))
  found = judging.compare(first, second, str(prepared / "validation"), root)
  one, two = (quality.log_loss for quality in found.comparison.qualities)
  return (first, second) if one < two else (second, first)


@pytest.fixture(scope="module")
def validation(prepared):
  return str(prepared / "validation")


def test_a_model_that_is_worse_is_refused_and_one_that_is_better_not(
  models, validation, tmp_path
):
  better, worse = models
  found = judging.compare(better, worse, validation, tmp_path)
  one, two = (quality.log_loss for quality in found.comparison.qualities)
  (verdict,) = judging.judge(found).verdicts
  assert not verdict.holds
  assert f"{two - one:.4g}" in verdict.line
  assert judging.judge(found, most_worse=two - one + 1e-6).holds
  turned = judging.compare(worse, better, validation, tmp_path)
  assert judging.judge(turned).holds


def test_the_same_model_is_not_worse(models, validation, tmp_path):
  copy = exports.export(models[0], tmp_path / "clicks")
  found = judging.compare(models[0], copy, validation, tmp_path)
  assert judging.judge(found).holds
  assert found.measures["maximum"].value == 0


def test_a_limit_on_churn_is_one_more(models, validation, tmp_path):
  better, worse = models
  (tmp_path / "limits.toml").write_text("[measures]\nmean_absolute = 1e-3\n")
  limits = gate.read(tmp_path / "limits.toml")
  found = judging.compare(worse, better, validation, tmp_path)
  first, second = judging.judge(found, limits).verdicts
  assert (first.holds, second.holds) == (True, False)
  assert "measures.mean_absolute" in second.line


def test_rows_without_labels_judge_nothing(models, tmp_path):
  rows = tmp_path / "rows.tsv"
  rows.write_text("1\t2\ta\tb\tc\n3\t4\ta\tb\tc\n")
  with pytest.raises(InputError, match=r"rows\.tsv should have labels"):
    judging.compare(*models, str(rows), tmp_path / "predictions")


def _run(*words):
  line = [sys.executable, "-m", "pipelines.export", *words]
  return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_script_promotes_refuses_and_goes_back(
  models, validation, own_log, tmp_path
):
  better, worse = models
  root = tmp_path / "clicks"
  common = [f"--output={root}", "--promote", f"--on={validation}", "--keep=2"]
  exports.export(better, root)

  done = _run(*common, f"--snapshot={worse}")
  assert (done.returncode, versions.numbers(root)) == (2, [1]), done.stderr
  assert "BROKEN" in done.stdout
  assert f"refused: {root / '1'} stays in place" in done.stdout

  server = f"--server_config={tmp_path / 'server'}"
  done = _run(*common, f"--snapshot={better}", server, "--most_batch=0")
  assert (done.returncode, versions.numbers(root)) == (1, [1])
  assert "most should be >= 1, is 0" in done.stderr

  rows, layout = own_log
  done = _run(
    *common,
    f"--on={rows}",
    f"--layout={layout}",
    f"--snapshot={worse}",
    "--most_worse=9",
    "--weights=bfloat16",
    server,
    "--batch_threads=64",
  )
  assert (done.returncode, versions.numbers(root)) == (0, [1, 2]), done.stderr
  config = server_files.read_models(tmp_path / "server" / "models.config")
  assert config.model_config_list.config[0].base_path == str(root)
  batching = (tmp_path / "server" / "batching.config").read_text()
  assert "num_batch_threads { value: 64 }" in batching
  report = json.loads(exports.report(root / "2").read_text())
  assert report["weights"] == "bfloat16"
  assert report["judged"]["against"] == 1
  assert report["quality"]["examples"] == 40
  assert report["warmup"]["rows"] == f"of {rows}"
  wanted = judging.compare(
    better, worse, str(rows), tmp_path, layout=layout_files.read(str(layout))
  )
  assert wanted.comparison.churn.examples == 40
  assert report["judged"]["mean_absolute"] == pytest.approx(
    wanted.measures["mean_absolute"].value, abs=0.02
  )
  low, high = report["judged"]["interval_examples"]["mean_absolute"]
  assert low < report["judged"]["mean_absolute"] < high
  card = (root / "2" / "assets.extra" / "model_card.md").read_text()
  assert "95 %, over examples |\n|---|---|---|\n| mean_absolute | 0." in card
  assert f"| {low:.6g} to {high:.6g} |" in card
  cost = report["cost"]
  assert cost["log loss"] == pytest.approx(cost["log loss of float32"], abs=0.1)
  assert 0 < cost["churn, mean absolute"] <= cost["churn, largest"] < 0.05
  assert set(cost["time of a batch, over float32"]) == {"1", "32", "1024"}

  done = _run(f"--output={root}", "--back")
  assert done.stdout.strip() == str(root / "3"), done.stderr
  report = json.loads(exports.report(root / "3").read_text())
  assert (report["weights"], report["version"]) == ("float32", 3)
  assert report["same_as"] == 1


_MANY = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from ctr_codistill.errors import InputError
from ctr_codistill.exporting import exports
from pipelines import export

def _meanwhile(snapshot, root, **given):
  real(snapshot, root)
  return real(snapshot, root, **given)

real = exports.export
for words in json.loads(sys.argv[1]):
  exports.export = _meanwhile if words[0] == "meanwhile" else real
  with flagsaver.flagsaver():
    flags.FLAGS(["export", *words[words[0] == "meanwhile":]])
    try:
      export.main()
      print("done")
    except InputError as error:
      print(error)
"""


def _run_many(*calls):
  """Runs the script's main once with each list of flags; returns what it said.

  The word "meanwhile" before them: another program publishes just before it.
  """
  line = [sys.executable, "-c", _MANY, json.dumps(calls)]
  done = subprocess.run(line, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return done.stdout.splitlines()


def test_flags_without_effect_are_refused(models, tmp_path):
  out, server = f"--output={tmp_path / 'clicks'}", f"--server_config={tmp_path}"
  common = [out, f"--snapshot={models[0]}"]
  without = "no effect without"
  wanted = {
    (out, "--back", "--keep=1"): "--keep has no effect beside --back",
    (*common, "--back"): "--snapshot has no effect beside --back",
    (out, "--back", "--version=4"): "--version has no effect beside",
    (*common, "--gate=limits.toml"): f"--gate has {without} --promote",
    (*common, "--most_worse=0"): f"--most_worse has {without} --promote",
    (*common, "--keep=3"): f"--keep has {without} --promote: leave it",
    (*common, "--layout=a.toml"): f"--layout has {without} --on or --warm",
    (*common, "--batch_threads=8"): f"--batch_threads has {without} --server",
    (*common, server, "--served_versions=specific:1,2"): "there, [1], names 2",
    (
      *(*common, server, "--promote", "--keep=1", "--served_versions=latest:2"),
    ): "latest:2 should be at most latest:1, for 1 are kept",
  }
  for (words, text), said in zip(wanted.items(), _run_many(*wanted)):
    assert text in said, words
  assert not (tmp_path / "clicks").exists()
  assert list(tmp_path.iterdir()) == []


def test_a_promotion_is_refused_where_another_came_first(models, tmp_path):
  root = tmp_path / "clicks"
  promote = [f"--output={root}", f"--snapshot={models[0]}", "--promote"]
  (said,) = _run_many(["meanwhile", *promote])
  assert "should have no version in place, as when this one was ju" in said
  assert "has version 1 by now: run again" in said
  assert versions.numbers(root) == [1]
