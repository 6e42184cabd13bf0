"""Whole runs as a user starts them: data, scripts, and their processes."""

import json
import os
import pathlib
import subprocess
import sys
import time

from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.preparing import preparation

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
  "--model.hidden=8",
  "--model.embedding_dim=2",
  "--training.batch_size=64",
  "--training.threads=1",
)
"""A model whose steps take milliseconds."""


def data(folder, rows=4000):
  """Returns a prepared directory of made clicks, below `folder`."""
  raw = folder / "clicks.tsv"
  raw.write_bytes(synthetic.text(synthetic.rows(synthetic.Spec(), 0, rows)))
  preparation.prepare(
    str(raw), folder / "data", preparation.Options(), clock=time.monotonic
  )
  return folder / "data"


def start(script, *flags, env=None, stdout=subprocess.PIPE, before=()):
  """Starts a script of ours; what it says goes to one stream.

  The words `before` it are a command that starts others.
  """
  path = os.pathsep.join([str(ROOT), *sys.path])
  return subprocess.Popen(
    [*before, sys.executable, "-m", f"pipelines.{script}", *map(str, flags)],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": path, **(env or {})},
    stdout=stdout,
    stderr=subprocess.STDOUT,
    text=True,
  )


def ended(process, status=0):
  """Returns what a script said until it ended with `status`."""
  said, _ = process.communicate(timeout=300)
  assert process.returncode == status, said
  return said


def run(script, *flags, status=0, env=None):
  """Returns what a script says, which ends with `status`."""
  return ended(start(script, *flags, env=env), status)


def wait_for(condition, process=None, seconds=120):
  """Returns when `condition()` holds, while `process` runs."""
  deadline = time.monotonic() + seconds
  while not condition():
    if process is not None:
      assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() < deadline
    time.sleep(0.05)


def workers(workdir):
  """Returns the processes that train in `workdir`: (group, pid), in order."""
  found = []
  for entry in pathlib.Path("/proc").iterdir():
    if not entry.name.isdecimal():
      continue
    try:
      words = (entry / "cmdline").read_bytes().decode().split("\0")
    except OSError:
      continue
    if "pipelines.train" in words and f"--workdir={workdir}" in words:
      groups = [w for w in words if w.startswith("--group=")]
      found.append((int(groups[0].partition("=")[2]), int(entry.name)))
  return sorted(found)


def events(workdir):
  """Returns what happened in a run, in order."""
  path = workdir / "events.jsonl"
  lines = path.read_text().splitlines() if path.exists() else []
  return [json.loads(line) for line in lines]


def happened(workdir, event, **fields):
  """Returns the events of a kind whose fields have the given values."""
  return [
    one
    for one in events(workdir)
    if one["event"] == event and fields.items() <= one.items()
  ]
