"""One worker as a process: started, listened to, ended.

Each has a session of its own, so that Ctrl-C reaches only its supervisor, which
tells it. It ends with its supervisor: workers left alone would train on in a
directory that the next one takes.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO

from ctr_codistill import config
from ctr_codistill.training import outside
from ctr_codistill.training.workdir import Place
from pipelines import config_flags
from pipelines.supervising import heart
from pipelines.supervising.heart import Beat

_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class WorkerProcess:
  """A started worker: its place, process, pulse, log and where that begins."""

  place: Place
  process: subprocess.Popen
  pulse: BinaryIO
  log: pathlib.Path
  log_start: int

  @property
  def index(self) -> int:
    """Which worker of its group it is."""
    return self.place.cluster.index

  @property
  def name(self) -> str:
    """How messages speak of it."""
    return f"group {self.place.group} worker {self.index}"

  @property
  def status(self) -> int | None:
    """How it ended, below 0 by a signal; None while it runs."""
    return self.process.poll()

  @property
  def beat(self) -> Beat:
    """Its last sign of life."""
    return heart.last(self.pulse)

  def said(self) -> list[str]:
    """Returns the lines of its log."""
    text = self.log.read_bytes()[self.log_start :]
    return text.decode(errors="replace").splitlines()

  def ask_to_leave(self) -> None:
    """Has it write a checkpoint and end; before its first step it just ends."""
    leaves = self.beat.phase in outside.LEAVES
    self._signal(signal.SIGTERM if leaves else signal.SIGKILL)

  def kill(self) -> None:
    """Ends it, and waits until it is gone."""
    if self.status is None:
      self._signal(signal.SIGKILL)
    self.process.wait()
    self.pulse.close()

  def _signal(self, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self.process.pid, number)


def start(
  experiment: config.Experiment,
  place: Place,
  environment: Sequence[tuple[str, str]] = (),
) -> WorkerProcess:
  """Starts a worker of `experiment` that takes `place`.

  It gets the variables of `environment` beside and above our own.
  """
  log = place.folder / f"worker-{place.cluster.index}.log"
  log.parent.mkdir(parents=True, exist_ok=True)
  pulse, parent = heart.new(), os.getpid()
  with log.open("ab") as output:
    log_start = output.tell()
    process = subprocess.Popen(
      _command(experiment, place, pulse),
      env={
        **os.environ,
        **dict(environment),
        "TF_CONFIG": _tf_config(place),
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "PYTHONUNBUFFERED": "1",
      },
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=subprocess.STDOUT,
      start_new_session=True,
      pass_fds=[pulse.fileno()],
      preexec_fn=lambda: _end_with(parent),
    )
  return WorkerProcess(place, process, pulse, log, log_start)


def _command(
  experiment: config.Experiment, place: Place, pulse: BinaryIO
) -> list[str]:
  return [
    *(sys.executable, "-m", "pipelines.train"),
    f"--data={place.data}",
    f"--workdir={place.workdir}",
    f"--group={place.group}",
    f"--pulse={pulse.fileno()}",
    *config_flags.as_arguments(experiment),
  ]


def _tf_config(place: Place) -> str:
  task = {"type": "worker", "index": place.cluster.index}
  workers = list(place.cluster.workers)
  return json.dumps({"cluster": {"worker": workers}, "task": task})


def _end_with(parent: int) -> None:
  """Asks the kernel to end this process when its parent is killed."""
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before
      os._exit(1)
