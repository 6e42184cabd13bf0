"""Prepared data of s3:// or http:// on this machine: what --cache says.

Training and prediction read local files only; see `criteo.fetching`.
"""

import pathlib

from absl import flags

from ctr_codistill import places
from ctr_codistill.criteo import fetching
from ctr_codistill.criteo import records
from pipelines import command
from pipelines.bars import Bars

_CACHE = flags.DEFINE_string(
  "cache",
  None,
  "local directory for copies of prepared data of s3:// or http://, made once "
  "and never deleted; by default one in the system's temporary directory",
)
command.local("cache")


def data(path: str) -> pathlib.Path:
  """Returns a prepared directory of this machine: `path`, or its copy."""
  if not places.is_remote(path):
    return pathlib.Path(path)
  command.reach(path)
  with Bars() as bars:
    return fetching.fetch(path, _cache(), bars)


def shards(path: str) -> str:
  """Returns `path`, or its copy where it is a remote directory of shards."""
  manifest = f"{path.rstrip('/')}/{records.MANIFEST}"
  if not places.is_remote(path) or not places.is_file(manifest):
    return path
  with Bars() as bars:
    return str(fetching.fetch_split(path, _cache(), bars))


def _cache() -> str:
  return _CACHE.value or command.temporary("cache")
