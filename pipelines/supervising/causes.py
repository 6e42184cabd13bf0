"""Why a worker ended: the cause before its consequences, mistakes apart."""

import dataclasses
import signal
from collections.abc import Sequence

from pipelines import command
from pipelines.supervising import watch
from pipelines.supervising.worker_process import WorkerProcess

_CONSEQUENCES = ("UnavailableError", "CancelledError", watch.SAID)
_LATE = "Timeout ("  # what strategy.start leaves


@dataclasses.dataclass(frozen=True)
class Cause:
  """Why a group failed: which worker, None for all or another host's; how.

  With a mistake of the user's it would fail again.
  """

  text: str
  worker: int | None = None
  is_mistake: bool = False


def first(ended: Sequence[WorkerProcess]) -> Cause:
  """Returns why the first of some workers ended that did not end well.

  What others say of it are consequences: a connection lost, a collective that
  was given up.
  """
  causes = [_of(worker) for worker in ended]
  return min(
    causes,
    key=lambda cause: any(word in cause.text for word in _CONSEQUENCES),
  )


def _of(worker: WorkerProcess) -> Cause:
  status = worker.status
  if status < 0:
    said = f"was ended by {signal.Signals(-status).name}"
    return _named(worker, said)
  if status == command.TERMINATED:
    return _named(worker, "was told to leave (SIGTERM)")
  lines = worker.said()
  if any(line.startswith(_LATE) for line in lines):
    said = "waited longer than training.start_timeout for its group's workers"
    return _named(worker, said)
  errors = [line for line in lines if line.strip() and line[0] not in " \t"]
  said = next((s for s in reversed(errors) if s.startswith("error: ")), None)
  text = f"ended with status {status}: {said or (errors or [''])[-1]}"
  return _named(worker, text, is_mistake=status == command.MISTAKE)


def _named(worker: WorkerProcess, said: str, is_mistake: bool = False) -> Cause:
  text = f"{worker.name} {said}; its log: {worker.log}"
  return Cause(text, worker.index, is_mistake)
