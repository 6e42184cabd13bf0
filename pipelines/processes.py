"""The groups of a run on this machine: started, looked after, ended."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.training import outside
from ctr_codistill.training import workdir as workdirs
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place
from pipelines import progress
from pipelines import taught
from pipelines.display import Display
from pipelines.supervising import ports
from pipelines.supervising import worker_process
from pipelines.supervising.events import Events
from pipelines.supervising.supervision import Supervise
from pipelines.supervising.supervisor import Charge
from pipelines.supervising.supervisor import Supervisor
from pipelines.supervising.worker_process import WorkerProcess

_POLL_SECONDS = 0.2


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


@dataclasses.dataclass(frozen=True)
class Here:
  """What of a run belongs on this machine: a group, or one of its workers.

  With a cluster it is the worker that this names, whose addresses stay.
  """

  group: int
  cluster: Cluster | None = None


class Run:
  """The groups of one experiment that run here, as processes."""

  def __init__(
    self,
    plan: Plan,
    display: Display,
    rule: Supervise,
    here: Here | None = None,
  ):
    """Starts the processes.

    Args:
      plan: what to run.
      display: takes what happens to the groups.
      rule: when a group is started again.
      here: what of it belongs here; None: all.

    Raises:
      InputError: data, work directory and experiment do not belong together.
    """
    self._plan = plan
    steps = check(plan.experiment, plan.data, plan.workdir)
    if here and here.group not in range(len(steps)):
      raise InputError(f"group should be in [0, {len(steps)}), is {here.group}")
    self._groups = [here.group] if here else range(plan.experiment.groups)
    say = functools.partial(_say, display, plan.name)
    events = Events(plan.workdir, say)
    fixed = here.cluster if here else None
    self._supervisors: list[Supervisor] = []
    self._done: set[Supervisor] = set()
    self._grace = rule.grace
    try:
      for group in self._groups:
        charge = _charge(plan, group, fixed, steps[group], rule)
        self._supervisors.append(Supervisor(charge, events))
    except BaseException:
      for supervisor in self._supervisors:  # nobody else knows of them
        supervisor.end("ended", "another group could not be started")
      raise

  def is_done(self) -> bool:
    """Looks after all groups; tells whether all came to their ends.

    Raises:
      InputError: one failed for good; the message names the cause.
    """
    for supervisor in self._supervisors:
      if supervisor not in self._done and supervisor.poll():
        self._done.add(supervisor)
    return len(self._done) == len(self._supervisors)

  def lines(self) -> list[str]:
    """Returns a line of progress for each group."""
    return [
      f"{self._plan.name} {self._line(group)}".strip() for group in self._groups
    ]

  def last_lines(self) -> list[str]:
    """Returns the lines of its end, and a warning for each untaught group."""
    plan = self._plan
    found = [
      taught.warning(plan.experiment, group, progress.read(plan.workdir, group))
      for group in self._groups
    ]
    return self.lines() + [f"{plan.name} {w}".strip() for w in found if w]

  def stop(self) -> None:
    """Has all groups write a checkpoint and end, by force after a grace."""
    left = [s for s in self._supervisors if s not in self._done]
    for supervisor in left:
      supervisor.ask_to_leave()
    deadline = time.monotonic() + self._grace
    while left and time.monotonic() < deadline:
      for supervisor in [s for s in left if not s.is_leaving()]:
        supervisor.end("left")
        left.remove(supervisor)
      time.sleep(_POLL_SECONDS)
    for supervisor in left:
      supervisor.end("ended", f"it did not leave within {self._grace:g} s")

  def _line(self, group: int) -> str:
    now = progress.read(self._plan.workdir, group)
    learns = taught.learns(self._plan.experiment, group)
    return f"group {group}: {progress.line(now, learns=learns)}"


def keep(run: Run, display: Display) -> None:
  """Looks after a run until it ends.

  Raises:
    InputError: which worker failed, and why. All are ended.
  """
  try:
    while not run.is_done():
      display.show(run.lines())
      time.sleep(_POLL_SECONDS)
    display.leave(run.last_lines())
  finally:
    run.stop()


def run_all(
  plans: Sequence[Plan],
  display: Display,
  *,
  limit: int,
  rule: Supervise,
  done: Callable[[Plan], None] = lambda plan: None,
  failed: Callable[[Plan, InputError], None] | None = None,
) -> None:
  """Runs `plans` in order, side by side as far as `limit` processes go.

  A plan that needs more than `limit` processes runs alone.

  Args:
    plans: the runs.
    display: shows their progress.
    limit: how many processes at once.
    rule: when a group is started again.
    done: called with each plan that ended well.
    failed: called with each plan that could not be started, or of which a
      worker, or `done`, failed, and why; the others go on.

  Raises:
    InputError: without `failed`: what failed, and why. All are ended.
  """
  waiting, running = list(plans), {}
  try:
    while waiting or running:
      busy = sum(plan.processes for plan in running)
      fits = waiting and (not running or busy + waiting[0].processes <= limit)
      for plan in [*running, *([waiting.pop(0)] if fits else [])]:
        try:
          if plan not in running:
            running[plan] = Run(plan, display, rule)
          elif running[plan].is_done():
            display.leave(running.pop(plan).last_lines())
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
) -> list[int]:
  """Raises at once what each worker would after seconds of starting.

  Returns how many steps each group trains.
  """
  cluster = Cluster(workers=("localhost:0",) * experiment.workers)
  return [
    workdirs.claim(Place(data, workdir, group, cluster), experiment).steps
    for group in range(experiment.groups)
  ]


def _charge(
  plan: Plan, group: int, fixed: Cluster | None, stop: int, rule: Supervise
) -> Charge:
  experiment = config.for_group(plan.experiment, group)
  return Charge(
    group=group,
    start=functools.partial(_start, plan, group, fixed),
    checkpoints=workdirs.checkpoints_folder(plan.workdir, group),
    stop=stop if fixed else 0,
    start_timeout=experiment.training.start_timeout,
    patience=outside.patience(experiment.training),
    rule=rule,
  )


def _start(
  plan: Plan, group: int, fixed: Cluster | None
) -> list[WorkerProcess]:
  """Starts the workers of a group, at new addresses unless they are fixed."""
  if fixed is None:
    addresses = ports.free(plan.experiment.workers)
    clusters = [Cluster(addresses, index) for index in range(len(addresses))]
  else:
    clusters = [fixed]
  if clusters[0].is_chief:
    folder = workdirs.group_folder(plan.workdir, group)
    (folder / workdirs.PROGRESS).unlink(missing_ok=True)
  with contextlib.ExitStack() as started:
    found = []
    for cluster in clusters:
      place = Place(plan.data, plan.workdir, group, cluster)
      found.append(
        worker_process.start(plan.experiment, place, plan.environment)
      )
      started.callback(found[-1].kill)
    started.pop_all()
  return found


def _say(display: Display, name: str, text: str) -> None:
  display.leave([f"{name} {text}".strip()])
