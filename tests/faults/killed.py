"""Workers, chiefs and supervisors killed at any moment, or told to leave."""

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
  seconds = runs.undisturbed().seconds
  trial.say(f"undisturbed: {seconds:.0f} s")
  drawn, tried, survived, took = random.Random(1), 0, 0, 0.0
  while tried < trial.times:
    workdir = trial.folder / str(tried)
    begin = time.monotonic()
    kills = _kill(workdir, drawn, trial.times - tried)
    took += time.monotonic() - begin - seconds
    tried += kills
    survived += kills * runs.is_like_undisturbed(workdir)
    trial.say(f"{tried} kills, {survived} survived, {took:.0f} s more")
  return report.Outcome(tried, survived, round(took / tried, 1))


def _kill(workdir, drawn, most, *flags):
  """Runs once, and kills at most so often; returns how often it did."""
  process, count = runs.start(workdir, *flags), 0
  while _goes_on(process, drawn.uniform(0, _LONGEST)):
    workers = launching.workers(workdir)
    if count >= most or not workers:
      continue
    if drawn.random() < _SUPERVISORS:
      runs.kill(process, workdir)
      process = runs.start(workdir, *flags)
      count += 1
    else:
      count += runs.send(drawn.choice(workers)[1], signal.SIGKILL)
  runs.finish(process)
  return count


def _goes_on(process, seconds):
  """Tells whether a process still runs after so many seconds."""
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    return True
  return False


@report.fault("SIGKILL of a group that learns alone, not reproducible")
def alone(trial):
  """It must see the same examples, each once: it has the same bits then.

  With one thread and without peers nothing else decides them.
  """
  flags = ("--reproducible=false", "--groups=1")
  whole, workdir = trial.folder / "whole", trial.folder / "run"
  runs.finish(runs.start(whole, *flags))
  most = max(trial.times // 10, 1)
  tried = _kill(workdir, random.Random(5), most, *flags)
  same = runs.is_like_undisturbed(workdir, whole)
  return report.Outcome(tried, tried * same, runs.lost(workdir))


@report.fault("SIGTERM of the supervisor")
def told(trial):
  """Tells a run to leave again and again; it must go on where it was."""
  drawn, tried, clean, begin = random.Random(2), 0, 0, time.monotonic()
  workdir, most = trial.folder / "run", max(trial.times // 10, 1)
  process = runs.start(workdir)
  while tried < most and _goes_on(process, drawn.uniform(5, _LONGEST)):
    process.terminate()
    tried += 1
    clean += process.wait() == 143 and not launching.workers(workdir)
    process = runs.start(workdir)
  runs.finish(process)
  took = time.monotonic() - begin - runs.undisturbed().seconds
  clean *= runs.is_like_undisturbed(workdir)
  return report.Outcome(tried, clean, round(took / max(tried, 1), 1))
