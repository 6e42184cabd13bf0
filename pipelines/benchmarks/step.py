"""What a step costs: alone, with a teacher, with predictions as the exchange.

The three take turns within one process, so that what slows the machine slows
all. The matrix products of the step, at the rate this machine reaches on
matrices of their shapes, are the limit.
"""

import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import serving
from ctr_codistill import snapshots
from ctr_codistill.codistill import column
from ctr_codistill.codistill import prediction_exchange
from ctr_codistill.codistill.listening import Listening
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.codistill.schedule import Span
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.criteo import order
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.criteo.share import Share
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training.opinions import FromPredictions
from ctr_codistill.training.opinions import FromSnapshots
from ctr_codistill.training.trainer import Trainer
from pipelines.benchmarks import work as works
from pipelines.benchmarks.work import Work

_WARM = 4  # steps that trace, and warm up
_BATCHES = 8
UNIT = "ms"
_TAUGHT = config.Codistill(burn_in_steps=0)
_SPAN = Span(steps=1000, epoch_steps=1000)


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the milliseconds of each kind of step, a line each."""
  return [{"part": name, "ms": ms} for name, ms in times(work).items()]


def times(work: Work) -> dict[str, float]:
  """Returns median milliseconds of each kind of step, and of its products."""
  strategy = strategies.start(strategies.Cluster(), timeout=60)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    schema = works.schema(folder, work.rows)
    trainer = _trainer(strategy, schema, work)
    steps = {
      "plain": lambda step, rows: _plain(trainer, rows),
      "teacher": _taught(trainer, _asked(trainer, folder, schema, work)),
      "teacher_all": _taught(
        trainer, _asked(trainer, folder, schema, work, taught_share=1.0)
      ),
      "predictions": _taught(trainer, _left(folder, work)),
    }
    found = _in_turn(steps, work)
  return found | {"matrix": _products(work, schema)}


def results(
  ms: Mapping[str, float], peers: Mapping[str, float], precision: str
) -> list[dict[str, object]]:
  """Returns the lines of the benchmark, for milliseconds by kind and by peer.

  A ratio of times is the price of what the line names; that of a step is our
  rate over the fastest peer's.
  """
  end = "" if precision == "float32" else "_" + precision
  fastest = min(peers, key=peers.get, default=None)
  found = [
    _line(f"step_{precision}_{name}", ms["plain"], name, took / ms["plain"])
    for name, took in peers.items()
  ]
  if peers:
    fastest = min(peers, key=peers.get)
    ratio = peers[fastest] / ms["plain"]
    found.insert(0, _line(f"step_{precision}", ms["plain"], fastest, ratio))
  for name, kind, against in (
    ("teacher_over_plain", "teacher", "plain"),
    ("teacher_of_all_rows_over_plain", "teacher_all", "plain"),
    ("predictions_over_plain", "predictions", "plain"),
    ("matrix_share", "matrix", "plain"),
  ):
    found.append(_line(name + end, ms[kind], against, ms[kind] / ms[against]))
  return found


def _line(
  name: str, value: float, against: str | None, ratio: float
) -> dict[str, object]:
  return {
    "name": name,
    "value": value,
    "unit": "ms",
    "against": against,
    "ratio": ratio,
  }


def _in_turn(
  steps: Mapping[str, Callable[[int, tf.Tensor], None]], work: Work
) -> dict[str, float]:
  batches = [tf.constant(rows) for rows in works.batches(work, _BATCHES)]
  taken: dict[str, list[float]] = {name: [] for name in steps}
  for i in range(_WARM + work.steps):
    for name, step in steps.items():
      start = time.perf_counter()
      step(i, batches[i % _BATCHES])
      taken[name].append(1e3 * (time.perf_counter() - start))
  return {name: float(np.median(ms[_WARM:])) for name, ms in taken.items()}


def _plain(trainer: Trainer, rows: tf.Tensor) -> None:
  trainer.step(rows, trainer.no_opinion, 0.0)[0].numpy()


def _taught(
  trainer: Trainer, opinions: FromSnapshots | FromPredictions
) -> Callable[[int, tf.Tensor], None]:
  def step(number: int, rows: tf.Tensor) -> None:
    said = opinions(number, rows)
    if not said.weight:
      raise RuntimeError("the step should be taught, is not")
    terms, logit = trainer.step(rows, said.logit, said.weight)
    opinions.hear(number, logit)
    terms.numpy()

  return step


def _trainer(
  strategy: tf.distribute.Strategy, schema: Schema, work: Work
) -> Trainer:
  return Trainer(
    strategy,
    lambda: networks.build(work.model, schema, seed=1),
    lambda: optimizers.build(config.Optimizer(), steps=1000),
    numerics=len(schema.numeric),
    batch_size=work.batch,
  )


def _asked(
  trainer: Trainer,
  folder: pathlib.Path,
  schema: Schema,
  work: Work,
  taught_share: float = _TAUGHT.taught_share,
) -> FromSnapshots:
  """Returns the way of a teacher that is one real snapshot."""
  root = folder / "peer"
  if not root.exists():
    _publish(root, folder, schema, work)
  teacher = Teacher({1: root})
  teacher.take([1])
  return FromSnapshots(
    teacher,
    trainer.features,
    Listening(_TAUGHT, _SPAN),
    taught_share=taught_share,
    clock=time.time,
  )


def _publish(
  root: pathlib.Path, folder: pathlib.Path, schema: Schema, work: Work
) -> None:
  peer = networks.build(work.model, schema, seed=2)
  servable = serving.Servable(peer, schema, Lookup(schema, folder))
  writer = snapshots.Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: folder / schemas.FILE},
    folder / "template",
  )
  writer.write(root, 1, servable.weights, {"published": 0.0})


def _left(folder: pathlib.Path, work: Work) -> FromPredictions:
  """Returns the way of a peer that has left predictions of every row."""
  steps = _WARM + work.steps
  numeric = (schemas.Numeric("number", 0.0, 1.0, ()),)
  schema = Schema(numeric, ())
  rows = np.zeros([steps * work.batch, 2], np.int32)
  with ShardWriter(folder / "rows", schema) as writer:
    writer.write(rows)
  shards = records.open_shards(folder / "rows", schema)
  share = Share(group=0, groups=2, parts=2)
  peer = prediction_exchange.folder(folder / "left", 1)
  peer.mkdir(parents=True)
  for stretch in _first(order.stretches(shards, share, 0), len(rows)):
    prediction_exchange.write(
      peer / stretch.name, np.full(stretch.size, -1.0), 0
    )
  own = prediction_exchange.folder(folder / "left", 0)
  exchange = PredictionExchange(
    own, {1: peer}, shards, share, batch_rows=work.batch
  )
  return FromPredictions(
    exchange, Listening(_TAUGHT, _SPAN), column.mean_prediction
  )


def _first(
  stretches: Iterator[order.Stretch], rows: int
) -> Iterator[order.Stretch]:
  while rows > 0:
    stretch = next(stretches)
    rows -= stretch.size
    yield stretch


def _products(work: Work, schema: Schema) -> float:
  """Returns the milliseconds of a step's matrix products, each at its best.

  Of each layer [inputs, outputs]: forward, to the weights and to the inputs.
  """
  inputs = 16 * len(schema.categorical) + 2 * len(schema.numeric)
  widths = [inputs, *work.hidden, 1]
  total = 0.0
  for wide, narrow in itertools.pairwise(widths):
    shapes = ((work.batch, wide, narrow), (wide, work.batch, narrow))
    for m, k, n in (*shapes, (work.batch, narrow, wide)):
      total += _product(m, k, n, tf.as_dtype(work.precision))
  return total


def _product(m: int, k: int, n: int, dtype: tf.DType) -> float:
  one, other = (tf.cast(tf.ones(s), dtype) for s in ([m, k], [k, n]))
  multiply = tf.function(lambda: tf.matmul(one, other))
  taken = []
  for _ in range(8):
    start = time.perf_counter()
    multiply()
    taken.append(1e3 * (time.perf_counter() - start))
  return min(taken)
