"""Reading a peer's snapshots ahead, beside the training.

To verify and read a table takes seconds of one core, to take over what was read
takes none. So a thread looks, verifies and reads, and the training only asks
what lies ready.
"""

import dataclasses
import logging
import math
import pathlib
from concurrent.futures import Executor
from concurrent.futures import Future

import tensorflow as tf

from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.snapshots import Graph
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Weights
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Found:
  """What was read of snapshot `step`; without content `error` tells why not.

  `content` is weights for the snapshot in use, or a snapshot of its own where
  there is none in use or its graph is another. An error that is not `lasting`
  is of the store, not of the snapshot, which is tried again.
  """

  step: int
  content: Snapshot | Weights | None = None
  error: str = ""
  lasting: bool = True


_NOTHING = Found(-1)


class Reader:
  """Has at most one snapshot of a peer in hand: being read, or ready."""

  def __init__(
    self,
    root: pathlib.Path,
    thread: Executor,
    demands: Demands = trust.NONE,
    graph: Graph | None = None,
  ):
    """Has read nothing yet.

    Args:
      root: directory of the snapshots.
      thread: where it reads.
      demands: what they must show.
      graph: what their weights go into; None: the graph that they bring.
    """
    self._root, self._thread = root, thread
    self._demands, self._graph = demands, graph
    self._trouble = ""
    self._held: Future[Found] | None = None
    self._refused: set[tuple[int, int]] = set()
    self.bytes_read = 0

  def look(self, used: Snapshot | None, *, at_most: float = math.inf) -> None:
    """Starts to read the newest good snapshot, unless one is in hand.

    A torn one is passed over for the next older; a lower step than the one in
    use counts once no higher is left. None of a step above `at_most` counts.
    """
    if self._held is None or self._done() is _NOTHING:
      self._held = self._thread.submit(self._newest, used, at_most)

  def has(self, step: int, used: Snapshot | None) -> bool | None:
    """Tells whether snapshot `step` is ready; False: it cannot be read.

    None: not yet. It is read then, instead of what else may be ready.
    """
    found = self._done()
    if found and found.step == step:
      return found.content is not None
    if found or self._held is None:
      self._held = self._thread.submit(self._read, step, used)
    return None

  def wait(self) -> None:
    """Returns when nothing is being read."""
    if self._held is not None:
      self._held.result()

  @property
  def ready(self) -> int:
    """The step of the snapshot that is ready, -1 for none."""
    found = self._done()
    return found.step if found and found.content else -1

  def take(self) -> Found:
    """Hands over what is in hand, once it was read."""
    found, self._held = self._held.result(), None
    return found

  def clear(self) -> None:
    """Puts away what is in hand."""
    self._held = None

  def refuse(self, step: int) -> None:
    """Puts away what is in hand and passes over snapshot `step` from now on."""
    self.clear()
    self._refused.add(self._mark(step))

  def _done(self) -> Found | None:
    done = self._held is not None and self._held.done()
    return self._held.result() if done else None

  def _newest(self, used: Snapshot | None, at_most: float) -> Found:
    found, trouble = _NOTHING, ""
    try:
      steps = [n for n in stamped.numbers(self._root) if n <= at_most]
    except OSError as error:
      steps, trouble = [], str(error)
    for step in reversed(steps):
      # A peer that was set back to a checkpoint has only lower steps.
      if used and step == used.step:
        break
      # To read a torn one again would cost as much as a good one.
      if self._mark(step) in self._refused:
        continue
      one = self._read(step, used)
      if one.content:
        found = one
        break
      if not one.lasting:
        trouble = one.error
      elif self.is_there(step):
        _LOG.warning("a snapshot is passed over: %s", one.error)
        self._refused.add(self._mark(step))
    self._say(trouble)
    return found

  def _say(self, trouble: str) -> None:
    """Says of a store that it cannot be read, when it is news."""
    if trouble and not self._trouble:
      _LOG.warning("the exchange cannot be read: %s", trouble)
    self._trouble = trouble

  def _read(self, step: int, used: Snapshot | None) -> Found:
    path = self._root / str(step)
    try:
      if path.is_symlink():
        raise InputError(f"{path} should be a directory, is a link")
      self.bytes_read += stamped.size(path)
      return Found(step, self._content(path, self._demands.at(step), used))
    except InputError as error:
      return Found(step, None, str(error))
    except (OSError, tf.errors.OpError) as error:
      return Found(step, None, str(error), lasting=False)
    except Exception as error:
      # Whatever somebody left there, the training goes on.
      _LOG.exception("snapshot %s", path)
      return Found(step, None, f"{path}: {error!r}")

  def _content(
    self, path: pathlib.Path, demands: Demands, used: Snapshot | None
  ) -> Snapshot | Weights:
    if self._graph:
      weights = snapshots.read(path, demands, graph=self._graph)
      return weights if used else Snapshot.over(self._graph, weights)
    if used:
      weights = snapshots.read(path, demands)
      if used.fits(weights):
        return weights
    return Snapshot(path, demands, ids_only=True)

  def is_there(self, step: int) -> bool:
    """Tells whether snapshot `step` has its stamp, as far as can be told."""
    try:
      return stamped.is_stamped(self._root / str(step))
    except OSError:
      return False  # as far as can be told; it is looked at again

  def _mark(self, step: int) -> tuple[int, int]:
    """Tells a snapshot from one that is written in its place later."""
    try:
      stamp = self._root / str(step) / stamped.MANIFEST
      return step, stamp.stat().st_mtime_ns
    except OSError:
      return step, 0
