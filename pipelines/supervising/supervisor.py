"""Keeps one group going: its workers here end together and start together.

A group whose worker died cannot be joined again (a restart of one keeps broken
collectives), so all are started anew, from the newest checkpoint. Workers on
other hosts see theirs end, by an error of a collective, and do the same there.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.training import outside
from ctr_codistill.training.outside import Patience
from pipelines import command
from pipelines.supervising import causes
from pipelines.supervising import ports
from pipelines.supervising.causes import Cause
from pipelines.supervising.events import Event
from pipelines.supervising.events import Events
from pipelines.supervising.heart import Beat
from pipelines.supervising.supervision import Supervise
from pipelines.supervising.worker_process import WorkerProcess

_WORTH_TELLING = 5.0  # seconds of silence
_BEFORE = ("", "starting", outside.JOINING)  # phases


@dataclasses.dataclass(frozen=True)
class Charge:
  """The group that is looked after, and how.

  Attributes:
    group: its number.
    start: starts its workers of this host.
    checkpoints: where they lie.
    stop: the last step; 0 where others may have to be waited for at the end.
    start_timeout: seconds until a worker must have joined.
    patience: what its workers are given in phases that take long.
    rule: when it is started again.
  """

  group: int
  start: Callable[[], list[WorkerProcess]]
  checkpoints: pathlib.Path
  stop: int
  start_timeout: float
  patience: Mapping[str, Patience]
  rule: Supervise


@dataclasses.dataclass
class _Heard:
  """The last beat of a worker, and when it was heard."""

  beat: Beat
  at: float


class Supervisor:
  """Starts the workers of a group, and again when one of them fails."""

  def __init__(
    self,
    charge: Charge,
    events: Events,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Starts them; `clock` gives seconds of a clock that is never set."""
    self._charge, self._events, self._clock = charge, events, clock
    self.workers: list[WorkerProcess] = []
    self._failures, self._newest = 0, self._checkpoint()
    self._step, self._moved = self._newest, clock()
    self._lost_since: float | None = None
    self._resume_at, self._is_done = clock(), False
    self._begin(clock())

  def poll(self) -> bool:
    """Looks after the group; tells whether it came to its end.

    Raises:
      InputError: it failed for good, and why.
    """
    now = self._clock()
    if not self.workers:
      if self._is_done:
        return True
      if now >= self._resume_at:
        self._begin(now)
      return False
    self._listen(now)
    cause = self._failure(now)
    if cause:
      return self._mend(cause, now)
    if any(worker.status is None for worker in self.workers):
      return False
    self._recovered(now)
    self._kill()
    self._note("done", step=self._step)
    return True

  def ask_to_leave(self) -> None:
    """Tells all workers to write a checkpoint and end."""
    for worker in self.workers:
      if worker.status is None:
        worker.ask_to_leave()

  def is_leaving(self) -> bool:
    """Tells whether a worker still runs, and none of the others failed."""
    statuses = [worker.status for worker in self.workers]
    failed = set(statuses) - {None, 0, command.TERMINATED}
    return None in statuses and not failed

  def end(self, event: str, cause: str = "") -> None:
    """Ends what still runs, by force."""
    running = bool(self.workers)
    if running:
      self._listen(self._clock())
    self._kill()
    if running:
      self._note(event, step=self._step, cause=cause)

  def _begin(self, now: float) -> None:
    try:
      self.workers = self._charge.start()
    except OSError as error:  # such as a log that cannot be opened
      cause = Cause(f"group {self._charge.group}: {error}")
      self._is_done = self._mend(cause, now)
      return
    self._started_at = now
    self._heard = {
      worker.index: _Heard(worker.beat, now) for worker in self.workers
    }
    self._left_at: float | None = None
    self._note("started", step=self._newest)

  def _listen(self, now: float) -> None:
    for worker in self.workers:
      heard, beat = self._heard[worker.index], worker.beat
      if beat.count != heard.beat.count:
        self._heard[worker.index] = _Heard(beat, now)
    step = max(heard.beat.step for heard in self._heard.values())
    if step > self._step:
      self._step, self._moved = step, now
      self._recovered(now)

  def _recovered(self, now: float) -> None:
    if self._lost_since is not None:
      lost = now - self._lost_since
      self._lost_since = None
      self._note("recovered", step=self._step, lost=round(lost, 2))

  def _failure(self, now: float) -> Cause | None:
    running = [w for w in self.workers if w.status is None]
    ended = [w for w in self.workers if w.status not in (None, 0)]
    if all(worker.status == command.TERMINATED for worker in ended):
      if ended and running and not self._is_over(now):
        return None  # the chief may still write
    if ended:
      return self._with_silent(causes.first(ended), running, now)
    joined = [w for w in running if self._phase(w) not in _BEFORE]
    late = [w for w in joined if self._silence(w, now) > self._limit(w).seconds]
    if late:
      return self._silent(late, now)
    if now - self._started_at > self._charge.start_timeout:
      return self._missing(running)
    return None

  def _is_over(self, now: float) -> bool:
    """Tells whether those that were told to leave have had their time."""
    self._left_at = now if self._left_at is None else self._left_at
    return now - self._left_at > self._charge.rule.grace

  def _phase(self, worker: WorkerProcess) -> str:
    return self._heard[worker.index].beat.phase

  def _silence(self, worker: WorkerProcess, now: float) -> float:
    return now - self._heard[worker.index].at

  def _limit(self, worker: WorkerProcess) -> Patience:
    seconds = self._charge.rule.heartbeat_timeout
    usual = Patience(seconds, "supervise.heartbeat_timeout")
    phase = self._phase(worker)
    if phase == outside.TRAINING:
      return usual
    return outside.longest(usual, self._charge.patience[phase])

  def _silent(self, late: Sequence[WorkerProcess], now: float) -> Cause:
    # All of a group wait for the one that stopped first.
    worker = max(late, key=lambda worker: self._silence(worker, now))
    seconds = self._silence(worker, now)
    return Cause(
      f"{worker.name} gave no sign of life for {seconds:.0f} s "
      f"({self._limit(worker).rule}); its log: {worker.log}",
      worker.index,
    )

  def _missing(self, running: Sequence[WorkerProcess]) -> Cause | None:
    """Returns who has not come to join the group in time, if it waits."""
    phases = [self._phase(worker) for worker in running]
    waited = f"within {self._charge.start_timeout:g} s (training.start_timeout)"
    absent = [w for w in running if self._phase(w) in _BEFORE[:2]]
    if absent:
      names = ", ".join(worker.name for worker in absent)
      return Cause(f"{names} did not come {waited}", absent[0].index)
    if outside.JOINING not in phases:
      return None
    addresses = running[0].place.cluster.workers
    silent = [
      f"{index} ({address})"
      for index, address in enumerate(addresses)
      if not ports.answers(address)
    ]
    who = f": worker {', '.join(silent)}" if silent else ""
    return Cause(f"group {self._charge.group} did not meet {waited}{who}")

  def _with_silent(
    self, cause: Cause, running: Sequence[WorkerProcess], now: float
  ) -> Cause:
    """Names those that had fallen silent: they are the cause of an error."""
    silences = {worker.name: self._silence(worker, now) for worker in running}
    told = [
      f"{name} was silent for {seconds:.0f} s"
      for name, seconds in silences.items()
      if seconds > _WORTH_TELLING
    ]
    text = "; ".join([cause.text, *told])
    return dataclasses.replace(cause, text=text)

  def _mend(self, cause: Cause, now: float) -> bool:
    """Ends the group and has it started again; tells whether it need not be."""
    self._kill()
    newest = self._checkpoint()
    self._failures = 1 if newest > self._newest else self._failures + 1
    self._newest = newest
    why = self._hopeless(cause)
    event = "ended" if why else "failed"
    self._note(event, cause.worker, self._step, why or cause.text)
    if why:
      raise InputError(why)
    if 0 < self._charge.stop <= newest:
      return True
    if self._lost_since is None:
      self._lost_since = self._moved
    pause = self._charge.rule.pause(self._failures)
    self._resume_at = now + pause
    self._note("restart", step=newest, cause=f"in {pause:g} s" if pause else "")
    return False

  def _hopeless(self, cause: Cause) -> str:
    """Returns why the group is not started again, "" if it is."""
    most = self._charge.rule.restarts
    if cause.is_mistake or not most:
      return cause.text
    if self._failures <= most:
      return ""
    return (
      f"{cause.text}; group {self._charge.group} failed {self._failures} times "
      "without a new checkpoint (supervise.restarts)"
    )

  def _kill(self) -> None:
    workers, self.workers = self.workers, []
    for worker in workers:
      worker.kill()

  def _checkpoint(self) -> int:
    return max(stamped.numbers(self._charge.checkpoints), default=0)

  def _note(
    self,
    event: str,
    worker: int | None = None,
    step: int | None = None,
    cause: str = "",
    lost: float | None = None,
  ) -> None:
    self._events(Event(event, self._charge.group, worker, step, cause, lost))
