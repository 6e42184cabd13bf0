"""A peer that is gone for a while: what the other group makes of it."""

import contextlib
import json
import os
import signal

import launching
from faults import report
from faults import runs

from ctr_codistill import stamped
from ctr_codistill.codistill import exchange


@report.fault("a peer that falls behind, and catches up")
def behind(trial):
  """The other group goes on without it, and hears it again in the end."""
  workdir = trial.folder / "run"
  flags = ("--reproducible=false", "--workers=1", "--training.max_steps=0")
  flags += ("--supervise.heartbeat_timeout=120",)
  process = runs.start(workdir, *flags, "--exchange.max_staleness_steps=100")
  log = workdir / "group-0" / "worker-0.log"
  for group in (0, 1):
    root = exchange.folder(workdir, group)
    launching.wait_for(lambda root=root: stamped.numbers(root), process)
  pids = dict(launching.workers(workdir))
  with _held(pids[1]):
    _wait(process, log, "group 1 is left out")
  with _held(pids[0]):
    goal = _step(workdir, 0) + 20
    launching.wait_for(lambda: _step(workdir, 1) >= goal, process)
  _wait(process, log, "group 1 is heard again")
  process.terminate()
  clean = process.wait() == 143
  clean = clean and not launching.happened(workdir, "failed")
  return report.Outcome(1, int(clean))


@contextlib.contextmanager
def _held(pid):
  """Holds a process meanwhile, for less than its heartbeat's time."""
  os.kill(pid, signal.SIGSTOP)
  yield
  os.kill(pid, signal.SIGCONT)


def _wait(process, log, said):
  launching.wait_for(lambda: log.exists() and said in log.read_text(), process)


def _step(workdir, group):
  """Returns the steps that a group has told of."""
  path = workdir / f"group-{group}" / "progress.json"
  return json.loads(path.read_text())["step"]
