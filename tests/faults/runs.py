"""Reproducible runs of tiny groups to be disturbed, and one that never was."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import tempfile
import time

import launching
from faults import report

from ctr_codistill.training import verifying

FLAGS = (
  *launching.TINY,
  "--reproducible",
  "--groups=2",
  "--workers=2",
  "--regularization.dropout=0.1",
  "--training.epochs=1000",
  "--training.max_steps=600",
  "--training.checkpoint_every=25",
  "--training.summarize_every=5",
  "--training.evaluate_every=200",
  "--training.collective_timeout=30",
  "--training.storage_timeout=30",
  "--training.start_timeout=40",
  "--exchange.every_steps=10",
  "--codistill.burn_in_steps=0",
)
BORNE = (
  "--supervise.restarts=1000",
  "--supervise.backoff=0.1",
  "--supervise.heartbeat_timeout=30",
)
_STARTED: list[subprocess.Popen] = []


@dataclasses.dataclass(frozen=True)
class Undisturbed:
  """A run that nothing happened to, the seconds it took, and its data."""

  data: pathlib.Path
  workdir: pathlib.Path
  seconds: float
  held: tempfile.TemporaryDirectory


@functools.cache
def undisturbed():
  """Returns the run that others must end like; it is made once."""
  held = tempfile.TemporaryDirectory(prefix="undisturbed-")
  folder = pathlib.Path(held.name)
  data, begin = launching.data(folder), time.monotonic()
  finish(start(folder / "run", data=data))
  return Undisturbed(data, folder / "run", time.monotonic() - begin, held)


def start(workdir, *flags, data=None, script="launch", **how):
  """Starts a run, or starts it again; what it says is added to a file.

  Or another script with its flags, `how` goes to `launching.start`.
  """
  data = data or undisturbed().data
  places = (f"--data={data}", f"--workdir={workdir}")
  with workdir.with_suffix(".said").open("a") as said:
    process = launching.start(
      script, *places, *FLAGS, *BORNE, *flags, stdout=said, **how
    )
  _STARTED.append(process)
  return process


def _end_all():
  """Kills the runs of a fault that went wrong; their workers go with them."""
  while _STARTED:
    process = _STARTED.pop()
    process.kill()
    process.wait()


report.AFTERWARDS.append(_end_all)


def finish(process):
  """Waits for the end of a run, which should be a good one."""
  status = process.wait()
  assert status == 0, f"it ended with status {status}"


def kill(process, workdir):
  """Kills a supervisor; its workers should go with it."""
  process.kill()
  process.wait()
  launching.wait_for(lambda: not launching.workers(workdir), seconds=30)


def send(pid, number):
  """Sends a signal to a process, if there is one; tells whether."""
  try:
    os.kill(pid, number)
  except ProcessLookupError:
    return False
  return True


def trains(workdir):
  """Tells whether all workers are at steps that this start has done."""
  logs = list(workdir.glob("group-*/worker-*.log"))
  starts = len(launching.happened(workdir, "started"))
  said = sum(log.read_text().count("training from step") for log in logs)
  return len(logs) == 4 and said == 2 * starts > 0


def is_like_undisturbed(workdir, other=None):
  """Tells whether a run has the bits of the one that was left alone.

  Else it says where they part, or why they cannot be compared: one of them is
  of a tree that was changed meanwhile, for instance.
  """
  found = verifying.verify(other or undisturbed().workdir, workdir)
  if found.status != verifying.EQUAL:
    print(*found.lines, sep="\n")
  return found.status == verifying.EQUAL


def lost(workdir):
  """Returns the seconds that a fault cost, on the mean."""
  events = launching.happened(workdir, "recovered")
  return round(sum(e["lost"] for e in events) / max(len(events), 1), 1)
