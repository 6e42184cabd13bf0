"""Reproducible runs, as a user starts them, that are held up, killed, alone."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.training import verifying

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 42
FLAGS = [
  "--reproducible",
  "--groups=2",
  "--workers=2",
  "--model.hidden=8",
  "--model.embedding_dim=2",
  "--optimizer.name=adam",
  "--regularization.dropout=0.1",
  "--training.batch_size=64",
  f"--training.max_steps={STEPS}",
  "--training.checkpoint_every=7",
  "--training.checksum_every=10",
  "--training.evaluate_every=0",
  "--training.average_decay=0.9",
  "--training.average_every=5",
  "--training.threads=1",
  "--exchange.every_steps=4",
  "--exchange.keep=2",
  "--codistill.burn_in_steps=0",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  raw = folder / "clicks.tsv"
  raw.write_bytes(synthetic.text(synthetic.rows(synthetic.Spec(), 0, 4000)))
  preparation.prepare(
    str(raw), folder / "data", preparation.Options(), clock=time.monotonic
  )
  return folder / "data"


def _start(script, data, workdir, *flags):
  words = [f"--data={data}", f"--workdir={workdir}", *FLAGS, *flags]
  return subprocess.Popen(
    [sys.executable, "-m", f"pipelines.{script}", *words],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _end(process, status=0):
  said, _ = process.communicate(timeout=300)
  assert process.returncode == status, said
  return said


def _workers(process):
  """Returns the processes that a launcher has started."""
  own = f"/proc/{process.pid}/task/{process.pid}/children"
  try:
    return [int(pid) for pid in pathlib.Path(own).read_text().split()]
  except OSError:
    return []


def _hold_up(process, drawn, until):
  """Stops workers for up to a second, one after the other, `until` it holds.

  Returns how often.
  """
  count = 0
  while process.poll() is None and not until():
    workers = _workers(process)
    if not workers:
      time.sleep(0.05)
      continue
    pid = drawn.choice(workers)
    try:
      os.kill(pid, signal.SIGSTOP)
      time.sleep(drawn.choice([0.05, 0.3, 1.0]))
      os.kill(pid, signal.SIGCONT)
      count += 1
    except ProcessLookupError:
      pass
    time.sleep(drawn.choice([0.0, 0.1]))
  return count


def _kill(process):
  """Kills a launcher, and with it its workers."""
  workers = _workers(process)
  process.kill()
  process.communicate()
  deadline = time.monotonic() + 30
  while any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers):
    assert time.monotonic() < deadline
    time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
  """A run that nothing happens to."""
  workdir = tmp_path_factory.mktemp("runs") / "whole"
  _end(_start("launch", data, workdir))
  return workdir


@pytest.fixture(scope="module")
def disturbed(data, tmp_path_factory):
  """A run that is held up at random, killed midway and started again."""
  workdir, drawn = tmp_path_factory.mktemp("runs") / "run", random.Random(7)
  checkpoints = [workdir / f"group-{group}/checkpoints" for group in (0, 1)]
  process = _start("launch", data, workdir)
  held_up = _hold_up(
    process,
    drawn,
    lambda: any(stamped.is_stamped(folder / "21") for folder in checkpoints),
  )
  assert process.poll() is None and held_up > 5
  _kill(process)
  assert not all(stamped.is_stamped(folder / "42") for folder in checkpoints)
  process = _start("launch", data, workdir)
  assert _hold_up(process, drawn, lambda: False) > 5
  _end(process)
  return workdir


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
  assert starts[0::2] == [0, 0]
  assert max(starts) in range(21, STEPS, 7)


def test_a_peer_that_never_comes_is_named(data, tmp_path):
  process = _start(
    "train",
    data,
    tmp_path / "run",
    "--workers=1",
    "--exchange.wait_timeout=0.1",
  )
  said = _end(process, status=1)
  assert "error: snapshot 4 of group 1 should be there within 0.1 s" in said
  assert "of step 8, is not" in said
  assert "Traceback" not in said
