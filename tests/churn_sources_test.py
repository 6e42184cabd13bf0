"""What each source varies, what it adds, and the script from end to end."""

import json
import pathlib
import subprocess
import sys

import pytest

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import sources as measures
from ctr_codistill.evaluation import sources_page
from pipelines.comparison import sources

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = [
  "--repeats=2",
  "--sources=initial weights,all",
  "--model.hidden=4",
  "--model.embedding_dim=2",
  "--training.batch_size=16",
  "--training.max_steps=4",
  "--exchange.every_steps=2",
]
CHANGES = {
  "nothing": [],
  "threads": ["training.threads: 1 against 2"],
  "oneDNN": [],
  "workers": ["workers: 1 against 2"],
  "initial weights": ["training.weights_seed: 6 against 7"],
  "order of data": ["training.seed: 6 against 7"],
  "data refresh": [],
  "all": [
    "workers: 1 against 2",
    "training.seed: 6 against 7",
    "training.weights_seed: 6 against 7",
    "training.threads: 1 against 2",
  ],
  "nothing (pair)": [],
  "teacher timing (pair)": ["exchange.delay_steps: 0 against 100"],
  "all (pair)": [
    "workers: 1 against 2",
    "training.seed: 6 against 7",
    "training.threads: 1 against 2",
    "exchange.delay_steps: 0 against 100",
  ],
}


def test_a_source_changes_what_it_says_and_nothing_else():
  assert list(CHANGES) == [source.label for source in sources.SOURCES]
  for source in sources.SOURCES:
    base = sources.base(config.Experiment(), source.of, 3)
    found = source.change(base)
    assert (
      config.differences(base.experiment, found.experiment)
      == CHANGES[source.label]
    )
    everything = source.name == sources.ALL
    assert (not found.onednn) == (everything or source.name == "oneDNN")
    assert found.is_shortened == (everything or source.name == "data refresh")


def test_repeats_have_no_seed_in_common():
  found = [
    setting.experiment.training
    for repeat in range(3)
    for base in [sources.base(config.Experiment(), "single", repeat)]
    for setting in (base, sources.SOURCES[7].change(base))
  ]
  assert len({one.seed for one in found}) == 6
  assert len({one.weights_seed for one in found}) == 6


def test_what_is_chosen_has_its_control():
  labels = [s.label for s in sources.chosen(["teacher timing (pair)"])]
  assert labels == ["nothing (pair)", "teacher timing (pair)"]
  with pytest.raises(InputError, match="is 'moon'"):
    sources.chosen(["moon"])


def _repeat(absolute, rms):
  return dict.fromkeys(measures.MEASURES, 0.0) | {
    "mean_absolute": absolute,
    "rms_logit": rms,
  }


def _entry(**given):
  values = {"of": "single", "varied": "v", "whole": None} | given
  return measures.entry(
    "threads", [_repeat(0.01, 0.1), _repeat(0.03, 0.3)], **values
  )


def test_a_share_is_a_ratio_of_means_over_the_same_repeats():
  found = _entry(whole=[_repeat(0.04, 0.4), _repeat(0.04, 0.4)])
  assert found["mean_absolute"] == pytest.approx(0.02)
  assert found["share"] == pytest.approx(0.5)
  # (0.01 + 0.09) / (0.16 + 0.16)
  assert found["square_share"] == pytest.approx(0.3125)
  # t of one degree 12.706; sd of 0.01, 0.03 over the root of 2 is 0.01.
  low, high = found["interval"]["mean_absolute"]
  assert (high - low) / 2 == pytest.approx(0.12706, rel=1e-4)


def test_without_all_a_source_has_no_share(tmp_path):
  path = sources_page.write([_entry()], tmp_path, text="t", facts={})
  assert "<svg" in path.read_text()
  (found,) = json.loads((tmp_path / "sources.json").read_text())["sources"]
  assert found["share"] is None


def _run(data, output, *flags):
  return subprocess.run(
    [
      sys.executable,
      "-m",
      "pipelines.churn_sources",
      f"--data={data}",
      f"--output={output}",
      *FLAGS,
      *flags,
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=280,
  )


@pytest.fixture(scope="module")
def output(prepared, tmp_path_factory):
  """The folder of a finished study."""
  folder = tmp_path_factory.mktemp("sources") / "out"
  done = _run(prepared, folder)
  assert done.returncode == 0, done.stderr
  assert "initial weights" in done.stdout
  return folder


def test_nothing_adds_nothing_and_weights_do(output):
  found = json.loads((output / "sources.json").read_text())["sources"]
  nothing, weights, whole = found
  assert (nothing["mean_absolute"], nothing["equal"]) == (0, 1)
  assert weights["mean_absolute"] > 0
  assert weights["share"] == pytest.approx(
    weights["mean_absolute"] / whole["mean_absolute"]
  )
  manifest = output / "runs" / "single-all-0" / "manifest.json"
  assert json.loads(manifest.read_text())["onednn"] == "0"


def test_runs_that_should_be_equal_and_are_not_end_it(output, prepared):
  # What is finished is not run again, so this alone is seen.
  (path,) = (output / "runs/single-nothing-1/group-0/contents").glob("4.json")
  kept = path.read_text()
  held = json.loads(kept)
  held[0][1] = "0" * 64
  path.write_text(json.dumps(held))
  done = _run(prepared, output)
  path.write_text(kept)
  assert done.returncode == 1
  assert "0 of 4 trainings to do" in done.stdout
  assert f"step 4, group 0, variable {held[0][0]}" in done.stderr


def test_the_help_shows_what_its_preset_says(tmp_path):
  done = _run(tmp_path, tmp_path, "--help")
  _, _, text = done.stdout.partition("--codistill.burn_in_share")
  assert "(default: '0.5')" in text.partition("--codistill.burn_in_steps")[0]


def test_a_flag_that_is_varied_is_refused(prepared, tmp_path):
  done = _run(prepared, tmp_path / "out", "--training.threads=4")
  assert done.returncode == 1
  assert (
    "--training.threads is set by churn_sources itself: leave it out"
    in done.stderr
  )
