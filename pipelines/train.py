"""Trains ONE worker of one group: what `launch` and a cluster start.

The worker's place among those of its group stands in TF_CONFIG, as everywhere
in TensorFlow; without it the group is this worker alone. One group, by itself:

  python -m pipelines.train --data=DIR --workdir=DIR --groups=1

SIGTERM makes all workers of the group write a checkpoint and leave, in status
143; what another start may mend ends in 75.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from typing import NoReturn

from absl import flags

from ctr_codistill import config
from ctr_codistill.config import Experiment
from ctr_codistill.errors import InputError
from ctr_codistill.training import outside as outsides
from ctr_codistill.training import strategy
from ctr_codistill.training import worker
from ctr_codistill.training.outside import Outside
from ctr_codistill.training.workdir import Place
from pipelines import command
from pipelines import config_flags
from pipelines import run_flags
from pipelines import surroundings
from pipelines.supervising import heart
from pipelines.supervising.watch import Watch

_GROUP = flags.DEFINE_integer("group", 0, "the group of this worker, from 0")
_PULSE = flags.DEFINE_integer(
  "pulse",
  -1,
  "open file in which the worker says what it is about, for who started it",
)
config_flags.define()
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(run_flags)


def main() -> int:
  """Runs the worker."""
  pulse = heart.Heart(_PULSE.value)
  pulse.beat("starting")
  cluster = strategy.from_tf_config(os.environ.get("TF_CONFIG"))
  place = Place(
    data=run_flags.data(),
    workdir=run_flags.workdir(),
    group=_GROUP.value,
    cluster=cluster,
  )
  experiment = config_flags.experiment()
  own = config.for_group(experiment, place.group).training
  watch = Watch(outsides.patience(own), pulse.beat, ticks=time.monotonic)
  if len(cluster.workers) > 1:
    watch.start(_give_up, time.sleep)
  asked = threading.Event()
  outside = Outside(
    clock=time.time,
    ticks=time.monotonic,
    sleep=time.sleep,
    beat=watch.beat,
    is_asked_to_leave=asked.is_set,
    surroundings=surroundings.read(),
  )
  try:
    return _run(experiment, place, outside, asked)
  except InputError:
    raise
  except Exception as error:
    traceback.print_exc()
    first = str(error).partition("\n")[0]
    print(f"error: {type(error).__name__}: {first}", file=sys.stderr)
    _end(command.PASSING)


def _run(
  experiment: Experiment,
  place: Place,
  outside: Outside,
  asked: threading.Event,
) -> int:
  found = worker.Worker(experiment, place, outside)
  # Not earlier: TensorFlow takes the signal for itself when a group is joined.
  signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
  if not found.run():
    _end(command.TERMINATED)
  return 0


def _give_up(said: str) -> None:
  """Says where each thread is, and ends for another start."""
  faulthandler.dump_traceback()
  print(f"error: {said}", file=sys.stderr)
  _end(command.PASSING)


def _end(status: int) -> NoReturn:
  """Ends at once: the usual end waits for workers that are gone."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


if __name__ == "__main__":
  command.run(main)
