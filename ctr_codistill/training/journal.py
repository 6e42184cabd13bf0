"""What a group tells of its training: event files, a progress file, a result.

Losses are kept per step and summed over workers once for many steps, because a
collective costs latency.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.training.events import Events
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.workdir import PROGRESS

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Entry:
  """One step: the loss sums of this worker and how old its teacher was.

  `terms` are the sums of label and teacher term over this worker's rows, and
  how many of them were taught, `[3]`; the staleness is in steps and in seconds,
  nan where unknown or without a teacher.
  """

  step: int
  terms: tf.Tensor
  weight: float
  staleness_steps: float
  staleness_seconds: float


class Journal:
  """Gathers entries on every worker; the chief writes.

  What cannot be written is left out: a training does not end for its diary.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    agreement: Agreement,
    *,
    batch_size: int,
    stop: int,
    clock: Callable[[], float],
    now: Callable[[], float],
    is_chief: bool,
  ):
    """Has written nothing yet.

    Args:
      folder: to write below.
      agreement: of the group.
      batch_size: examples a step, over all workers.
      stop: the last step.
      clock: gives seconds, of a clock that is never set.
      now: gives seconds since 1970, for the event file.
      is_chief: whether to write at all.
    """
    self._now = now
    self._folder, self._agreement, self._clock = folder, agreement, clock
    self._batch_size, self._stop = batch_size, stop
    self._entries: list[Entry] = []
    self._since = clock()
    self._rate = float("nan")
    self._taught = self._trained = 0  # steps, since this start
    self._failing: set[str] = set()
    self._progress: dict = {"state": "starting", "step": 0, "steps": stop}
    self._writer = Events(folder / "events", now()) if is_chief else None
    self._write_progress()

  def add(self, entry: Entry) -> None:
    """Keeps the entry of a step until the next `write`."""
    self._entries.append(entry)

  def write(self, step: int) -> None:
    """Writes what was kept; every worker calls it, at the same step."""
    if not self._entries:
      return
    entries, self._entries = self._entries, []
    sums = np.stack([entry.terms.numpy() for entry in entries])
    means = self._agreement.sum(sums.ravel()).reshape(-1, 3) / self._batch_size
    now = self._clock()
    rate = len(entries) * self._batch_size / max(now - self._since, 1e-9)
    self._since = now
    # A running mean: one slow moment (a publication) is no forecast.
    self._rate = rate if np.isnan(self._rate) else 0.8 * self._rate + 0.2 * rate
    for entry, terms in zip(entries, means, strict=True):
      scalars = _scalars(entry, *terms)
      self._taught += int(scalars["teacher/weight"] > 0)
      self.scalars(entry.step, scalars)
    self._trained += len(entries)
    self.scalars(step, {"examples_per_second": rate})
    if self._writer is not None:
      self._try("events", self._writer.flush)
    self._report(step, entries[-1], means[-len(means) // 2 :])

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes scalars to the event file; the chief alone does."""
    if self._writer is None:
      return
    found = {name: v for name, v in values.items() if not np.isnan(v)}

    now = self._now()
    self._try("scalars", lambda: self._writer.scalars(step, found, now))

  def note(self, **values: object) -> None:
    """Adds values to the progress file; the chief alone does."""
    self._progress.update(values)
    self._write_progress()

  @property
  def taught(self) -> str:
    """In how many of the steps since this start the teacher counted."""
    return f"taught in {self._taught} of {self._trained} steps"

  def close(self) -> None:
    """Flushes the event file."""
    if self._writer is not None:
      self._try("events", self._writer.close)

  def _report(self, step: int, last: Entry, means: np.ndarray) -> None:
    left = (self._stop - step) * self._batch_size / self._rate
    stale = last.staleness_steps
    self.note(
      state="training",
      step=step,
      loss=float(means[:, 0].mean()),
      examples_per_second=self._rate,
      staleness_steps=None if np.isnan(stale) else stale,
      taught_steps=self._taught,
      trained_steps=self._trained,
      seconds_left=left,
    )

  def _write_progress(self) -> None:
    if self._writer is not None:
      path = self._folder / PROGRESS
      self._try("progress", lambda: stamped.write_json(path, self._progress))

  def _try(self, what: str, write: Callable[[], None]) -> None:
    """Says once that it cannot write, until it can again."""
    try:
      write()
    except (OSError, tf.errors.OpError) as error:
      if not self._failing:
        _LOG.warning("training goes on, but writes no progress: %s", error)
      self._failing.add(what)
    else:
      self._failing.discard(what)


def _scalars(
  entry: Entry, label: float, teacher: float, taught: float
) -> dict[str, float]:
  counts = entry.weight > 0 and taught > 0
  return {
    "loss": label + entry.weight * teacher,
    "loss/label": label,
    "loss/teacher": teacher / taught if counts else float("nan"),
    # The mean over the rows, so that loss = label + this x teacher.
    "teacher/weight": entry.weight * taught,
    "teacher/taught_share": taught,
    "teacher/staleness_steps": entry.staleness_steps,
    "teacher/staleness_seconds": entry.staleness_seconds,
  }
