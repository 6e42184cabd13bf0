"""A long run that publishes, learns, and is hit now and then: nothing grows."""

import dataclasses
import os
import pathlib
import random
import signal
import time

import launching
import numpy as np
from faults import report
from faults import runs

_PAUSE = 2.0  # seconds between samples
_WARM = 45.0  # seconds in which a process still grows to its size
_SLACK = 16.0  # MiB that the memory of a process may seem to grow


@dataclasses.dataclass
class Life:
  """What was seen of one process: seconds, MiB, open files."""

  samples: list[tuple[float, float, int]]

  def grown(self):
    """Returns MiB and files that it has at its end more than when warm."""
    first = self.samples[0][0]
    warm = np.array([s[1:] for s in self.samples if s[0] - first > _WARM])
    third = len(warm) // 3
    if third < 5:
      return None
    return np.median(warm[-third:], 0) - np.median(warm[:third], 0)


def _look(pid):
  entry = pathlib.Path("/proc") / str(pid)
  words = (entry / "statm").read_text().split()
  size = int(words[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
  return time.monotonic(), size, len(os.listdir(entry / "fd"))


def _watch(process, workdir, lives):
  for pid in [process.pid, *(pid for _, pid in launching.workers(workdir))]:
    try:
      lives.setdefault(pid, Life([])).samples.append(_look(pid))
    except OSError:
      continue  # it has ended meanwhile


@report.fault("a soak: publish, swap, restart, and nothing grows")
def soak(trial):
  """Kills a worker three times; each process must keep its size."""
  drawn, workdir, lives = random.Random(4), trial.folder / "run", {}
  endless = ("--training.epochs=1e6", "--training.max_steps=0")
  process = runs.start(workdir, "--reproducible=false", *endless)
  begin = time.monotonic()
  kills = [begin + 60 * trial.minutes * part / 4 for part in (1, 2, 3)]
  while time.monotonic() - begin < 60 * trial.minutes:
    assert process.poll() is None
    _watch(process, workdir, lives)
    if kills and time.monotonic() > kills[0]:
      kills.pop(0)
      runs.send(drawn.choice(launching.workers(workdir))[1], signal.SIGKILL)
    time.sleep(_PAUSE)
  process.terminate()
  assert process.wait() == 143
  grown = [life.grown() for life in lives.values()]
  grown = [one for one in grown if one is not None]
  for size, files in grown:
    trial.say(f"grown by {size:.1f} MiB and {files:.0f} open files")
  flat = sum(size < _SLACK and files < 8 for size, files in grown)
  return report.Outcome(len(grown), int(flat), runs.lost(workdir))
