"""The teacher: what snapshots, one of each peer, come to.

By default the logit of their mean prediction (Anil et al. 2018, Algorithm 1).
A newer snapshot of a peer is swapped into the variables of the older one, so
that neither the step nor the teacher's own function is traced again. Beside the
peers there may be fixed teachers, which nobody refreshes: those of an offline
distillation.
"""

import logging
import math
import pathlib
import types
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from ctr_codistill import tensors
from ctr_codistill.codistill import column
from ctr_codistill.codistill.column import Reduction
from ctr_codistill.codistill.reading import Reader
from ctr_codistill.errors import InputError
from ctr_codistill.snapshots import Graph
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands

_LOG = logging.getLogger(__name__)
_NONE: Mapping = types.MappingProxyType({})


class Teacher:
  """Peers' snapshots as one function; changes only between steps."""

  def __init__(
    self,
    folders: Mapping[int, pathlib.Path],
    *,
    fixed: Sequence[Snapshot] = (),
    reduction: Reduction = column.mean_prediction,
    demands: Mapping[int, Demands] = _NONE,
    graphs: Mapping[int, Graph | None] = _NONE,
  ):
    """Knows no snapshot of a peer yet.

    Args:
      folders: each peer's directory in the exchange.
      fixed: snapshots that are asked beside the peers.
      reduction: what all that are asked come to.
      demands: what each peer's snapshots must show.
      graphs: what each peer's weights go into; without one it is the graph that
        its snapshots bring.
    """
    thread = ThreadPoolExecutor(1, "teacher")
    self._readers = {
      peer: Reader(
        folders[peer],
        thread,
        demands.get(peer, trust.NONE),
        graphs.get(peer),
      )
      for peer in sorted(folders)
    }
    self.fixed, self._reduction = tuple(fixed), reduction
    self._snapshots: dict[int, Snapshot] = {}
    self._troubles: dict[int, str] = {}
    # Of each set of snapshots that was asked together.
    self._functions: dict[tuple[Snapshot, ...], Callable] = {}

  @property
  def peers(self) -> tuple[int, ...]:
    """Those it may learn from, in ascending order."""
    return tuple(self._readers)

  @property
  def snapshots(self) -> dict[int, Snapshot]:
    """The snapshot in use of each peer that has one."""
    return dict(self._snapshots)

  @property
  def bytes_read(self) -> int:
    """Bytes of all the snapshots that were read so far."""
    return sum(reader.bytes_read for reader in self._readers.values())

  def look(self, *, at_most: float = math.inf) -> None:
    """Starts to read newer snapshots ahead; returns at once.

    Those of a step above `at_most` are not there yet.
    """
    for peer, reader in self._readers.items():
      reader.look(self._snapshots.get(peer), at_most=at_most)

  def wait(self) -> None:
    """Returns when all that is being read has been read."""
    for reader in self._readers.values():
      reader.wait()

  def newer(self) -> list[int]:
    """Returns for each of `peers` the step that was read ahead, -1 for none."""
    return [self._readers[peer].ready for peer in self.peers]

  def has(self, peer: int, step: int) -> bool | None:
    """Tells whether snapshot `step` of `peer` is ready to be taken.

    False: it cannot be read. None: not yet; it is being read from now on.
    """
    return self._readers[peer].has(step, self._snapshots.get(peer))

  def awaited(self, peer: int, step: int) -> bool:
    """Tells whether snapshot `step` of `peer` is in use or ready to be taken.

    It is looked for anew with each call until it is: one that is not there, or
    cannot be read, may be written yet.
    """
    used = self._snapshots.get(peer)
    if used and used.step == step:
      return True
    found = self.has(peer, step)
    if found is False:
      self._tell(peer, step, self._readers[peer].take().error)
    return bool(found)

  def take(self, steps: Sequence[int]) -> list[str]:
    """Takes the snapshots of the given steps, -1 for none, in order of `peers`.

    What is ready is taken at once, what is not is read first.

    Returns:
      For each of `peers` the error that kept its snapshot away, "" if none; the
      one in use stays.
    """
    return [self._take(p, s) for p, s in zip(self.peers, steps, strict=True)]

  def refuse(self, peer: int, step: int) -> None:
    """Passes over snapshot `step` of `peer` from now on."""
    self._readers[peer].refuse(step)

  def __call__(
    self,
    features: Mapping[str, tf.Tensor],
    shares: Mapping[int, float] | None = None,
  ) -> tf.Tensor:
    """Returns the column of logits `[batch]`, for `predict_ids`' features.

    Args:
      features: of the examples.
      shares: how much each peer that is asked counts, above 0, where a fixed
        teacher counts 1; by default all that have a snapshot count 1.
    """
    if shares is None:
      shares = dict.fromkeys(self._snapshots, 1.0)
    asked = sorted(shares)
    members = (*(self._snapshots[peer] for peer in asked), *self.fixed)
    if not members:
      raise InputError("the teacher should have a snapshot, has none")
    counts = [*(shares[peer] for peer in asked), *[1.0] * len(self.fixed)]
    if members not in self._functions:
      self._functions[members] = self._traced(members)
    given = tensors.of(counts, np.float32)
    return self._functions[members](given, **features)

  def trouble(self, peer: int) -> str:
    """Tells what kept the snapshot of `peer` away that is awaited, or ""."""
    return self._troubles.get(peer, "")

  def _tell(self, peer: int, step: int, error: str) -> None:
    """Keeps what is wrong with one that is awaited, and says it once."""
    reader = self._readers[peer]
    if reader.is_there(step) and error != self.trouble(peer):
      _LOG.warning("a snapshot is waited for: %s", error)
    self._troubles[peer] = error

  def _take(self, peer: int, step: int) -> str:
    if step < 0:
      return ""
    reader = self._readers[peer]
    while self.has(peer, step) is None:
      reader.wait()
    found = reader.take()
    if isinstance(found.content, Snapshot):
      if peer in self._snapshots:
        self._forget(self._snapshots[peer])
      self._snapshots[peer] = found.content
    elif found.content:
      self._snapshots[peer].swap(found.content)
    return found.error

  def _forget(self, snapshot: Snapshot) -> None:
    """Gives up the functions, and with them the memory, of a snapshot."""
    self._functions = {
      members: function
      for members, function in self._functions.items()
      if snapshot not in members
    }

  def _traced(self, members: Sequence[Snapshot]) -> Callable:
    def asked(shares: tf.Tensor, **features: tf.Tensor) -> tf.Tensor:
      logits = [m.predict_ids(**features)["logit"] for m in members]
      return self._reduction(tf.stack(logits), shares)

    return tf.function(asked, autograph=False)
