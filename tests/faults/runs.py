"""Runs of tiny groups to be disturbed, and what an undisturbed one is."""

import dataclasses
import os
import pathlib
import time

import launching

from ctr_codistill.training import verifying

FLAGS = (
  *launching.TINY,
  "--groups=2",
  "--workers=2",
  "--regularization.dropout=0.1",
  "--training.epochs=1000",
  "--training.checkpoint_every=25",
  "--training.summarize_every=5",
  "--training.evaluate_every=200",
  "--training.collective_timeout=30",
  "--training.start_timeout=60",
  "--exchange.every_steps=10",
  "--codistill.burn_in_steps=0",
  "--supervise.restarts=1000",
  "--supervise.backoff=0.1",
  "--supervise.heartbeat_timeout=30",
)


@dataclasses.dataclass(frozen=True)
class Maker:
  """Makes runs that are alike, below `folder`."""

  folder: pathlib.Path
  data: pathlib.Path
  flags: tuple[str, ...]

  def start(self, name, *flags):
    """Starts the run, or starts it again; what it says is added to a file."""
    places = (f"--data={self.data}", f"--workdir={self.folder / name}")
    with (self.folder / f"{name}.said").open("a") as said:
      return launching.start(
        "launch", *places, *self.flags, *flags, stdout=said
      )

  def whole(self, *flags):
    """Returns the work directory of an undisturbed run, and its seconds."""
    start = time.monotonic()
    finish(self.start("whole", *flags))
    return self.folder / "whole", time.monotonic() - start


def maker(folder, *flags, rows=4000):
  """Returns what makes runs with further flags."""
  return Maker(folder, launching.data(folder, rows), (*FLAGS, *flags))


def finish(process):
  """Waits for the end of a run, which should be a good one."""
  status = process.wait()
  assert status == 0, f"it ended with status {status}"


def kill(process, workdir):
  """Kills a supervisor; its workers should go with it."""
  process.kill()
  process.wait()
  launching.wait_for(lambda: not launching.workers(workdir), seconds=30)


def trains(workdir):
  """Tells whether all groups are at steps that were not done before."""
  since = {0: "", 1: ""}
  for event in launching.events(workdir):
    since[event["group"]] = event["event"]
  started = (workdir / "events.jsonl").exists()
  return started and not {"failed", "restart", "started"} & set(since.values())


def equal(one, other):
  """Tells whether two runs have the same bits."""
  return verifying.verify(one, other).status == verifying.EQUAL


def lost(workdir, count):
  """Returns the seconds that faults cost, on the mean of `count`."""
  events = launching.happened(workdir, "recovered")
  return round(sum(event["lost"] for event in events) / max(count, 1), 2)


def send(pid, number):
  """Sends a signal to a process, if there is one; tells whether."""
  try:
    os.kill(pid, number)
  except ProcessLookupError:
    return False
  return True
