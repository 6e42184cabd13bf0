"""The files that tell a server what pipelines.export serves: their flags."""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from ctr_codistill.exporting import server_files
from ctr_codistill.exporting.server_files import Batching
from ctr_codistill.exporting.server_files import Served
from pipelines import command

_SERVER_CONFIG = flags.DEFINE_string(
  "server_config",
  None,
  "directory for models.config and batching.config of TF Serving",
)
_SERVED_VERSIONS = flags.DEFINE_string(
  "served_versions", "latest:1", "in models.config: latest:N, all, specific:1,2"
)
_SERVED_PATH = flags.DEFINE_string(
  "served_path", None, "in models.config: OUTPUT as the server sees it"
)
_MOST_BATCH = flags.DEFINE_integer(
  "most_batch", 1024, "in batching.config: rows of a joined batch"
)
_BATCH_THREADS = flags.DEFINE_integer(
  "batch_threads",
  None,
  "in batching.config: threads that run batches, as many as the server has "
  "cores; default: the cores of this machine",
  lower_bound=1,
)
_BATCH_WAIT_US = flags.DEFINE_integer(
  "batch_wait_us", 1000, "in batching.config: how long a request waits"
)
SETTINGS = (
  *("served_versions", "served_path"),
  *("most_batch", "batch_wait_us", "batch_threads"),
)
"""Flags that say what the files say."""
command.local("server_config")


def files(
  output: str, there: Sequence[int], kept: int | None
) -> tuple[Served, Batching] | None:
  """Returns what the files of --server_config will say; None for no files.

  Before anything is exported: what is exported is served.

  Args:
    output: the directory of the versions.
    there: the versions that will lie there, ascending.
    kept: how many at most will lie there; None for any number.

  Raises:
    InputError: the server would not find what it is told to serve, or the
      files cannot be changed.
  """
  if not _SERVER_CONFIG.value:
    return None
  path = _SERVED_PATH.value or os.path.abspath(output)
  name = pathlib.Path(os.path.abspath(output)).name
  served = Served(name, path, _SERVED_VERSIONS.value)
  served.check(there, kept)
  server_files.check_models(_SERVER_CONFIG.value, served)
  batching = Batching(
    most=_MOST_BATCH.value,
    wait_us=_BATCH_WAIT_US.value,
    threads=_BATCH_THREADS.value or os.cpu_count() or 1,
  )
  return served, batching


def write(files: tuple[Served, Batching] | None) -> None:
  """Writes the files, if any, and prints where they are."""
  if files:
    print(server_files.write_models(_SERVER_CONFIG.value, files[0]))
    print(server_files.write_batching(_SERVER_CONFIG.value, files[1]))
