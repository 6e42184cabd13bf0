"""One of several processes that read and write one exchange at full speed.

Each owns a group and reads all others. A snapshot's content follows from its
group and step, so that half of one and half of another would be seen.
"""

import json
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).parents[1])]

from ctr_codistill import stamped  # noqa: E402
from ctr_codistill.manifests import TornError  # noqa: E402

KEPT = 2
FILES = 3


def content(group, step, file):
  """Returns some kilobytes that belong to this file alone."""
  return f"{group} {step} {file} ".encode() * (400 + 300 * file)


def publish(root, group, step):
  """Leaves a snapshot, and deletes all but the newest."""

  def fill(folder):
    for file in range(FILES):
      (folder / str(file)).write_bytes(content(group, step, file))

  stamped.write(root / str(step), fill, {"group": group, "step": step})
  stamped.keep_newest(root, KEPT)


class Watch:
  """Reads one peer again and again, and counts what is not as it should be."""

  def __init__(self, root, group):
    self._root, self._group, self._seen = root, group, 0
    self.read = self.gone = self.torn = self.lost = 0

  def look(self):
    """Reads the newest snapshot there is."""
    numbers = stamped.numbers(self._root)
    if (numbers[-1] if numbers else 0) < self._seen:
      self.lost += 1
    if not numbers:
      return
    self._seen = max(self._seen, numbers[-1])
    path = self._root / str(numbers[-1])
    try:
      facts = stamped.verify(path)
      held = [(path / str(file)).read_bytes() for file in range(FILES)]
    except (TornError, FileNotFoundError):
      if stamped.is_stamped(path):
        self.torn += 1
      else:
        self.gone += 1  # two newer ones came meanwhile
      return
    step = numbers[-1]
    wanted = [content(self._group, step, file) for file in range(FILES)]
    right = facts == {"group": self._group, "step": step} and held == wanted
    self.read += right
    self.torn += not right


def main(folder, own, groups, publications):
  """Publishes so often, and reads a peer after each; prints the counts."""
  roots = [pathlib.Path(folder) / f"group-{g}" for g in range(groups)]
  others = [g for g in range(groups) if g != own]
  watches = {g: Watch(roots[g], g) for g in others}
  for step in range(1, publications + 1):
    publish(roots[own], own, step)
    watches[
      (own + step) % groups if step % groups else (own + 1) % groups
    ].look()
  total = {
    name: sum(getattr(watch, name) for watch in watches.values())
    for name in ("read", "gone", "torn", "lost")
  }
  print(json.dumps(total))


if __name__ == "__main__":
  main(sys.argv[1], *map(int, sys.argv[2:]))
