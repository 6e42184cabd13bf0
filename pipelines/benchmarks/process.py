"""A whole training against its own bare step: what all the rest costs.

The training is a real one: made clicks, prepared, read as records, shuffled,
trained on, logged, and published every 500 steps. Its bare step is timed before
and after it, on batches of the same data.
"""

import itertools
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.made import click_file
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.job import Options
from ctr_codistill.criteo.share import Share
from ctr_codistill.criteo.synthetic import Spec
from ctr_codistill.evaluation import curves
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training import workdir
from ctr_codistill.training.trainer import Trainer
from pipelines import config_flags
from pipelines.benchmarks.work import Work

UNIT = "examples/s"
_PUBLISHED = 500
_SUMMARIZED = 10
_WARM = 20  # steps that trace, and fill what is read ahead


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the rate of the process and of its step, a line each."""
  return [{"part": name, UNIT: rate} for name, rate in rates(work).items()]


def rates(work: Work) -> dict[str, float]:
  """Returns examples/s of the whole process and of its bare step."""
  # First of all: TensorFlow takes no number of threads once it was used.
  strategy = strategies.start(strategies.Cluster(), timeout=60)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    _prepare(folder, work)
    bare = _bare(strategy, folder / "data", work)
    before = bare()
    whole = _whole(folder, work)
    after = bare()
  return {"process": whole, "step": (before + after) / 2}


def results(rates: dict[str, float]) -> list[dict[str, object]]:
  """Returns the line of the benchmark."""
  return [
    {
      "name": "process_over_step",
      "value": rates["process"],
      "unit": "examples/s",
      "against": "step",
      "ratio": rates["process"] / rates["step"],
    }
  ]


def _steps() -> int:
  """Returns the steps of the training: past a publication, and its cost."""
  return _PUBLISHED + _SUMMARIZED


def _prepare(folder: pathlib.Path, work: Work) -> None:
  rows = int((_steps() + 1) * work.batch / (1 - Options.validation_fraction))
  click_file.write(
    Spec(rows_per_day=rows), folder / "clicks.tsv", start=0, stop=rows
  )
  preparation.prepare(
    str(folder / "clicks.tsv"),
    folder / "data",
    Options(min_count=1),
    clock=time.monotonic,
  )


def _experiment(work: Work) -> config.Experiment:
  return config.Experiment(
    groups=1,
    model=work.model,
    training=config.Training(
      batch_size=work.batch,
      max_steps=_steps(),
      evaluate_every=0,
      checkpoint_every=0,
      summarize_every=_SUMMARIZED,
    ),
    exchange=config.Exchange(every_steps=_PUBLISHED),
  )


def _whole(folder: pathlib.Path, work: Work) -> float:
  """Returns the rate of a training in a process of its own, once it is warm."""
  line = [sys.executable, "-m", "pipelines.launch", f"--data={folder / 'data'}"]
  line += [f"--workdir={folder / 'run'}"]
  line += config_flags.as_arguments(_experiment(work))
  subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
  events = workdir.group_folder(folder / "run", 0) / "events"
  steps, rate = curves.read(events, "examples_per_second")
  kept = np.array(rate)[np.array(steps) > _WARM]
  return float(1 / np.mean(1 / kept))


def _bare(
  strategy: tf.distribute.Strategy, data: pathlib.Path, work: Work
) -> Callable[[], float]:
  """Returns what times the step alone, on batches of the training's data."""
  schema = schemas.read(data)
  trainer = Trainer(
    strategy,
    lambda: networks.build(work.model, schema, seed=1),
    lambda: optimizers.build(config.Optimizer(), steps=1000),
    numerics=len(schema.numeric),
    batch_size=work.batch,
  )
  shards = records.open_shards(data / "train", schema)
  rows = dataset.batches(shards, Share(), batch_rows=work.batch)
  batches = [tf.constant(batch) for batch in itertools.islice(rows, 8)]

  def rate() -> float:
    taken = []
    for i in range(_WARM + work.steps):
      start = time.perf_counter()
      trainer.step(batches[i % 8], trainer.no_opinion, 0.0)[0].numpy()
      taken.append(time.perf_counter() - start)
    return work.batch / float(np.mean(taken[_WARM:]))

  return rate
