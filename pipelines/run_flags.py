"""Where a run reads and where it lives: the flags --data and --workdir.

Of all that trains: a launcher and a supervisor hand them on to their workers.
"""

import pathlib

from absl import flags

from pipelines import cache
from pipelines import command

_DATA = flags.DEFINE_string(
  "data", None, "directory that prepare wrote, here or s3://"
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "directory of the run, the same for all groups; a run goes on from the newest"
  " checkpoints there",
)
flags.adopt_module_key_flags(cache)
command.require("data", "workdir")
command.local("workdir")


def data() -> pathlib.Path:
  """Returns the prepared directory of this machine, or its copy there."""
  return cache.data(_DATA.value)


def workdir() -> pathlib.Path:
  """Returns the directory of the run."""
  return pathlib.Path(_WORKDIR.value)
