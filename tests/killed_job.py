"""Runs pipelines.prepare again and again until it is not killed any more.

Each attempt is a process of its own, forked after the slow imports. It kills
itself before one of its changes in the output, which a seed draws; what Python
still holds in its buffers is lost.

  python tests/killed_job.py SEED MOST_CHANGES --input=... --output=...
"""

import os
import random
import signal
import sys

from pipelines import command
from pipelines import prepare

_CHANGES = ("os.rename", "os.remove", "os.truncate", "os.rmdir", "os.mkdir")


def _kill_after(changes, output):
  left = [changes]

  def hook(event, arguments):
    if event != "open" and event not in _CHANGES:
      return
    if event == "open" and not set(str(arguments[1])) & set("wa+"):
      return
    if output in str(arguments[0]):
      left[0] -= 1
      if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

  sys.addaudithook(hook)


def _attempt(changes, flags):
  output = next(flag for flag in flags if flag.startswith("--output="))
  child = os.fork()
  if not child:
    _kill_after(changes, output.removeprefix("--output="))
    sys.argv = ["prepare", *flags]
    try:
      command.run(prepare.main)
    except SystemExit as end:
      sys.stderr.flush()
      sys.stdout.flush()
      os._exit(end.code or 0)
    os._exit(9)
  return os.waitpid(child, 0)[1]


def main(seed, most, *flags):
  drawn, kills = random.Random(int(seed)), 0
  while os.WIFSIGNALED(status := _attempt(drawn.randrange(int(most)), flags)):
    kills += 1
  print(f"{kills} kills")
  return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
  sys.exit(main(*sys.argv[1:]))
