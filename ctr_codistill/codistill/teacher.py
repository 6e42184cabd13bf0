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

import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.snapshots import Snapshot


class Teacher:
  """Peers' snapshots as one function; changes only between steps."""

  def __init__(self, folders: Mapping[int, pathlib.Path]):
    """Knows no snapshot yet.

    Args:
      folders: each peer's directory in the exchange.
    """
    self._folders = dict(folders)
    self._snapshots: dict[int, Snapshot] = {}
    self._members: tuple[Snapshot, ...] = ()
    self._mean: Callable | None = None

  @property
  def peers(self) -> tuple[int, ...]:
    """Those it may learn from, in ascending order."""
    return tuple(sorted(self._folders))

  @property
  def snapshots(self) -> dict[int, Snapshot]:
    """The snapshot in use of each peer that has one."""
    return dict(self._snapshots)

  def newer(self) -> list[int]:
    """Returns for each of `peers` the step of its newest good snapshot.

    -1 stands for the one in use, or none. A torn one is passed over for the
    next older; a lower step than the one in use counts once no higher is left.
    """
    return [self._newer(peer) for peer in self.peers]

  def take(self, steps: Sequence[int]) -> list[str]:
    """Takes the snapshots of the given steps, -1 for none, in order of `peers`.

    Returns:
      For each of `peers` the error that kept its snapshot away, "" if none.
    """
    errors = [self._take(p, s) for p, s in zip(self.peers, steps, strict=True)]
    self._trace()
    return errors

  def drop(self, peer: int) -> None:
    """Forgets the snapshot of `peer` until the next one is taken."""
    self._snapshots.pop(peer, None)
    self._trace()

  def __call__(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns the mean probability `[batch]`, for `predict_ids`' features."""
    if self._mean is None:
      raise InputError("the teacher should have a snapshot, has none")
    return self._mean(**features)

  def _newer(self, peer: int) -> int:
    root, used = self._folders[peer], self._snapshots.get(peer)
    for step in reversed(stamped.numbers(root)):
      # A peer that was set back to a checkpoint has only lower steps.
      if used and step == used.step:
        break
      try:
        stamped.verify(root / str(step))
        return step
      except (stamped.TornError, OSError):
        continue
    return -1

  def _take(self, peer: int, step: int) -> str:
    if step < 0:
      return ""
    path = self._folders[peer] / str(step)
    try:
      if peer in self._snapshots:
        self._snapshots[peer].swap(path)
      else:
        self._snapshots[peer] = Snapshot(path)
    except (stamped.TornError, OSError) as error:
      return str(error)  # the one in use is whole
    except InputError as error:
      self._snapshots.pop(peer, None)  # some of its variables may be new
      return str(error)
    return ""

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
