"""What a step's update of a table costs, beside one of a hundredth of its rows.

4,096 examples name 26 of 100,000 ids each, with repetitions. In the large table
every hundredth row has such an id, so both updates move the same number of
rows, and those of the large one lie 6.4 KB apart: what is left between the two
is memory, whose caches hold 6.4 MB and not 640. Sizes take turns in one
process, so the ratios hold on a machine whose speed drifts.
"""

import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from ctr_codistill import config
from pipelines.benchmarks.work import Work

RULES = {
  "adagrad": config.Optimizer(name="adagrad"),
  "adam": config.Optimizer(name="adam"),
  "ftrl": config.Optimizer(name="ftrl", l1=1e-4),
  "sgd": config.Optimizer(name="sgd"),
  "momentum": config.Optimizer(name="sgd", momentum=0.9),
}
UNIT = "ms"
_ROWS = {"1e5 rows": 100_000, "1e7 rows": 10_000_000}
_IDS = 100_000
_SHAPE = (4096, 26)
_DIM = 16
_WARM_UP, _TURNS = 6, 16
_NAME = "table_1e7_over_1e5"


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the milliseconds of each update, whatever the step's `work`."""
  del work
  return [{"part": name, UNIT: ms} for name, ms in times().items()]


def times() -> dict[str, float]:
  """Returns the median ms of an update, by rule and size of the table."""
  from ctr_codistill.training import strategy as strategies

  strategy = strategies.start(strategies.Cluster(), timeout=60)
  found = {}
  for name, optimizer in RULES.items():
    steps = {
      f"{name}, {size}": _step(strategy, optimizer, rows)
      for size, rows in _ROWS.items()
    }
    took = {part: [] for part in steps}
    for turn in range(_WARM_UP + _TURNS):
      for part, step in steps.items():
        start = time.perf_counter()
        step(turn)
        took[part].append(1e3 * (time.perf_counter() - start))
    found |= {part: float(np.median(t[_WARM_UP:])) for part, t in took.items()}
  return found


def results(ms: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark: the largest ratio, then each rule's."""
  small, large = _ROWS
  ratio = {n: ms[f"{n}, {large}"] / ms[f"{n}, {small}"] for n in RULES}
  lines = {_NAME: max(ratio, key=ratio.get)}
  lines |= {f"{_NAME}_{rule}": rule for rule in RULES}
  return [
    {
      "name": name,
      "value": ms[f"{rule}, {large}"],
      "unit": "ms",
      "against": f"{rule}, {small}",
      "ratio": ratio[rule],
    }
    for name, rule in lines.items()
  ]


def _step(strategy: Any, optimizer: config.Optimizer, rows: int) -> Callable:
  """Returns an update of a table of `rows` rows, as a function of its turn.

  In a strategy, as in training: there a table's rows are easily read by way of
  a copy of all of them.
  """
  import tensorflow as tf
  import tf_keras

  from ctr_codistill.models import optimizers

  with strategy.scope():
    layer = tf_keras.layers.Embedding(rows, _DIM)
    model = tf_keras.Sequential([tf_keras.Input([_SHAPE[1]]), layer])
    update = optimizers.build(optimizer, steps=1_000_000)
    update.build(model)
  random = np.random.RandomState(0)
  count = _SHAPE[0] * _SHAPE[1]
  ids = [
    tf.constant(random.randint(0, _IDS, count) * (rows // _IDS), tf.int32)
    for _ in range(4)
  ]
  values = tf.constant(random.normal(0, 1e-4, [count, _DIM]), tf.float32)

  def replica(ids: tf.Tensor) -> tf.Tensor:
    gradient = tf.IndexedSlices(values, ids, [rows, _DIM])
    update.apply([gradient], model.trainable_variables)
    return ids[0]

  step = tf.function(lambda ids: strategy.run(replica, [ids]), autograph=False)
  return lambda turn: step(ids[turn % len(ids)]).numpy()
