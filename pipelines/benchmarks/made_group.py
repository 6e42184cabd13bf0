"""A group of one worker that publishes, and learns from what it published."""

import functools
import pathlib
import sys
import time
from collections.abc import Callable

import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import publishing
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training.served import Served
from ctr_codistill.training.trainer import Trainer
from pipelines.benchmarks import work as works
from pipelines.benchmarks.work import Work

_BATCHES = 8
_PEER = 0


class MadeGroup:
  """Its steps, and what comes between them, each to be timed."""

  def __init__(self, folder: pathlib.Path, work: Work):
    """Builds it; `folder` is empty and takes what it publishes."""
    strategy = strategies.start(strategies.Cluster(), timeout=60)
    schema = works.schema(folder, work.rows)
    model = functools.partial(networks.build, work.model, schema, seed=1)
    self._trainer = Trainer(
      strategy,
      model,
      lambda: optimizers.build(config.Optimizer(), steps=1000),
      numerics=len(schema.numeric),
      batch_size=work.batch,
    )
    served = Served(self._trainer.model, strategy, model, decay=0, every=1)
    root = folder / "exchange"
    writer = publishing.writer(model, schema, folder, folder / "template")

    def write(step: int, weights: list[tf.Tensor]) -> None:
      exchange.publish(writer, root, step, weights, {}, keep=2)

    self._publisher = publishing.Publisher(
      served.weights, write, lambda step, figures: None, stop=sys.maxsize
    )
    self._teacher = Teacher({_PEER: root})
    self._batches = [tf.constant(b) for b in works.batches(work, _BATCHES)]
    self._step = 0

  def step(self, *, taught: bool = False) -> float:
    """Does a step and returns its seconds."""
    rows = self._batches[self._step % _BATCHES]
    start = time.perf_counter()
    opinion = self._trainer.no_opinion
    if taught:
      opinion = self._teacher(self._trainer.features(rows))
    self._trainer.step(rows, opinion, float(taught))[0].numpy()
    self._step += 1
    return time.perf_counter() - start

  def publish(self) -> None:
    """Begins a publication."""
    self._publisher(self._step)

  @property
  def publishes(self) -> bool:
    """Whether a snapshot is being written."""
    return self._publisher.busy

  def look(self) -> None:
    """Begins to read the newest snapshot."""
    self._teacher.look()

  @property
  def reads(self) -> bool:
    """Whether the snapshot is not there yet."""
    return self._teacher.newer() == [-1]

  def take(self) -> None:
    """Takes over what was read."""
    self._teacher.take(self._teacher.newer())

  def wait(self) -> None:
    """Returns when nothing is being written or read."""
    self._publisher.wait()
    self._teacher.wait()

  def steps_while(
    self, going_on: Callable[[], bool], *, taught: bool = False
  ) -> list[float]:
    """Trains while `going_on()` and returns the seconds of each step."""
    found = []
    while going_on():
      found.append(self.step(taught=taught))
    return found
