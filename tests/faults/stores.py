"""Groups on two hosts that exchange through a store on a third one.

Each host has a work directory of its own, in which `exchange` is a mount of the
store's directory, by sshfs. What is cut is the link of one host to the store.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import shutil
import subprocess
import sys
import time

import launching
from faults import hosts
from faults import report
from faults import runs
from faults import sftp

from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.evaluation import curves

_LINKS = {("h0", "store"): "10.251.78", ("h1", "store"): "10.251.79"}
_OUT, _BACK = ("h0", "store"), ("store", "h0")
_PORT = 2323
_FLAGS = (
  "--reproducible=false",
  "--training.max_steps=0",
  "--exchange.every_steps=20",
  "--codistill.staleness_half_life=1000",
  "--supervise.heartbeat_timeout=120",
)


@dataclasses.dataclass(frozen=True)
class _Pair:
  """The work directory and the process of each group, and the store's files."""

  workdirs: list[pathlib.Path]
  processes: list[subprocess.Popen]
  store: pathlib.Path

  def wait_for(self, condition):
    """Returns when `condition()` holds, while both groups train."""

    def holds():
      assert all(process.poll() is None for process in self.processes)
      return condition()

    launching.wait_for(holds, seconds=300)

  def steps(self):
    """Returns the steps that each group has told of."""
    return [told["step"] for told in self._told()]

  def known(self):
    """Returns the steps of the snapshots that groups 0 and 1 learn from.

    Each from the other's; 0 for none.
    """
    return [
      told["step"] - told["staleness_steps"]
      if told.get("staleness_steps") is not None
      else 0
      for told in self._told()
    ]

  def published(self):
    """Returns the newest step of each group that the store has, 0 for none."""
    roots = [self.store / f"group-{group}" for group in (0, 1)]
    return [max(stamped.numbers(root), default=0) for root in roots]

  def _told(self):
    paths = [self._folder(group) / "progress.json" for group in (0, 1)]
    return [
      {"step": 0} | (json.loads(path.read_text()) if path.exists() else {})
      for path in paths
    ]

  def _folder(self, group):
    return self.workdirs[group] / f"group-{group}"

  def weights(self, group):
    """Returns the weight of a group's teacher, by the step."""
    line = curves.read(self._folder(group) / "events", "teacher/weight")
    return dict(zip(*line, strict=True))

  def check(self):
    """Nobody has failed; nothing that a group or the store has seen is torn."""
    for group, workdir in enumerate(self.workdirs):
      assert not launching.happened(workdir, "failed")
      for log in self._folder(group).glob("worker-*.log"):
        said = log.read_text()
        assert "passed over" not in said and "is refused" not in said, said
      root = self.store / f"group-{group}"
      for step in stamped.numbers(root):
        assert snapshots.read(root / str(step)).step == step


@contextlib.contextmanager
def _served(folder):
  """Serves a new directory on the third host."""
  folder.mkdir()
  words = [*hosts.inside("store"), sys.executable, sftp.__file__, str(_PORT)]
  process = subprocess.Popen(words, stdout=subprocess.PIPE)
  try:
    assert process.stdout.readline()
    yield
  finally:
    process.kill()
    process.wait()


@contextlib.contextmanager
def _mounted(host, store, folder):
  """Mounts the store's directory on a host."""
  folder.mkdir(parents=True)
  options = f"directport={_PORT},reconnect,dir_cache=no"
  place = f"{_LINKS[host, 'store']}.2:{store}"
  words = [*hosts.inside(host), "sshfs", "-f", "-o", options, place, folder]
  process = subprocess.Popen(words)
  try:
    launching.wait_for(folder.is_mount, process)
    yield
  finally:
    process.kill()
    process.wait()
    hosts.do("umount", "--lazy", str(folder))


