"""A supervisor with processes that are real, small, and of no TensorFlow."""

import os
import signal
import subprocess
import sys

import launching
import pytest

from ctr_codistill.config import Training
from ctr_codistill.errors import InputError
from ctr_codistill.training import outside
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place
from pipelines.supervising import heart
from pipelines.supervising.events import Events
from pipelines.supervising.supervision import Supervise
from pipelines.supervising.supervisor import Charge
from pipelines.supervising.supervisor import Supervisor
from pipelines.supervising.worker_process import WorkerProcess

# It says what it is told to, and ends as it is told to.
SCRIPT = """
import os, sys
from pipelines.supervising import heart
pulse = heart.Heart(int(sys.argv[1]))
for line in sys.stdin:
  word, _, rest = line.strip().partition(" ")
  if word == "end":
    print(rest.partition(" ")[2])
    sys.exit(int(rest.split()[0]))
  pulse.beat(word, int(rest or 0))
"""
PLACE = Place(None, None, 0, Cluster(("localhost:1", "localhost:2"), 0))


class Workers:
  """Those of one group; `clock` is moved by hand."""

  def __init__(self, folder, *, stop=0, start=None, **rule):
    self.folder, self.now, self.said = folder, 0.0, []
    folder.mkdir(exist_ok=True)
    self.starts = 0
    charge = Charge(
      group=0,
      start=start or self._start,
      checkpoints=folder / "checkpoints",
      stop=stop,
      start_timeout=50.0,
      patience=outside.patience(
        Training(start_timeout=50.0, storage_timeout=100.0)
      ),
      rule=Supervise(**{"heartbeat_timeout": 20.0} | rule),
    )
    self.supervisor = Supervisor(
      charge, Events(folder, self.said.append), clock=lambda: self.now
    )

  def _start(self):
    self.starts += 1
    return [self._worker(index) for index in (0, 1)]

  def _worker(self, index):
    pulse, log = heart.new(), self.folder / f"worker-{index}.log"
    place = Place(None, self.folder, 0, Cluster(PLACE.cluster.workers, index))
    with log.open("ab") as output:
      start = output.tell()
      process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(pulse.fileno())],
        cwd=launching.ROOT,
        stdin=subprocess.PIPE,
        stdout=output,
        pass_fds=[pulse.fileno()],
        start_new_session=True,
        text=True,
      )
    return WorkerProcess(place, process, pulse, log, start)

  def tell(self, index, words):
    """Has a worker beat or end, and waits until it did."""
    worker = self.supervisor.workers[index]
    count = worker.beat.count
    worker.process.stdin.write(words + "\n")
    worker.process.stdin.flush()
    if words.startswith("end"):
      worker.process.wait()
    else:
      launching.wait_for(lambda: worker.beat.count > count)

  def train(self, step):
    for index in (0, 1):
      self.tell(index, f"training {step}")
    assert not self.supervisor.poll()

  def signal(self, index, number):
    worker = self.supervisor.workers[index]
    os.kill(worker.process.pid, number)
    worker.process.wait()

  def checkpoint(self, step):
    folder = self.folder / "checkpoints" / str(step)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")

  def after(self, seconds):
    """Lets time pass; returns whether the group is done."""
    self.now += seconds
    return self.supervisor.poll()


@pytest.fixture
def group(tmp_path):
  made = []

  def make(**rule):
    made.append(Workers(tmp_path / "run", **rule))
    return made[-1]

  yield make
  for one in made:
    one.supervisor.end("left")


def test_all_workers_are_started_again_when_one_dies(group):
  workers = group()
  workers.train(7)
  first = workers.supervisor.workers
  workers.checkpoint(5)
  workers.signal(1, signal.SIGKILL)
  assert not workers.after(0)
  assert all(worker.status is not None for worker in first)
  assert not workers.after(0)
  assert workers.starts == 2
  assert (
    "group 0 worker 1: failed at step 7: group 0 worker 1 was ended by "
    "SIGKILL" in workers.said[0]
  )
  assert workers.said[1] == "group 0: restart at step 5"


def test_what_was_lost_is_the_time_until_it_is_further_than_before(group):
  workers = group()
  workers.train(7)
  workers.now = 3.0
  workers.signal(0, signal.SIGKILL)
  workers.after(0)
  workers.after(1)
  workers.train(6)
  workers.now = 9.0
  workers.train(8)
  assert "group 0: recovered at step 8, 9.0 s lost" in workers.said
  (one,) = launching.happened(workers.folder, "recovered")
  assert (one["step"], one["lost"], one["worker"]) == (8, 9.0, None)


def test_a_worker_that_goes_silent_is_named_and_killed_with_its_group(group):
  workers = group()
  workers.train(3)
  workers.now = 15.0
  workers.tell(0, "training 3")
  frozen = workers.supervisor.workers[1].process
  os.kill(frozen.pid, signal.SIGSTOP)
  assert not workers.after(0)
  assert not workers.said
  assert not workers.after(6)
  assert frozen.returncode == -signal.SIGKILL
  said = "worker 1 gave no sign of life for 21 s (supervise.heartbeat_timeout)"
  assert said in workers.said[0]


