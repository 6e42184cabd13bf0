"""Runs pipelines.prepare again and again until it is not killed any more.

It does so for each seed of those that are given, in OUTPUT/SEED. Each attempt
is a process of its own, forked after the slow imports. It kills itself before
one of its first MOST changes in the output, which the seed draws; what Python
still holds in its buffers is lost. Where MOST is 0 it lives on. Changes of a
remote output are those of objects, and those in its scratch: SEED in the
directory that the variable SCRATCH names.

  python tests/killed_job.py OUTPUT SEED:MOST,SEED:MOST --input=...
"""

import json
import os
import random
import signal
import sys

from ctr_codistill import places
from ctr_codistill import remote
from pipelines import command
from pipelines import prepare

_REMOTE_CHANGES = (
  (remote, "upload"),
  (places, "rename"),
  (places, "remove"),
)
_CHANGES = ("os.rename", "os.remove", "os.truncate", "os.rmdir", "os.mkdir")


def _kill_after(changes, output):
  left = [changes]

  def change():
    left[0] -= 1
    if left[0] < 0:
      os.kill(os.getpid(), signal.SIGKILL)

  def hook(event, arguments):
    if event != "open" and event not in _CHANGES:
      return
    if event == "open" and not set(str(arguments[1])) & set("wa+"):
      return
    if output in str(arguments[0]):
      change()

  sys.addaudithook(hook)
  for home, name in _REMOTE_CHANGES:
    setattr(home, name, _told(getattr(home, name), change))


def _told(function, change):
  """Returns `function`, which tells `change` of remote paths."""

  def call(path, *rest, **named):
    if places.is_remote(path):
      change()
    return function(path, *rest, **named)

  return call


def _attempt(changes, output, flags):
  watched = output
  if places.is_remote(output):
    watched = os.path.join(os.environ["SCRATCH"], os.path.basename(output))
    flags = (*flags, f"--scratch={watched}")
  child = os.fork()
  if not child:
    if changes is not None:
      _kill_after(changes, watched)
    sys.argv = ["prepare", *flags, f"--output={output}"]
    try:
      command.run(prepare.main)
    except SystemExit as end:
      sys.stderr.flush()
      sys.stdout.flush()
      os._exit(end.code or 0)
    os._exit(9)
  return os.waitpid(child, 0)[1]


def _kills(seed, most, output, flags):
  """Returns how often the job was killed before it came to its end."""
  drawn, kills = random.Random(seed), 0
  while True:
    changes = drawn.randrange(most) if most else None
    status = _attempt(changes, output, flags)
    if not os.WIFSIGNALED(status):
      break
    kills += 1
  if os.waitstatus_to_exitcode(status):
    sys.exit(f"seed {seed}: status {status} after {kills} kills")
  return kills


def main(folder, seeds, *flags):
  found = {}
  if places.is_remote(folder):
    import tensorflow_io  # noqa: F401
  for word in seeds.split(","):
    seed, most = map(int, word.split(":"))
    found[seed] = _kills(seed, most, os.path.join(folder, str(seed)), flags)
  print(json.dumps(found))


if __name__ == "__main__":
  main(*sys.argv[1:])
