"""The teacher: the mean prediction of one snapshot of each peer.

    q(x) = 1 / |S|  sum over peers s in S of p_s(x)

with S the peers that have published (Anil et al. 2018, Algorithm 1). A newer
snapshot of a peer is swapped into the variables of the older one, so that
neither the step nor the teacher's own function is traced again.
"""

import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from ctr_codistill.codistill.reading import Reader
from ctr_codistill.errors import InputError
from ctr_codistill.snapshots import Snapshot


class Teacher:
  """Peers' snapshots as one function; changes only between steps."""

  def __init__(self, folders: Mapping[int, pathlib.Path]):
    """Knows no snapshot yet.

    Args:
      folders: each peer's directory in the exchange.
    """
    thread = ThreadPoolExecutor(1, "teacher")
    self._readers = {
      peer: Reader(folders[peer], thread) for peer in sorted(folders)
    }
    self._snapshots: dict[int, Snapshot] = {}
    self._members: tuple[Snapshot, ...] = ()
    self._mean: Callable | None = None

  @property
  def peers(self) -> tuple[int, ...]:
    """Those it may learn from, in ascending order."""
    return tuple(self._readers)

  @property
  def snapshots(self) -> dict[int, Snapshot]:
    """The snapshot in use of each peer that has one."""
    return dict(self._snapshots)

  def look(self) -> None:
    """Starts to read newer snapshots ahead; returns at once."""
    for peer, reader in self._readers.items():
      reader.look(self._snapshots.get(peer))

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

  def take(self, steps: Sequence[int]) -> list[str]:
    """Takes the snapshots of the given steps, -1 for none, in order of `peers`.

    What is ready is taken at once, what is not is read first.

    Returns:
      For each of `peers` the error that kept its snapshot away, "" if none; the
      one in use stays.
    """
    errors = [self._take(p, s) for p, s in zip(self.peers, steps, strict=True)]
    self._trace()
    return errors

  def refuse(self, peer: int, step: int) -> None:
    """Passes over snapshot `step` of `peer` from now on."""
    self._readers[peer].refuse(step)

  def drop(self, peer: int) -> None:
    """Forgets the snapshot of `peer` until the next one is taken."""
    self._snapshots.pop(peer, None)
    # What was read may be weights for the snapshot that is gone.
    self._readers[peer].clear()
    self._trace()

  def __call__(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the mean probability `[batch]`, for `predict_ids`' features."""
    if self._mean is None:
      raise InputError("the teacher should have a snapshot, has none")
    return self._mean(**features)

  def _take(self, peer: int, step: int) -> str:
    if step < 0:
      return ""
    reader = self._readers[peer]
    while self.has(peer, step) is None:
      reader.wait()
    found = reader.take()
    if isinstance(found.content, Snapshot):
      self._snapshots[peer] = found.content
    elif found.content:
      self._snapshots[peer].swap(found.content)
    return found.error

  def _trace(self) -> None:
    """Makes the mean's function anew, if other peers take part in it now."""
    members = tuple(self._snapshots[peer] for peer in sorted(self._snapshots))
    if members != self._members:
      self._members = members
      self._mean = _mean(members) if members else None


def _mean(members: Sequence[Snapshot]) -> Callable:
  def mean(**features: tf.Tensor) -> tf.Tensor:
    opinions = [m.predict_ids(**features)["probability"] for m in members]
    return tf.add_n(opinions) / len(opinions)

  return tf.function(mean, autograph=False)