@contextlib.contextmanager
def _pair(trial, *, gives_up):
  """Two groups that have heard each other, and leave in the end."""
  for program in ("sshfs", sftp.SERVER):
    if not shutil.which(program):
      raise report.Skipped(f"{program} is not there")
  data, store = launching.data(trial.folder), trial.folder / "store"
  with contextlib.ExitStack() as made:
    made.enter_context(hosts.linked(_LINKS))
    if gives_up:
      hosts.give_up_early("h0")
    made.enter_context(_served(store))
    workdirs, processes = [], []
    for group, (host, _) in enumerate(_LINKS):
      workdirs.append(trial.folder / host)
      exchange = workdirs[group] / "exchange"
      made.enter_context(_mounted(host, store, exchange))
      how = {"data": data, "script": "supervise", "before": hosts.inside(host)}
      flags = (*_FLAGS, f"--group={group}")
      processes.append(runs.start(workdirs[group], *flags, **how))
    pair = _Pair(workdirs, processes, store)
    pair.wait_for(lambda: min(pair.known()) > 0)
    yield pair
    for process in processes:
      process.terminate()
    assert [process.wait() for process in processes] == [143, 143]
    pair.check()


def _disturbed(trial, pair, disturb, mend, seconds):
  """Returns the seconds from the mending until both hear each other again.

  By snapshots of later steps than those at which it was mended.
  """
  begin = pair.steps()[0]
  disturb()
  time.sleep(1)  # what was on its way is there
  before = pair.published()[0]
  time.sleep(seconds - 1)
  goals = pair.steps()
  trained, came = goals[0] - begin, pair.published()[0] - before
  mend()
  mended = time.monotonic()
  pair.wait_for(lambda: pair.published()[0] > goals[0])
  again = time.monotonic() - mended
  pair.wait_for(lambda: _have_met(pair, goals))
  heard = time.monotonic() - mended
  trial.say(
    f"steps {begin} to {goals[0]} meanwhile, {came} of them published; "
    f"published again {again:.1f} s after, heard again {heard:.1f} s after"
  )
  assert trained > came
  return heard, (begin, pair.steps()[0])


def _cut(trial, cuts, seconds, *, gives_up=False):
  """Cuts the link of group 0's host to the store, in several ways."""
  lost, spans = 0.0, []
  with _pair(trial, gives_up=gives_up) as pair:
    for ends in cuts:
      disturb = functools.partial(_through, ends, *hosts.NOTHING)
      mend = functools.partial(_through, ends)
      heard, span = _disturbed(trial, pair, disturb, mend, seconds)
      lost += heard / len(cuts)
      spans.append(span)
  survived = 0
  for begin, end in spans:
    found = [w for s, w in pair.weights(0).items() if begin <= s <= end]
    trial.say(f"weight {found[0]:.3f}, {min(found):.3f}, {found[-1]:.3f}")
    survived += found[-1] > min(found)
  return report.Outcome(len(cuts), survived, round(lost, 1))


def _through(ends, *what):
  for host, to in ends:
    hosts.send_through(host, to, *what)


@report.fault("a link to the store cut for 5 s")
def short(trial):
  return _cut(trial, [[_OUT, _BACK], [_OUT], [_BACK]], 5)


@report.fault("a link to the store cut for 60 s")
def long(trial):
  return _cut(trial, [[_OUT, _BACK]], 60)


@report.fault("a link to the store cut in one direction for 60 s")
def one_way(trial):
  return _cut(trial, [[_OUT], [_BACK]], 60)


@report.fault("a link to the store cut for 60 s, told by an error")
def told(trial):
  """The host gives its connections up, and the mount says so."""
  return _cut(trial, [[_OUT, _BACK]], 60, gives_up=True)


@report.fault("a link to the store of 2 Mbit/s")
def narrow(trial):
  """For 30 s; both must have been heard meanwhile, by what came through."""
  with _pair(trial, gives_up=False) as pair:
    goals = pair.steps()
    _through([_OUT, _BACK], *hosts.NARROW)
    begin = time.monotonic()
    pair.wait_for(lambda: _have_met(pair, goals))
    met = time.monotonic() - begin
    time.sleep(max(30 - met, 0))
    trained = pair.steps()[0] - goals[0]
    trial.say(f"heard after {met:.1f} s; {trained} steps")
    _through([_OUT, _BACK])
  return report.Outcome(1, 1, round(met, 1))


def _have_met(pair, goals):
  """Tells whether both learn from snapshots of later steps than `goals`."""
  known = pair.known()
  return known[0] > goals[1] and known[1] > goals[0]
