"""Reproducible runs, as a user starts them, that are held up, killed, alone."""

import os
import random
import signal
import time

import launching
import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.training import verifying

STEPS = 42
FLAGS = [
  "--reproducible",
  "--groups=2",
  "--workers=2",
  *launching.TINY,
  "--optimizer.name=adam",
  "--regularization.dropout=0.1",
  f"--training.max_steps={STEPS}",
  "--training.checkpoint_every=7",
  "--training.checksum_every=10",
  "--training.evaluate_every=0",
  "--training.average_decay=0.9",
  "--training.average_every=5",
  "--exchange.every_steps=4",
  "--exchange.keep=2",
  "--codistill.burn_in_steps=0",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"))


def _start(script, data, workdir, *flags):
  places = (f"--data={data}", f"--workdir={workdir}")
  return launching.start(script, *places, *FLAGS, *flags)


def _hold_up(process, workdir, drawn, until):
  """Stops workers for up to a second, one after the other, `until` it holds.

  Returns how often.
  """
  count = 0
  while process.poll() is None and not until():
    workers = launching.workers(workdir)
    if not workers:
      time.sleep(0.05)
      continue
    _, pid = drawn.choice(workers)
    try:
      os.kill(pid, signal.SIGSTOP)
      time.sleep(drawn.choice([0.05, 0.3, 1.0]))
      os.kill(pid, signal.SIGCONT)
      count += 1
    except ProcessLookupError:
      pass
    time.sleep(drawn.choice([0.0, 0.1]))
  return count


def _kill(process, workdir):
  """Kills a launcher, and with it its workers."""
  process.kill()
  process.communicate()
  launching.wait_for(lambda: not launching.workers(workdir))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
  """A run that nothing happens to."""
  workdir = tmp_path_factory.mktemp("runs") / "whole"
  launching.ended(_start("launch", data, workdir))
  return workdir


@pytest.fixture(scope="module")
def disturbed(data, tmp_path_factory):
  """A run held up at random, killed, started again, and hit in its groups.

  There one worker is killed, and in the other group one is frozen for good.
  """
  workdir, drawn = tmp_path_factory.mktemp("runs") / "run", random.Random(7)
  checkpoints = [workdir / f"group-{group}/checkpoints" for group in (0, 1)]
  process = _start("launch", data, workdir)
  held_up = _hold_up(
    process,
    workdir,
    drawn,
    lambda: any(stamped.is_stamped(folder / "21") for folder in checkpoints),
  )
  assert process.poll() is None and held_up > 5
  _kill(process, workdir)
  assert not all(stamped.is_stamped(folder / "42") for folder in checkpoints)
  process = _start("launch", data, workdir, "--supervise.heartbeat_timeout=30")
  launching.wait_for(lambda: _trains(workdir), process)
  for group, number in ((0, signal.SIGKILL), (1, signal.SIGSTOP)):
    pids = [pid for g, pid in launching.workers(workdir) if g == group]
    os.kill(drawn.choice(pids), number)
  launching.wait_for(
    lambda: len(launching.happened(workdir, "restart")) >= 2, process
  )
  _hold_up(process, workdir, drawn, lambda: False)
  launching.ended(process)
  return workdir


def _trains(workdir):
  """Tells whether all that was started last is at its steps."""
  logs = workdir.glob("group-*/worker-*.log")
  return all(log.read_text().count("training from step") > 1 for log in logs)


def test_a_run_that_was_held_up_and_killed_has_the_same_bits(whole, disturbed):
  found = verifying.verify(whole, disturbed)
  # Steps 4, 8, ... 40 and 42 of two groups.
  assert found.lines[0] == "equal in 22 snapshots"
  assert found.status == verifying.EQUAL


def test_it_predicts_the_same_to_the_bit(data, whole, disturbed):
  schema = schemas.read(data)
  shards = records.open_shards(data / "validation", schema)
  rows = next(records.read_rows(shards))[:100]
  numerics = 1 + len(schema.numeric)
  features = {
    "numeric": tf.constant(rows[:, 1:numerics]),
    "categorical": tf.constant(rows[:, numerics:]),
  }
  for group in (0, 1):
    one, other = (
      Snapshot(
        workdir / f"exchange/group-{group}/{STEPS}", ids_only=True
      ).predict_ids(**features)["logit"]
      for workdir in (whole, disturbed)
    )
    assert np.array_equal(one, other)
    assert np.ptp(one) > 0


def test_it_went_on_from_a_checkpoint(disturbed):
  starts = []
  for group in (0, 1):
    log = (disturbed / f"group-{group}" / "worker-0.log").read_text()
    starts += [
      int(line.split()[-3])
      for line in log.splitlines()
      if "training from step" in line
    ]
  assert sorted(starts)[:2] == [0, 0]
  assert max(starts) in range(21, STEPS, 7)


def test_a_peer_that_never_comes_is_named(data, tmp_path):
  process = _start(
    "train",
    data,
    tmp_path / "run",
    "--workers=1",
    "--exchange.wait_timeout=0.1",
  )
  said = launching.ended(process, status=75)
  assert "error: snapshot 4 of group 1 should be there within 0.1 s" in said
  assert "of step 8, is not" in said
  assert "Traceback" not in said
