"""Disks that alter, lose, refuse or forget what was written."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import damage
import hammering
import launching
import numpy as np
import small_disk
from faults import report

from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import curves
from ctr_codistill.training.checkpoints import Checkpoints

PAIR = (*launching.TINY, "--groups=2", "--training.epochs=1000")
DISK_STEPS, DISK_MEGABYTES = 1500, 16
HAMMERS, PUBLICATIONS = 8, 1000


@functools.cache
def _trained():
  """Returns data, and a run of two groups; made once, deleted at the end."""
  held = tempfile.TemporaryDirectory(prefix="storage-")
  folder = pathlib.Path(held.name)
  data = launching.data(folder)
  launching.run(
    "launch",
    *(*PAIR, f"--data={data}", f"--workdir={folder / 'run'}"),
    *("--training.max_steps=40", "--training.checkpoint_every=20"),
    "--exchange.every_steps=10",
  )
  return data, folder / "run", held


def _found(check, folder, trial, seed):
  """Damages a copy of `folder` everywhere; `check` says if it was found."""
  copy, random = trial.folder / "copy", np.random.RandomState(seed)
  shutil.copytree(folder, copy)
  begin = time.monotonic()
  results = [
    check(copy, said) for said in damage.each(copy, random, trial.times)
  ]
  seconds = time.monotonic() - begin
  assert check(copy, "") is False, "what was mended should be good"
  return report.Outcome(len(results), sum(results), seconds / len(results))


@report.fault("a bit or the end of any region of a snapshot lost")
def snapshot(trial):
  """Survived is what no reader takes."""

  def is_refused(path, said):
    try:
      snapshots.read(path)
      return False
    except InputError:
      return True

  root = _trained()[1] / "exchange" / "group-0"
  newest = root / str(stamped.numbers(root)[-1])
  return _found(is_refused, newest, trial, seed=1)


@report.fault("a bit or the end of any region of a checkpoint lost")
def checkpoint(trial):
  """Survived is what the group does not go on from, but from the one before."""
  root = _trained()[1] / "group-0" / "checkpoints"
  older, newest = stamped.numbers(root)
  place = trial.folder / "checkpoints"
  place.mkdir()
  shutil.copytree(root / str(older), place / str(older))

  def is_passed_over(path, said):
    link = place / str(newest)
    path.rename(link)
    step = Checkpoints(place, keep=2).latest()
    link.rename(path)
    return step == older

  return _found(is_passed_over, root / str(newest), trial, seed=2)


@report.fault("a bit or the end of any region of the shards lost")
def shards(trial):
  """Survived is an error, or the rows as they were."""
  data = _trained()[0]
  schema = schemas.read(data)

  def rows(folder):
    found = records.open_shards(folder, schema)
    return np.concatenate(list(records.read_rows(found)))

  wanted = rows(data / "train")

  def is_found(path, said):
    try:
      same = np.array_equal(rows(path), wanted)
      # Where the list of shards says nothing of the rows.
      return same and said.startswith(records.MANIFEST)
    except (InputError, OSError):
      return True

  return _found(is_found, data / "train", trial, seed=3)


@report.fault("eight processes publishing and reading at full speed")
def hammered(trial):
  """Survived is a read that is whole, or finds its snapshot gone by then."""
  script, begin = pathlib.Path(hammering.__file__), time.monotonic()
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, script, trial.folder),
        *map(str, (group, HAMMERS, PUBLICATIONS)),
      ],
      stdout=subprocess.PIPE,
      text=True,
    )
    for group in range(HAMMERS)
  ]
  total = {}
  for process in processes:
    said = launching.ended(process)
    for name, count in json.loads(said).items():
      total[name] = total.get(name, 0) + count
  trial.say(f"{total}, {time.monotonic() - begin:.0f} s")
  good = total["read"] + total["gone"]
  return report.Outcome(good + total["torn"] + total["lost"], good)


def _disturbed(trial, disturb):
  """Trains on a small disk that is disturbed for ten seconds of it."""
  if small_disk.reason():
    raise report.Skipped(small_disk.reason())
  data = _trained()[0]
  with small_disk.mounted(trial.folder / "disk", DISK_MEGABYTES) as disk:
    process = launching.start(
      "launch",
      *(*PAIR, f"--data={data}", f"--workdir={disk}"),
      f"--training.max_steps={DISK_STEPS}",
      *("--training.checkpoint_every=0", "--exchange.every_steps=5"),
      "--training.evaluate_every=0",
      stdout=(trial.folder / "said").open("w"),
    )
    roots = [disk / "exchange" / f"group-{group}" for group in (0, 1)]
    launching.wait_for(lambda: min(map(_newest, roots)) > 20, process)
    begin = [_newest(root) for root in roots]
    mend = disturb(disk)
    time.sleep(10)
    trial.say(f"published up to {begin}, then none")
    mend()
    launching.ended(process)
    failed = [
      curves.read_all(disk / f"group-{group}" / "events", ["publish/failed"])
      for group in (0, 1)
    ]
    trial.say(f"failed: {[f['publish/failed'][1][-1:] for f in failed]}")
    for root in roots:
      assert snapshots.read(root / str(DISK_STEPS)).step == DISK_STEPS
  return report.Outcome(tried=1, survived=1)


def _newest(root):
  return (stamped.numbers(root) or [0])[-1]


@report.fault("a disk that is full for ten seconds of a run")
def full(trial):
  """Survived is a run that ends with its last snapshots."""
  return _disturbed(trial, lambda disk: small_disk.fill(disk).unlink)


@report.fault("an exchange that is away for ten seconds of a run")
def away(trial):
  """Survived is a run that ends with its last snapshots."""

  def disturb(disk):
    shutil.move(disk / "exchange", disk / "away")
    (disk / "exchange").touch()  # not to be made anew

    def mend():
      (disk / "exchange").unlink()
      shutil.move(disk / "away", disk / "exchange")

    return mend

  return _disturbed(trial, disturb)
