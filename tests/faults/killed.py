"""Workers, chiefs and supervisors killed at random moments."""

import random
import signal
import subprocess
import time

import launching
from faults import report
from faults import runs

_SUPERVISORS = 0.2  # share of the kills
_LONGEST = 30.0  # seconds between two


@report.fault("SIGKILL of workers, chiefs and supervisors")
def killed(trial):
  """Kills one after the other; each run must end with the same bits."""
  make = runs.maker(trial.folder, "--reproducible", "--training.max_steps=600")
  whole, seconds = make.whole()
  trial.say(f"undisturbed: {seconds:.0f} s")
  drawn, tried, survived, took = random.Random(1), 0, 0, 0.0
  name = 0
  while tried < trial.times:
    workdir, start = trial.folder / str(name), time.monotonic()
    kills = _disturb(make, workdir, drawn, trial.times - tried)
    took += time.monotonic() - start - seconds
    same = runs.equal(whole, workdir)
    tried, survived, name = tried + kills, survived + kills * same, name + 1
    trial.say(f"{tried} kills, {survived} survived, {took:.0f} s more")
  return report.Outcome(tried, survived, round(took / tried, 1))


def _disturb(make, workdir, drawn, most):
  """Runs once, and kills at most so often; returns how often it did."""
  process, count = make.start(workdir.name), 0
  while process.poll() is None:
    try:
      process.wait(drawn.uniform(0, _LONGEST))
    except subprocess.TimeoutExpired:
      pass
    if process.poll() is not None or count >= most:
      continue
    if drawn.random() < _SUPERVISORS:
      runs.kill(process, workdir)
      process = make.start(workdir.name)
      count += 1
    elif workers := launching.workers(workdir):
      count += runs.send(drawn.choice(workers)[1], signal.SIGKILL)
  runs.finish(process)
  return count


@report.fault("SIGTERM of the supervisor")
def told(trial):
  """Tells a run to leave; it must go on where it was, with the same bits."""
  make = runs.maker(trial.folder, "--reproducible", "--training.max_steps=600")
  whole, seconds = make.whole()
  drawn, tried, clean, took = random.Random(2), 0, 0, -seconds
  start, workdir = time.monotonic(), trial.folder / "run"
  process = make.start("run")
  while process.poll() is None and tried < max(trial.times // 10, 1):
    try:
      process.wait(drawn.uniform(5, _LONGEST))
    except subprocess.TimeoutExpired:
      process.terminate()
      status = process.wait()
      tried += 1
      clean += status == 143 and not launching.workers(workdir)
      process = make.start("run")
  runs.finish(process)
  took += time.monotonic() - start
  clean *= runs.equal(whole, workdir)
  return report.Outcome(tried, clean, round(took / max(tried, 1), 1))
