"""A group on two hosts whose link is cut or narrow."""

import json
import time

import launching
from faults import hosts
from faults import report
from faults import runs

_HOSTS = ("h0", "h1")
_NETWORK = "10.251.77"
_PORT = 2222


def _send_through(host, *what):
  (other,) = set(_HOSTS) - {host}
  hosts.send_through(host, other, *what)


def _start(workdir, host, index):
  addresses = [f"{_NETWORK}.{i}:{_PORT}" for i in (1, 2)]
  task = {"type": "worker", "index": index}
  tf_config = {"cluster": {"worker": addresses}, "task": task}
  return runs.start(
    workdir,
    "--group=0",
    script="supervise",
    env={"TF_CONFIG": json.dumps(tf_config)},
    before=hosts.inside(host),
  )


def _train(trial, disturb):
  """Trains, disturbed; group 1 is on a host of its own, all in one place."""
  runs.undisturbed()
  workdir, begin = trial.folder / "run", time.monotonic()
  with hosts.linked({_HOSTS: _NETWORK}):
    processes = [_start(workdir, host, i) for i, host in enumerate(_HOSTS)]
    processes.append(runs.start(workdir, "--group=1", script="supervise"))
    launching.wait_for(lambda: _trains(workdir), processes[0])
    disturb()
    for process in processes:
      runs.finish(process)
  for event in launching.happened(workdir, "failed"):
    trial.say(f"group {event['group']}: {event['cause']}")
  assert not launching.happened(workdir, "failed", group=1)
  return workdir, time.monotonic() - begin


def _trains(workdir):
  logs = list(workdir.glob("group-*/worker-*.log"))
  said = [log.read_text().count("training from step") for log in logs]
  return len(said) == 4 and all(said)


def _cut(trial, senders, seconds):
  def disturb():
    for host in senders:
      _send_through(host, *hosts.NOTHING)
    time.sleep(seconds)
    for host in senders:
      _send_through(host)

  workdir, _ = _train(trial, disturb)
  cost = runs.lost(workdir) or float(seconds)
  return report.Outcome(1, int(runs.is_like_undisturbed(workdir)), cost)


@report.fault("a link within a group cut for 5 s")
def short(trial):
  return _cut(trial, _HOSTS, 5)


@report.fault("a link within a group cut for 60 s")
def long(trial):
  return _cut(trial, _HOSTS, 60)


@report.fault("a link within a group cut in one direction for 60 s")
def one_way(trial):
  return _cut(trial, ["h0"], 60)


@report.fault("a link within a group of 2 Mbit/s")
def narrow(trial):
  def disturb():
    for host in _HOSTS:
      _send_through(host, *hosts.NARROW)

  workdir, seconds = _train(trial, disturb)
  more = round(seconds - runs.undisturbed().seconds, 1)
  return report.Outcome(1, int(runs.is_like_undisturbed(workdir)), more)
