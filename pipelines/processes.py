"""The processes of a run on this machine: started, watched, ended together.

Each worker has a session of its own, so that Ctrl-C reaches only the launcher,
which ends them all; TensorFlow swallows SIGTERM, hence SIGKILL after a grace.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.training import workdir as workdirs
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place
from pipelines import config_flags
from pipelines.display import Display

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_CONSEQUENCES = ("UnavailableError", "DeadlineExceededError", "CancelledError")


@dataclasses.dataclass(frozen=True)
class Worker:
  """A started worker: its process, its place, its log and where that begins."""

  process: subprocess.Popen
  group: int
  index: int
  log: pathlib.Path
  log_start: int

  @property
  def name(self) -> str:
    """How messages speak of it."""
    return f"group {self.group} worker {self.index}"


@dataclasses.dataclass(frozen=True)
class Plan:
  """A run to come: its name in progress lines, its flags, data, directory.

  `environment` has variables that its workers get beside and above our own.
  """

  name: str
  experiment: config.Experiment
  data: pathlib.Path
  workdir: pathlib.Path
  environment: tuple[tuple[str, str], ...] = ()

  @property
  def processes(self) -> int:
    """How many processes it takes."""
    return self.experiment.groups * self.experiment.workers


class Run:
  """All workers of all groups of one experiment, as processes."""

  def __init__(self, plan: Plan):
    """Starts the processes.

    Raises:
      InputError: data, work directory and experiment do not belong together.
    """
    self.name, self.workdir = plan.name, plan.workdir
    self._groups = plan.experiment.groups
    check(plan.experiment, plan.data, plan.workdir)
    for group in range(self._groups):
      _forget_progress(plan.workdir, group)
    self.workers = [
      _start(plan, group=group, index=i, addresses=a)
      for group, a in enumerate(_addresses(plan.experiment))
      for i in range(plan.experiment.workers)
    ]

  def is_done(self) -> bool:
    """Tells whether all workers ended well.

    Raises:
      InputError: one ended otherwise; the message names the cause.
    """
    failed = [w for w in self.workers if w.process.poll() not in (None, 0)]
    if failed:
      raise InputError(_blame(failed))
    return all(worker.process.poll() == 0 for worker in self.workers)

  def lines(self) -> list[str]:
    """Returns a line of progress for each group."""
    return [
      f"{self.name} {_line(self.workdir, group)}".strip()
      for group in range(self._groups)
    ]

  def stop(self) -> None:
    """Ends all workers, by force after a grace."""
    running = [w for w in self.workers if w.process.poll() is None]
    for worker in running:
      _signal(worker, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in running:
      with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(max(deadline - time.monotonic(), 0))
      _signal(worker, signal.SIGKILL)
      worker.process.wait()


def run_all(
  plans: Sequence[Plan],
  display: Display,
  *,
  limit: int,
  done: Callable[[Plan], None] = lambda plan: None,
  failed: Callable[[Plan, InputError], None] | None = None,
) -> None:
  """Runs `plans` in order, side by side as far as `limit` processes go.

  A plan that needs more than `limit` processes runs alone.

  Args:
    plans: the runs.
    display: shows their progress.
    limit: how many processes at once.
    done: called with each plan that ended well.
    failed: called with each plan of which a worker, or `done`, failed, and
      why; the others go on.

  Raises:
    InputError: without `failed`: which worker failed, and why. All are ended.
  """
  waiting, running = list(plans), {}
  try:
    while waiting or running:
      busy = sum(plan.processes for plan in running)
      if waiting and (not running or busy + waiting[0].processes <= limit):
        plan = waiting.pop(0)
        running[plan] = Run(plan)
      for plan in list(running):
        try:
          if running[plan].is_done():
            display.leave(running.pop(plan).lines())
            done(plan)
        except InputError as error:
          if failed is None:
            raise
          if plan in running:
            running.pop(plan).stop()
          failed(plan, error)
      display.show([line for run in running.values() for line in run.lines()])
      time.sleep(_POLL_SECONDS)
  finally:
    for run in running.values():
      run.stop()


def check(
  experiment: config.Experiment, data: pathlib.Path, workdir: pathlib.Path
) -> None:
  """Raises at once what each worker would after seconds of starting."""
  cluster = Cluster(workers=("localhost:0",) * experiment.workers)
  for group in range(experiment.groups):
    workdirs.claim(Place(data, workdir, group, cluster), experiment)


def _addresses(experiment: config.Experiment) -> list[list[str]]:
  """Returns a free address for every worker, per group."""
  with contextlib.ExitStack() as held:

    def free() -> str:
      # All stay bound until all are found, or one could be given out twice.
      probe = held.enter_context(socket.socket())
      probe.bind(("localhost", 0))
      return f"localhost:{probe.getsockname()[1]}"

    return [
      [free() for _ in range(experiment.workers)]
      for _ in range(experiment.groups)
    ]


def _start(
  plan: Plan, *, group: int, index: int, addresses: Sequence[str]
) -> Worker:
  task = {"type": "worker", "index": index}
  tf_config = {"cluster": {"worker": list(addresses)}, "task": task}
  command = [sys.executable, "-m", "pipelines.train"]
  command += [f"--data={plan.data}", f"--workdir={plan.workdir}"]
  command += [f"--group={group}", *config_flags.as_arguments(plan.experiment)]
  log = workdirs.group_folder(plan.workdir, group) / f"worker-{index}.log"
  log.parent.mkdir(parents=True, exist_ok=True)
  with log.open("ab") as output:
    log_start = output.tell()
    process = subprocess.Popen(
      command,
      env={
        **os.environ,
        **dict(plan.environment),
        "TF_CONFIG": json.dumps(tf_config),
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "PYTHONUNBUFFERED": "1",
      },
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=subprocess.STDOUT,
      start_new_session=True,
      preexec_fn=_end_with_parent,
    )
  return Worker(process, group, index, log, log_start)


def _end_with_parent() -> None:
  """Asks the kernel to end this process when the launcher is killed.

  Workers left alone would train on in a directory that the next launch takes.
  """
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal(worker: Worker, number: int) -> None:
  with contextlib.suppress(ProcessLookupError):
    os.killpg(worker.process.pid, number)


def _blame(failed: Sequence[Worker]) -> str:
  """Returns which worker failed and why, the cause before its consequences."""
  causes = {worker.name: (_cause(worker), worker) for worker in failed}
  name, (cause, worker) = min(
    causes.items(),
    key=lambda item: any(word in item[1][0] for word in _CONSEQUENCES),
  )
  return f"{name} {cause}; its log: {worker.log}"


def _cause(worker: Worker) -> str:
  status = worker.process.returncode
  if status < 0:
    return f"was ended by {signal.Signals(-status).name}"
  text = worker.log.read_bytes()[worker.log_start :]
  lines = text.decode(errors="replace").splitlines()
  if any(line.startswith("Timeout (") for line in lines):
    return "waited longer than training.start_timeout for its group's workers"
  errors = [line for line in lines if line.strip() and line[0] not in " \t"]
  said = next((s for s in reversed(errors) if s.startswith("error: ")), None)
  return f"ended with status {status}: {said or (errors or [''])[-1]}"


def _forget_progress(workdir: pathlib.Path, group: int) -> None:
  path = workdirs.group_folder(workdir, group) / workdirs.PROGRESS
  path.unlink(missing_ok=True)


def _line(workdir: pathlib.Path, group: int) -> str:
  """Returns what a group's progress file says, in one line."""
  path = workdirs.group_folder(workdir, group) / workdirs.PROGRESS
  try:
    now = json.loads(path.read_text())
  except (OSError, ValueError):
    return f"group {group}: starting"
  parts = [f"group {group}: {now['state']}, step {now['step']}/{now['steps']}"]
  if "loss" in now:
    parts.append(f"{now['examples_per_second']:,.0f} examples/s")
    parts.append(f"loss {now['loss']:.4f}")
  if now.get("staleness_steps") is not None:
    parts.append(f"teacher {now['staleness_steps']:.0f} steps stale")
  if "validation" in now:
    parts.append(f"validation log loss {now['validation']['log_loss']:.4f}")
  if now.get("seconds_left"):
    parts.append(f"{now['seconds_left']:.0f} s left")
  return ", ".join(parts)
