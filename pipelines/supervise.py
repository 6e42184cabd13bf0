"""Keeps ONE worker of a group going on this host, or a whole group.

The entry point of a container. With TF_CONFIG it is the worker that this names,
always at the same address; the others of the group have supervisors of their
own, on their hosts. When one worker dies, the collectives of the others end in
an error, and all supervisors start theirs again, from the newest checkpoint.
Without TF_CONFIG all workers of the group run here.

  python -m pipelines.supervise --data=DIR --workdir=DIR --group=0 --workers=2
"""

import os

from absl import flags

from ctr_codistill.training import strategy
from pipelines import command
from pipelines import config_flags
from pipelines import processes
from pipelines import run_flags
from pipelines.display import Display
from pipelines.processes import Here
from pipelines.supervising import supervision

_GROUP = flags.DEFINE_integer("group", 0, "the group, from 0")
config_flags.define()
supervision.define()
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(supervision)
flags.adopt_module_key_flags(run_flags)


def main() -> int:
  """Returns when the group came to its end."""
  text = os.environ.get("TF_CONFIG")
  cluster = strategy.from_tf_config(text) if text else None
  plan = processes.Plan(
    "",
    config_flags.experiment(),
    run_flags.data(),
    run_flags.workdir(),
  )
  display, here = Display(), Here(_GROUP.value, cluster)
  run = processes.Run(plan, display, supervision.from_flags(), here)
  processes.keep(run, display)
  return 0


if __name__ == "__main__":
  command.run(main)