def test_one_that_may_wait_for_storage_is_given_its_time(group):
  # 120 s of collective_timeout are more than the 100 of storage_timeout.
  workers = group()
  for index in (0, 1):
    workers.tell(index, "storage 3")
  workers.after(0)
  assert not workers.after(120)
  assert not workers.said
  assert not workers.after(1)
  said = "gave no sign of life for 121 s (training.collective_timeout)"
  assert said in workers.said[0]


def test_a_worker_that_never_comes_is_named(group):
  workers = group()
  workers.tell(0, "joining")
  workers.tell(1, "starting")
  assert not workers.after(49)
  assert not workers.said
  assert not workers.after(2)
  assert "group 0 worker 1 did not come within 50 s" in workers.said[0]


def test_one_that_gives_no_sign_at_all_has_not_come_either(group):
  workers = group()
  workers.tell(0, "joining")
  assert not workers.after(51)
  assert "group 0 worker 1 did not come within 50 s" in workers.said[0]


def test_one_of_another_host_is_named_by_its_address(group):
  workers = group()
  workers.tell(0, "joining")
  workers.tell(1, "joining")
  workers.after(51)
  assert (
    "did not meet within 50 s (training.start_timeout): worker 0 "
    "(localhost:1), 1 (localhost:2)" in workers.said[0]
  )


def test_a_mistake_of_the_user_s_is_not_tried_again(group):
  workers = group()
  workers.tell(1, "end 1 error: x should be y, is z")
  with pytest.raises(InputError, match="status 1: error: x should be y, is z"):
    workers.after(0)
  assert workers.starts == 1
  assert launching.happened(workers.folder, "ended", worker=1)


def test_the_cause_comes_before_its_consequences(group):
  workers = group()
  workers.tell(0, "end 75 error: UnavailableError: connection lost")
  workers.tell(1, "end 75 error: ValueError: the cause")
  workers.after(0)
  assert "worker 1 ended with status 75: error: ValueError" in workers.said[0]


def test_too_many_failures_without_a_checkpoint_end_the_run(group):
  workers = group(restarts=2, backoff=1.0)
  for pause in (0, 1):
    workers.signal(0, signal.SIGKILL)
    workers.after(0)
    workers.after(pause)
  assert workers.starts == 3
  workers.signal(0, signal.SIGKILL)
  with pytest.raises(
    InputError, match=r"SIGKILL.*failed 3 times without a new"
  ):
    workers.after(0)


def test_a_new_checkpoint_is_a_new_account(group):
  workers = group(restarts=1)
  for step in (5, 10, 15):
    workers.checkpoint(step)
    workers.signal(0, signal.SIGKILL)
    workers.after(0)
    workers.after(0)
  assert workers.starts == 4


def test_pauses_grow(group):
  rule = Supervise(backoff=2.0)
  assert [rule.pause(n) for n in (1, 2, 3, 4, 99)] == [0, 2, 4, 8, 60]
  workers = group(backoff=2.0)
  for _ in range(2):
    workers.signal(0, signal.SIGKILL)
    workers.after(0)
    workers.after(0)
  assert workers.starts == 2
  workers.after(1.9)
  assert workers.starts == 2
  workers.after(0.2)
  assert workers.starts == 3


def test_a_group_that_was_told_to_leave_may_write_to_its_end(group):
  workers = group(grace=4.0)
  workers.train(3)
  workers.tell(1, "end 143")
  assert not workers.after(0)
  assert not workers.after(3)
  assert not workers.said
  workers.tell(0, "end 143")
  workers.after(0)
  assert (
    "failed at step 3: group 0 worker 0 was told to leave" in (workers.said[0])
  )


def test_it_is_done_when_all_ended_well(group):
  workers = group()
  workers.train(3)
  workers.tell(0, "end 0")
  assert not workers.after(0)
  workers.tell(1, "end 0")
  assert workers.after(0)
  assert not workers.said
  assert [e["event"] for e in launching.events(workers.folder)] == [
    "started",
    "done",
  ]


def test_workers_that_cannot_be_started_are_tried_again(group, monkeypatch):
  workers = group()
  workers.signal(0, signal.SIGKILL)
  workers.after(0)
  with monkeypatch.context() as patched:
    patched.setattr(workers.folder.__class__, "open", _full)
    workers.after(0)
  assert "No space left on device" in " ".join(workers.said)
  workers.after(2)
  assert len(workers.supervisor.workers) == 2


def test_a_finished_group_that_cannot_be_started_is_done(tmp_path):
  done = tmp_path / "run" / "checkpoints" / "5"
  done.mkdir(parents=True)
  (done / "manifest.json").write_text("{}")
  workers = Workers(tmp_path / "run", stop=5, start=_full)
  assert "No space left on device" in " ".join(workers.said)
  assert workers.after(0)


def _full(*arguments, **named):
  raise OSError(28, "No space left on device")
