"""Trains ONE worker of one group: what `launch` and a cluster start.

The worker's place among those of its group stands in TF_CONFIG, as everywhere
in TensorFlow; without it the group is this worker alone. One group, by itself:

  python -m pipelines.train --data=DIR --workdir=DIR --groups=1
"""

import os
import pathlib
import time

from absl import flags

from ctr_codistill.training import strategy
from ctr_codistill.training import worker
from ctr_codistill.training.workdir import Place
from pipelines import cache
from pipelines import command
from pipelines import config_flags
from pipelines import surroundings

_DATA = flags.DEFINE_string(
  "data", None, "directory that prepare wrote, here or s3://"
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "directory of the run, the same for all groups; going on"
  " from the newest checkpoint there",
)
_GROUP = flags.DEFINE_integer("group", 0, "the group of this worker, from 0")
config_flags.define()
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(cache)
command.require("data", "workdir")
command.local("workdir")


def main() -> int:
  """Runs the worker."""
  cluster = strategy.from_tf_config(os.environ.get("TF_CONFIG"))
  place = Place(
    data=cache.data(_DATA.value),
    workdir=pathlib.Path(_WORKDIR.value),
    group=_GROUP.value,
    cluster=cluster,
  )
  worker.Worker(
    config_flags.experiment(),
    place,
    clock=time.time,
    sleep=time.sleep,
    surroundings=surroundings.read(),
  ).run()
  return 0


if __name__ == "__main__":
  command.run(main)
