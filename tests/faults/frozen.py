"""Workers that are there and do nothing, or do not come at all."""

import contextlib
import ctypes
import json
import os
import pathlib
import random
import signal
import socket

import launching
from faults import report
from faults import runs

_PTRACE_SEIZE, _PTRACE_INTERRUPT = 0x4206, 0x4207


def _each(trial, name, *flags, disturb):
  """Disturbs a run of its own each time, and says what came of all."""
  drawn, survived, lost = random.Random(3), 0, 0.0
  tries = max(trial.times // 30, 1)
  for number in range(tries):
    workdir = trial.folder / str(number)
    process = runs.start(workdir, *flags)
    disturb(process, workdir, drawn)
    runs.finish(process)
    survived += runs.is_like_undisturbed(workdir)
    lost += runs.lost(workdir) / tries
    for event in launching.happened(workdir, "failed"):
      trial.say(f"{name}: {event['cause']}")
  return report.Outcome(tries, survived, round(lost, 1))


def _restarted(workdir):
  return bool(launching.happened(workdir, "restart"))


@report.fault("SIGSTOP for longer than the heartbeat")
def stopped(trial):
  def stop(process, workdir, drawn):
    launching.wait_for(lambda: runs.trains(workdir), process)
    runs.send(drawn.choice(launching.workers(workdir))[1], signal.SIGSTOP)
    launching.wait_for(lambda: _restarted(workdir), process)

  timeout = "--supervise.heartbeat_timeout=10"
  return _each(trial, "SIGSTOP", timeout, disturb=stop)


def _hold(process, workdir, drawn):
  """Holds a worker's main thread: the others answer as if it lived."""
  launching.wait_for(lambda: runs.trains(workdir), process)
  pid = drawn.choice(launching.workers(workdir))[1]
  libc = ctypes.CDLL(None, use_errno=True)
  for request in (_PTRACE_SEIZE, _PTRACE_INTERRUPT):
    if libc.ptrace(request, pid, None, None):
      raise report.Skipped(f"ptrace: {os.strerror(ctypes.get_errno())}")

  def restarted():
    # Its supervisor hears of its end after whoever holds it.
    with contextlib.suppress(ChildProcessError):
      os.waitpid(pid, os.WNOHANG)
    return _restarted(workdir)

  launching.wait_for(restarted, process)


@report.fault("a worker that stops calling collectives")
def stuck(trial):
  timeout = "--supervise.heartbeat_timeout=10"
  return _each(trial, "stuck", timeout, disturb=_hold)


@report.fault("a worker that stops calling collectives, heartbeats off")
def unheard(trial):
  timeout = "--supervise.heartbeat_timeout=1e6"
  return _each(trial, "stuck", timeout, disturb=_hold)


@report.fault("a worker that never starts")
def absent(trial):
  def stop(process, workdir, drawn):
    launching.wait_for(lambda: len(launching.workers(workdir)) == 4, process)
    runs.send(drawn.choice(launching.workers(workdir))[1], signal.SIGSTOP)
    launching.wait_for(lambda: _restarted(workdir), process)

  return _each(trial, "never starts", disturb=stop)


@report.fault("a port taken between pick and bind")
def taken(trial):
  def take(process, workdir, drawn):
    launching.wait_for(lambda: len(launching.workers(workdir)) == 4, process)
    pid = drawn.choice(launching.workers(workdir))[1]
    with contextlib.closing(socket.create_server(("", _port(pid)))):
      launching.wait_for(lambda: _restarted(workdir), process)

  return _each(trial, "port taken", disturb=take)


def _port(pid):
  """Returns the port that a worker has been told to take."""
  words = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
  (text,) = [w.partition("=")[2] for w in words if w.startswith("TF_CONFIG=")]
  found = json.loads(text)
  address = found["cluster"]["worker"][found["task"]["index"]]
  return int(address.rpartition(":")[2])
