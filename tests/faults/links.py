"""A group on two hosts whose link is cut or narrow.

The hosts are network namespaces of this machine, so this needs root. A filter
that lets through no packet is the cut: nobody is told, as when a switch dies.
"""

import contextlib
import json
import os
import subprocess
import time

import launching
from faults import report
from faults import runs

_HOSTS = {"h0": "10.251.77.1", "h1": "10.251.77.2"}
_PORT = 2222
_NOTHING = ("rate", "8kbit", "burst", "10", "limit", "10")
_NARROW = ("rate", "2mbit", "burst", "8kb", "latency", "200ms")


def _name(host):
  return f"codistill-{os.getpid()}-{host}"


def _do(*words):
  done = subprocess.run(words, capture_output=True, text=True, check=False)
  if done.returncode:
    raise report.Skipped(f"{' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def _hosts():
  """Two namespaces with a link; gone in the end."""
  if os.getuid():
    raise report.Skipped("only root may make network namespaces")
  with contextlib.ExitStack() as made:
    try:
      for host in _HOSTS:
        _do("ip", "netns", "add", _name(host))
        made.callback(_do, "ip", "netns", "del", _name(host))
      first = ("ip", "-n", _name("h0"), "link")
      _do(*first, "add", "h0", "type", "veth", "peer", "name", "h1")
      _do(*first, "set", "h1", "netns", _name("h1"))
    except FileNotFoundError as error:
      raise report.Skipped(f"{error.filename} is not there") from None
    for host, address in _HOSTS.items():
      inside = ("ip", "-n", _name(host))
      _do(*inside, "addr", "add", f"{address}/24", "dev", host)
      _do(*inside, "link", "set", host, "up")
      _do(*inside, "link", "set", "lo", "up")
    yield


def _filter(host, *what):
  """Has a host send through a filter; without one, freely again."""
  device = ("dev", host, "root")
  words = ("add", *device, "tbf", *what) if what else ("del", *device)
  _do("tc", "-n", _name(host), "qdisc", *words)


def _start(workdir, host, index):
  addresses = [f"{address}:{_PORT}" for address in _HOSTS.values()]
  task = {"type": "worker", "index": index}
  tf_config = {"cluster": {"worker": addresses}, "task": task}
  return runs.start(
    workdir,
    "--group=0",
    script="supervise",
    env={"TF_CONFIG": json.dumps(tf_config)},
    before=("ip", "netns", "exec", _name(host)),
  )


def _train(trial, disturb):
  """Trains, disturbed; group 1 is on a host of its own, all in one place."""
  runs.undisturbed()
  workdir, begin = trial.folder / "run", time.monotonic()
  with _hosts():
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


def _cut(trial, hosts, seconds):
  def disturb():
    for host in hosts:
      _filter(host, *_NOTHING)
    time.sleep(seconds)
    for host in hosts:
      _filter(host)

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
      _filter(host, *_NARROW)

  workdir, seconds = _train(trial, disturb)
  more = round(seconds - runs.undisturbed().seconds, 1)
  return report.Outcome(1, int(runs.is_like_undisturbed(workdir)), more)
