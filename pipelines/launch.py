"""Trains all groups of a run on this machine, a process for each worker.

Each group is one MultiWorkerMirroredStrategy cluster; groups exchange snapshots
through the work directory and nothing else. A group that fails is started again
from its newest checkpoint, and so is the whole run by the same command.

  python -m pipelines.launch --data=DIR --workdir=DIR --groups=2 --workers=2
"""

from absl import flags

from pipelines import command
from pipelines import config_flags
from pipelines import processes
from pipelines import run_flags
from pipelines.display import Display
from pipelines.supervising import supervision

config_flags.define()
supervision.define()
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(supervision)
flags.adopt_module_key_flags(run_flags)


def main() -> int:
  """Starts the workers and returns when all have ended."""
  workdir = run_flags.workdir()
  experiment, data = config_flags.experiment(), run_flags.data()
  plan = processes.Plan("", experiment, data, workdir)
  display = Display()
  run = processes.Run(plan, display, supervision.from_flags())
  processes.keep(run, display)
  print(
    f"trained; snapshots: {workdir / 'exchange'}, curves: tensorboard "
    f"--logdir {workdir}"
  )
  return 0


if __name__ == "__main__":
  command.run(main)
