"""Says whether two runs are equal to the bit, and where they part.

Exit status 0: equal in every variable of every snapshot of every group; 1: they
differ, and the first step and variable at which they do are named; 2: they
cannot be compared, having other flags, data, software or ends, or a flag of
this script is wrong.

  python -m pipelines.verify RUN OTHER_RUN
"""

import pathlib
import sys

from ctr_codistill.training import verifying
from pipelines import command


def main(*words: str) -> int:
  """Compares the runs in the two directories that are named."""
  if len(words) != 2:
    print(
      f"error: should be given the directories of two runs, is given {words}",
      file=sys.stderr,
    )
    return verifying.INCOMPARABLE
  found = verifying.verify(*map(pathlib.Path, words))
  print("\n".join(found.lines))
  return found.status


if __name__ == "__main__":
  command.run(main, takes_words=True, wrong_flag=verifying.INCOMPARABLE)
