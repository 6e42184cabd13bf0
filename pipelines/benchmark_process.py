"""A whole training against its own bare step: what all the rest costs.

The training is a real one: made clicks, prepared, read as records, shuffled,
trained on, logged, and published every 500 steps. Its bare step is timed before
and after it in the same process, on its own batches.
"""

import itertools
import pathlib
import tempfile
import time

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
from ctr_codistill.training.trainer import Trainer
from ctr_codistill.training.workdir import Place
from ctr_codistill.training.worker import Worker
from pipelines.benchmark_step import Work

_PUBLISHED = 500
_SUMMARIZED = 10
_WARM = 20  # steps that trace, and fill what is read ahead


def rates(work: Work) -> dict[str, float]:
  """Returns examples/s of the whole process and of its bare step."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    _prepare(folder, work)
    before = _bare(folder / "data", work)
    whole = _whole(folder, work)
    after = _bare(folder / "data", work)
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
  place = Place(
    folder / "data", folder / "run", group=0, cluster=strategies.Cluster()
  )
  Worker(_experiment(work), place, clock=time.time).run()
  steps, rate = curves.read(place.folder / "events", "examples_per_second")
  kept = np.array(rate)[np.array(steps) > _WARM]
  return 1 / np.mean(1 / kept)


def _bare(data: pathlib.Path, work: Work) -> float:
  schema = schemas.read(data)
  trainer = Trainer(
    strategies.start(strategies.Cluster(), timeout=60),
    lambda: networks.build(work.model, schema, seed=1),
    lambda: optimizers.build(config.Optimizer(), steps=1000),
    numerics=len(schema.numeric),
    batch_size=work.batch,
  )
  shards = records.open_shards(data / "train", schema)
  rows = dataset.batches(shards, Share(), batch_rows=work.batch)
  batches = [tf.constant(batch) for batch in itertools.islice(rows, 8)]
  taken = []
  for i in range(_WARM + work.steps):
    start = time.perf_counter()
    trainer.step(batches[i % 8], trainer.no_opinion, 0.0)[0].numpy()
    taken.append(time.perf_counter() - start)
  return work.batch / float(np.mean(taken[_WARM:]))
