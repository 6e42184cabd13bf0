"""Counts over any number of rows in a bounded part of the memory.

Values wait in memory until they take too much of it even when each stands there
once; then they go to a sorted run on disk. What is counted is exact.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence

import pyarrow as pa

from ctr_codistill.criteo import parallel
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.preparing.counting import Counts


class Tally:
  """Takes the counts of one block after the other.

  Args:
    names: of the categoricals.
    folder: for the runs; made when there is one.
    most_bytes: that values may take in memory before they are spilled.
    threads: that group and sort.
    start: what was counted before; its values lie in the runs.
    runs: that are there.
    spilled_bytes: that they take.
  """

  def __init__(
    self,
    names: Sequence[str],
    folder: str | os.PathLike,
    *,
    most_bytes: int,
    threads: int,
    start: Counts,
    runs: int = 0,
    spilled_bytes: int = 0,
  ) -> None:
    self._names = names
    self._folder = pathlib.Path(folder)
    self._most_bytes = most_bytes
    self._threads = threads
    self._bytes = 0
    self.counts = start
    self.runs = runs
    self.spilled_bytes = spilled_bytes

  def add(self, counts: Counts) -> bool:
    """Adds the counts of rows that come next; tells whether to spill now."""
    self.counts = self.counts.merge(counts)
    self._bytes += counts.bytes
    if self._bytes <= self._most_bytes:
      return False
    values = tuple(
      parallel.in_order(spilling.grouped, self.counts.values, self._threads)
    )
    self.counts = dataclasses.replace(self.counts, values=values)
    self._bytes = self.counts.bytes
    # At half of it, or the next blocks would group it all over again.
    return self._bytes > self._most_bytes // 2

  def spill(self) -> None:
    """Moves the values out of memory, to a run of each feature.

    Raises:
      OSError: such as a full disk; the values stay.
    """
    self._folder.mkdir(parents=True, exist_ok=True)

    def write(place: int) -> int:
      file = path(self._folder, self.runs, self._names[place])
      return spilling.write(self.counts.values[place], file)

    places = range(len(self._names))
    sizes = parallel.in_order(write, places, self._threads)
    self.spilled_bytes += sum(sizes)
    self.runs += 1
    empty = tuple(spilling.TYPE.empty_table() for _ in self._names)
    self.counts = dataclasses.replace(self.counts, values=empty)
    self._bytes = 0

  def values(self, place: int) -> Iterator[pa.Table]:
    """Yields each value of feature `place` once, with its count."""
    name = self._names[place]
    paths = [path(self._folder, run, name) for run in range(self.runs)]
    return spilling.merged(paths, self.counts.values[place])


def path(folder: pathlib.Path, run: int, name: str) -> pathlib.Path:
  """Returns where a run of the values of feature `name` lies."""
  return folder / f"{name}-{run:05d}.arrow"
