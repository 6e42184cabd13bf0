"""A whole run as a user starts it: real processes, real clusters."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import launching
import numpy as np
import pytest

from ctr_codistill import config
from ctr_codistill import stamped
from ctr_codistill.evaluation import curves
from pipelines.supervising.supervision import Supervise

STEPS = 24
FLAGS = [
  *launching.TINY,
  f"--training.max_steps={STEPS}",
  "--training.checkpoint_every=6",
  "--training.summarize_every=3",
  "--exchange.every_steps=4",
  "--exchange.keep=100",
  "--codistill.burn_in_steps=8",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
  """The work directory and output of 2 groups with 2 workers each."""
  workdir = tmp_path_factory.mktemp("runs") / "pair"
  flags = ["--groups=2", "--workers=2", *FLAGS]
  said = launching.run(
    "launch", f"--data={data}", f"--workdir={workdir}", *flags
  )
  return workdir, said


def scalar(workdir, group, name):
  return curves.read(workdir / f"group-{group}" / "events", name)


def test_each_group_publishes_complete_snapshots(pair):
  for group in (0, 1):
    folder = pair[0] / "exchange" / f"group-{group}"
    left_out, _ = scalar(pair[0], group, "publish/skipped")
    found = stamped.numbers(folder)
    assert sorted(found + left_out) == [4, 8, 12, 16, 20, 24]
    assert found[-1] == 24
    assert stamped.verify(folder / "24")["group"] == group


def test_the_teacher_counts_after_the_burn_in(pair):
  last = []
  for group in (0, 1):
    steps, weights = scalar(pair[0], group, "teacher/weight")
    assert steps == list(range(1, STEPS + 1))
    assert set(weights[:8]) == {0.0}
    last.append(weights[-1])
  # The group that came later has had its peer's snapshots to learn from.
  assert max(last) == 1.0


def test_loss_is_the_label_term_plus_the_weighted_teacher_term(pair):
  group = max(
    range(2), key=lambda g: len(scalar(pair[0], g, "loss/teacher")[0])
  )
  loss = dict(zip(*scalar(pair[0], group, "loss")))
  label = dict(zip(*scalar(pair[0], group, "loss/label")))
  teacher = dict(zip(*scalar(pair[0], group, "loss/teacher")))
  assert teacher
  for step, value in loss.items():
    expected = label[step] + teacher.get(step, 0.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_each_step_logs_how_stale_its_teacher_is(pair):
  for group in (0, 1):
    taught, _ = scalar(pair[0], group, "loss/teacher")
    steps, staleness = scalar(pair[0], group, "teacher/staleness_steps")
    _, seconds = scalar(pair[0], group, "teacher/staleness_seconds")
    assert set(taught) <= set(steps)
    # Step s (from 1) begins after s - 1 steps; snapshots have steps 4, 8, ...
    for step, stale in zip(steps, staleness):
      assert step - 1 - stale in (4, 8, 12, 16, 20, 24)
    assert all(second >= 0 for second in seconds)


def test_groups_learn_from_predictions_that_were_left(data, tmp_path):
  flags = ["--groups=2", "--workers=2", *FLAGS]
  flags += ["--exchange.what=predictions", "--data.window_rows=256"]
  launching.run(
    "launch", f"--data={data}", f"--workdir={tmp_path / 'run'}", *flags
  )
  taught = []
  for group in (0, 1):
    root = tmp_path / "run" / "exchange" / f"group-{group}"
    assert stamped.numbers(root) == [STEPS]  # nobody asks for another
    for worker in (0, 1):
      assert list((root / "predictions" / f"worker-{worker}").glob("0-0-*"))
    _, shares = scalar(tmp_path / "run", group, "teacher/taught_share")
    steps, terms = scalar(tmp_path / "run", group, "loss/teacher")
    assert all(step > 8 and term > 0 for step, term in zip(steps, terms))
    taught.append(sum(shares))
  # In step each hears in its second half; who comes later hears all the while.
  assert max(taught) >= 6


def test_validation_is_logged_and_reported(pair):
  steps, values = scalar(pair[0], 0, "validation/log_loss")
  progress = json.loads((pair[0] / "group-0" / "progress.json").read_text())
  assert steps[-1] == STEPS
  assert progress["state"] == "done"
  np.testing.assert_allclose(
    progress["validation"]["log_loss"], values[-1], rtol=1e-6
  )


def test_both_workers_of_a_group_leave_a_log(pair):
  for index in (0, 1):
    log = pair[0] / "group-1" / f"worker-{index}.log"
    assert f"training from step 0 to {STEPS}" in log.read_text()


def test_progress_tells_steps_rate_loss_and_staleness(pair):
  assert re.search(
    r"group \d: done, step 24/24, [\d,]+ examples/s, loss 0\.\d+, "
    r"teacher \d+ steps (stale|ahead), validation log loss 0\.\d+, "
    r"taught in \d+ of 24 steps",
    pair[1],
  )


def test_a_finished_run_started_again_trains_nothing(pair, data):
  before = (pair[0] / "exchange/group-0/24/manifest.json").stat().st_mtime_ns
  flags = ["--groups=2", "--workers=2", *FLAGS]
  launching.run("launch", f"--data={data}", f"--workdir={pair[0]}", *flags)
  log = (pair[0] / "group-0" / "worker-0.log").read_text()
  assert f"training from step {STEPS} to {STEPS}" in log
  after = (pair[0] / "exchange/group-0/24/manifest.json").stat().st_mtime_ns
  assert before == after


def test_a_work_directory_of_another_experiment_is_named(pair, data):
  flags = ["--groups=2", "--workers=2", *FLAGS, "--model.hidden=16"]
  said = launching.run(
    "launch", f"--data={data}", f"--workdir={pair[0]}", *flags, status=1
  )
  assert "another experiment" in said
  assert "model.hidden: (8,) against (16,)" in said
  assert "Traceback" not in said


def long_run(data, workdir, *flags):
  flags = [*flags, *(f for f in FLAGS if "max_steps" not in f)]
  flags += ["--groups=1", "--workers=1", "--training.epochs=2000"]
  process = launching.start(
    "launch", f"--data={data}", f"--workdir={workdir}", *flags
  )
  checkpoints = workdir / "group-0" / "checkpoints"
  launching.wait_for(lambda: stamped.numbers(checkpoints), process)
  return process


@pytest.mark.parametrize(
  "number, status", [(signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_launcher_that_is_ended_takes_its_workers_along(
  data, tmp_path, number, status
):
  process = long_run(data, tmp_path / "run")
  assert launching.workers(tmp_path / "run")
  process.send_signal(number)
  process.communicate(timeout=60)
  assert process.returncode == status
  deadline = time.monotonic() + 30
  while launching.workers(tmp_path / "run"):
    assert time.monotonic() < deadline
    time.sleep(0.05)


def test_ctrl_c_leaves_a_checkpoint_at_which_the_run_goes_on(data, tmp_path):
  process = long_run(data, tmp_path / "run")
  process.send_signal(signal.SIGINT)
  launching.ended(process, status=130)
  assert not launching.workers(tmp_path / "run")
  folder = tmp_path / "run" / "group-0"
  told = json.loads((folder / "progress.json").read_text())
  assert told["state"] == "left"
  assert stamped.numbers(folder / "checkpoints")[-1] == told["step"]
  process = long_run(data, tmp_path / "run")
  log = folder / "worker-0.log"
  launching.wait_for(
    lambda: log.read_text().count("training from step") == 2, process
  )
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=60)
  starts = re.findall(r"training from step (\d+)", log.read_text())
  assert list(map(int, starts)) == [0, told["step"]]
  # A worker that was told to end before its first step is no fault.
  assert not launching.happened(tmp_path / "run", "failed")


def test_a_store_that_takes_long_at_the_end_costs_no_start(data, tmp_path):
  # The last try comes after 1 + 2 + 4 + 8 + 16 s of pauses: three times as long
  # as a worker may be silent elsewhere.
  workdir, store = tmp_path / "run", tmp_path / "store"
  store.mkdir()
  workdir.mkdir()
  (workdir / "exchange").symlink_to(store)
  process = launching.start(
    "launch",
    *(f"--data={data}", f"--workdir={workdir}", "--groups=1", "--workers=2"),
    *launching.TINY,
    *("--training.epochs=1000", "--training.max_steps=1000"),
    *("--exchange.every_steps=5000", "--supervise.heartbeat_timeout=10"),
    "--training.collective_timeout=10",
  )
  log = workdir / "group-0" / "worker-0.log"
  launching.wait_for(lambda: "training from" in said(log), process)
  store.rename(tmp_path / "away")
  launching.wait_for(lambda: "try 5 of 6" in said(log), process)
  (tmp_path / "away").rename(store)
  launching.ended(process)
  assert stamped.numbers(store / "group-0") == [1000]
  assert not launching.happened(workdir, "failed")


def said(log):
  return log.read_text() if log.exists() else ""


def test_a_worker_that_does_not_leave_in_time_is_killed(data, tmp_path):
  process = long_run(data, tmp_path / "run", "--supervise.grace=0.5")
  ((_, pid),) = launching.workers(tmp_path / "run")
  os.kill(pid, signal.SIGSTOP)
  process.terminate()
  launching.ended(process, status=143)
  assert not launching.workers(tmp_path / "run")
  (ended,) = launching.happened(tmp_path / "run", "ended")
  assert ended["cause"] == "it did not leave within 0.5 s"


def test_a_killed_worker_ends_a_run_without_restarts_and_is_named(
  data, tmp_path
):
  process = long_run(data, tmp_path / "run", "--supervise.restarts=0")
  ((_, pid),) = launching.workers(tmp_path / "run")
  os.kill(pid, signal.SIGKILL)
  said = launching.ended(process, status=1)
  assert "group 0 worker 0 was ended by SIGKILL" in said
  assert not launching.workers(tmp_path / "run")


def test_what_a_worker_finds_wrong_reaches_the_user(data, tmp_path):
  broken = tmp_path / "data"
  subprocess.run(["cp", "-r", data, broken], check=True)
  shard = broken / "train" / "shard-00000.rows"
  text = bytearray(shard.read_bytes())
  text[1000] ^= 1
  shard.write_bytes(text)
  said = launching.run(
    "launch",
    f"--data={broken}",
    f"--workdir={tmp_path / 'run'}",
    "--groups=1",
    *FLAGS,
    status=1,
  )
  assert "group 0 worker 0 ended with status 1" in said
  assert f"{shard}: block 0 should have the sum" in said
  assert "Traceback" not in said


def test_shards_of_another_schema_are_named(data, tmp_path):
  manifest = json.loads((data / "train" / "records.json").read_text())
  broken = tmp_path / "data"
  subprocess.run(["cp", "-r", data, broken], check=True)
  manifest["schema"] = "0" * 64
  (broken / "train" / "records.json").write_text(json.dumps(manifest))
  said = launching.run(
    "launch", f"--data={broken}", f"--workdir={tmp_path / 'run'}", status=1
  )
  assert "does not fit the schema" in said
  assert "0" * 64 in said
  assert "Traceback" not in said


def test_a_flag_that_breaks_its_rule_is_named(data, tmp_path):
  said = launching.run(
    "launch", f"--data={data}", f"--workdir={tmp_path}", "--workers=0", status=1
  )
  assert "experiment.workers should be at least 1, is 0" in said


def test_help_lists_a_flag_for_every_field():
  said = launching.run("launch", "--help")
  assert said.index("--data (required): ") < said.index("--groups: ")
  assert said.index("--workdir (required): ") < said.index("--groups: ")
  sections = {
    section: getattr(config.Experiment(), section)
    for section in ("data", "model", "optimizer", "training", "codistill")
  } | {"supervise": Supervise()}
  for section, value in sections.items():
    for name in vars(value):
      assert f"--{section}.{name}" in said or f"]{section}.{name}" in said


def test_all_faults_of_the_long_part_can_be_loaded(tmp_path):
  script = launching.ROOT / "tests" / "faults" / "run.py"
  if not script.exists():
    pytest.skip("tests/faults is not here, as in the sandbox of bazel")
  flags = ["--only=none of these", f"--output={tmp_path / 'report.json'}"]
  subprocess.run([sys.executable, script, *flags], check=True)
