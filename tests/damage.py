"""Damage to the files of a directory, a little at a time, and its repair."""

import itertools
import os


def each(folder, random, regions):
  """Yields what was done to a file below `folder`, which is undone after.

  Every file is cut into as many `regions`; in each a bit is flipped, and the
  file ends there. A byte more at its end is damage too.
  """
  for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    whole = path.read_bytes()
    name = path.relative_to(folder)
    bounds = [len(whole) * i // regions for i in range(regions + 1)]
    for low, high in itertools.pairwise(bounds):
      if low == high:
        continue
      at = random.randint(low, high)
      flipped = bytearray(whole)
      flipped[at] ^= 1 << random.randint(8)
      yield from _done(path, bytes(flipped), whole, f"{name}: flip at {at}")
      yield from _done(path, whole[:at], whole, f"{name}: cut at {at}")
    yield from _done(path, whole + b"\n", whole, f"{name}: a byte more")


def _done(path, damaged, whole, said):
  _replace(path, damaged)
  yield said
  _replace(path, whole)


def _replace(path, content):
  # Not in place: the file may be linked to those of other snapshots.
  aside = path.with_name(path.name + "-aside")
  aside.write_bytes(content)
  os.replace(aside, path)
