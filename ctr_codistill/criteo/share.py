"""Which rows a worker of a group reads: all, a share of them, or an overlap."""

import dataclasses

import numpy as np

from ctr_codistill.errors import InputError


@dataclasses.dataclass(frozen=True)
class Share:
  """The rows of a worker, and what decides their order.

  Rows are dealt in blocks. Of n blocks the nearest whole number to `overlap` x
  n, evenly spread, belong to every group; the others are dealt around, the k-th
  of them to group k mod groups. So a group has `overlap` + (1 - `overlap`) /
  groups of the rows, to within a block, and each row belongs to all groups or
  to one. Within a group each row of an epoch goes to one worker; fewer than
  `workers` rows an epoch stay out, others each time.

  Attributes:
    group: of the worker, in [0, groups).
    groups: that train side by side.
    worker: in the group, in [0, workers).
    workers: of the group.
    overlap: share of the rows that every group reads, in [0, 1].
    coordinated: whether all groups read in the same order; then they read the
      same rows, so `overlap` is 1.
    seed: of the order, in [0, 2^32).
    window_rows: most rows that are shuffled together, at least 1; a block's
      where a block has more.
    parts: into which the groups cut a window; 1 where each group shuffles for
      itself. More of them lie the same way in all groups, which read all rows:
      each begins at another part of a window and goes around, in an order of
      its own within a part, so that groups come to a part at different times.

  Raises:
    InputError: a field out of its range.
  """

  group: int = 0
  groups: int = 1
  worker: int = 0
  workers: int = 1
  overlap: float = 1.0
  coordinated: bool = False
  seed: int = 0
  window_rows: int = 131_072
  parts: int = 1

  def __post_init__(self) -> None:
    for name, count in (("group", self.groups), ("worker", self.workers)):
      if not 0 <= getattr(self, name) < count:
        raise InputError(
          f"{name} should be in [0, {count}), is {getattr(self, name)}"
        )
    if not 0 <= self.overlap <= 1:
      raise InputError(f"overlap should be in [0, 1], is {self.overlap}")
    if self.coordinated and self.overlap != 1:
      raise InputError(
        f"overlap of coordinated groups should be 1, is {self.overlap}"
      )
    if self.window_rows < 1:
      raise InputError(
        f"window_rows should be at least 1, is {self.window_rows}"
      )
    if self.parts < 1:
      raise InputError(f"parts should be at least 1, is {self.parts}")
    if self.parts > 1 and (self.coordinated or self.overlap < 1):
      raise InputError(
        "parts should be 1 unless groups read the same rows, each in its own "
        f"order; is {self.parts}"
      )


def blocks(share: Share, count: int) -> np.ndarray:
  """Returns which of `count` blocks the group reads, int64 `[blocks]`."""
  bounds = np.floor(np.arange(count + 1) * share.overlap + 0.5)
  common = np.diff(bounds) > 0
  dealt = np.cumsum(~common) - 1
  return np.flatnonzero(common | (dealt % share.groups == share.group))
