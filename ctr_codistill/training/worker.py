"""One worker of one group, from its configuration to its last step."""

import contextlib
import logging
import types
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill import loss
from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import actions
from ctr_codistill.training import alarm
from ctr_codistill.training import leaving
from ctr_codistill.training import loop
from ctr_codistill.training import manifest
from ctr_codistill.training import publishing
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training import teaching
from ctr_codistill.training import workdir
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.journal import Entry
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.loop import Action
from ctr_codistill.training.regularizers import Regularizers
from ctr_codistill.training.served import Served
from ctr_codistill.training.teaching import Setting
from ctr_codistill.training.trainer import Trainer
from ctr_codistill.training.waits import Waits
from ctr_codistill.training.workdir import Place

_LOG = logging.getLogger(__name__)
_READERS = 1  # more do not pay: one makes more rows than any step takes
_KEPT_CHECKPOINTS = 2
_UNKNOWN: Mapping[str, Any] = types.MappingProxyType({})


class Worker:
  """The parts of one worker, put together; `run` trains."""

  def __init__(
    self,
    experiment: config.Experiment,
    place: Place,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    surroundings: Mapping[str, Any] = _UNKNOWN,
  ):
    """Joins the group and takes up its newest checkpoint.

    Args:
      experiment: the whole run.
      place: where this worker stands in it.
      clock: gives seconds since 1970; for logs and deadlines alone.
      sleep: returns after so many seconds; a reproducible run waits by it.
      surroundings: software and machine, for the manifest of the run.

    Raises:
      InputError: a mistake in data, work directory or cluster.
    """
    self._claim = workdir.claim(place, experiment)
    manifest.claim(place.workdir, experiment, place.data, surroundings)
    self._experiment = self._claim.experiment
    self._place, self._clock, self._sleep = place, clock, sleep
    self._published = 0  # bytes
    self._validation = records.open_shards(
      place.data / "validation", self._claim.schema
    )
    self._strategy = strategies.start(
      place.cluster,
      timeout=self._training.collective_timeout,
      start_timeout=self._training.start_timeout,
      threads=self._training.threads,
      deterministic=self._experiment.reproducible,
    )
    self._agreement = strategies.Agreement(self._strategy)
    self._regularizers = Regularizers(
      self._experiment.regularization,
      self._claim.steps,
      _seed(self._training.seed, place.group),
    )
    self._trainer = self._new_trainer()
    self._teaching = teaching.build(
      Setting(
        self._claim,
        place,
        self._trainer.features,
        self._agreement,
        clock,
        sleep,
      )
    )
    self._journal = self._new_journal()
    self._served = Served(
      self._trainer.model,
      self._strategy,
      self._model,
      decay=self._training.average_decay,
      every=self._training.average_every,
    )
    self._checkpoints = Checkpoints(
      workdir.checkpoints_folder(place.workdir, place.group),
      keep=_KEPT_CHECKPOINTS,
      key=self._claim.key,
      sleep=sleep,
      model=self._trainer.model,
      optimizer=self._trainer.optimizer,
      **self._served.state,
    )

  def run(self) -> None:
    """Trains from the newest checkpoint to the last step."""
    start = self._agreement.chosen(1, lambda: [self._checkpoints.latest()])[0]
    if start:
      self._checkpoints.restore(start)
    if self._place.cluster.is_chief:
      # What was published after the checkpoint is of a course not taken again.
      root = exchange.folder(self._place.workdir, self._place.group)
      exchange.withdraw(root, newer_than=start)
    self._opinions = self._teaching.begin(start)
    _LOG.info("training from step %d to %d", start, self._stop)
    rows = dataset.batches(
      self._claim.shards,
      self._claim.share,
      batch_rows=self._training.batch_size // self._claim.share.workers,
      start_step=start,
      threads=_READERS,
    )
    with contextlib.closing(rows):
      waits = Waits(rows, clock=self._clock)
      loop.run(
        self._step,
        waits,
        self._between(waits),
        start=start,
        stop=self._stop,
      )
    self._journal.note(
      state="done",
      step=self._stop,
      seconds_left=0,
      input_wait_share=waits.whole_share,
    )
    self._journal.close()
    # One that left early would look like a fault to the others.
    self._agreement.wait()

  @property
  def _training(self) -> config.Training:
    return self._experiment.training

  @property
  def _stop(self) -> int:
    return self._claim.steps

  def _model(self) -> tf_keras.Model:
    seed = self._training.weights_seed
    if seed < 0:
      seed = _seed(self._training.seed, self._place.group)
    return networks.build(self._experiment.model, self._claim.schema, seed=seed)

  def _new_trainer(self) -> Trainer:
    codistill = self._experiment.codistill
    return Trainer(
      self._strategy,
      self._model,
      lambda: optimizers.build(self._experiment.optimizer, steps=self._stop),
      numerics=len(self._claim.schema.numeric),
      batch_size=self._training.batch_size,
      diverge=loss.divergence(
        codistill.loss, temperature=codistill.temperature
      ),
      smoothed_to=self._regularizers.smoothed_to(self._claim.shards),
    )

  def _new_journal(self) -> Journal:
    return Journal(
      self._place.folder,
      self._agreement,
      batch_size=self._training.batch_size,
      stop=self._stop,
      clock=self._clock,
      is_chief=self._place.cluster.is_chief,
    )

  def _step(self, step: int, rows: np.ndarray) -> None:
    rows = tf.constant(rows)
    opinion = self._opinions(step, rows)
    terms, logit = self._trainer.step(
      rows, opinion.logit, opinion.weight, self._regularizers.at(step)
    )
    self._opinions.hear(step, logit)
    self._journal.add(
      Entry(
        step=step + 1,
        terms=terms,
        weight=opinion.weight,
        staleness_steps=opinion.staleness_steps,
        staleness_seconds=opinion.staleness_seconds,
      )
    )

  def _telling(self, waits: Waits) -> Action:
    def tell(step: int) -> None:
      figures = {
        "input/wait_share": waits.share(),
        "exchange/bytes_read": float(self._teaching.bytes_read),
        "exchange/bytes_published": float(
          self._published + self._teaching.bytes_left
        ),
      }
      self._journal.scalars(step, figures)

    return Action(tell, self._training.summarize_every)

  def _between(self, waits: Waits) -> list[Action]:
    """Returns the actions; at the end the checkpoint is the last."""
    training = self._training
    found = [Action(self._journal.write, training.summarize_every)]
    if training.checksum_every and self._claim.share.workers > 1:
      # Before anything is published or saved.
      found.append(Action(self._comparison(), training.checksum_every))
    if self._served.averages:
      found.append(Action(self._served.update, training.average_every))
    if self._validation.rows:
      found.append(Action(self._evaluation(), training.evaluate_every))
    publication = self._publication()
    found += self._teaching.actions(publication)
    found.append(self._telling(waits))
    save = self._saving(publication)
    return [*found, Action(save, training.checkpoint_every)]

  def _comparison(self) -> Callable[[int], None]:
    return alarm.compare_replicas(
      self._trainer.model.weights, self._strategy, self._agreement
    )

  def _evaluation(self) -> Callable[[int], None]:
    return actions.evaluate(
      self._served,
      self._served.probability(self._trainer.features),
      self._validation,
      self._agreement,
      self._journal,
      worker=self._claim.share.worker,
      workers=self._claim.share.workers,
    )

  def _saving(
    self, publication: Callable[[int], None]
  ) -> Callable[[int], None]:
    def save(step: int) -> None:
      if not self._place.cluster.is_chief:
        return
      if self._experiment.reproducible:
        # What was not written before a checkpoint is not made again after it,
        # and peers would wait for it for ever.
        publication.wait()
      self._checkpoints.save(step)

    return save

  def _publication(self) -> Callable[[int], None]:
    if not self._place.cluster.is_chief:
      return lambda step: None
    names = [weight.name for weight in self._served.model.weights]
    leave = leaving.writer(
      self._claim, self._place, self._model, names, self._clock
    )

    def write(step: int, weights: Sequence[tf.Tensor]) -> None:
      self._published += leave(step, weights)

    return publishing.Publisher(
      self._served.weights,
      write,
      self._journal.scalars,
      stop=self._stop,
      skips=not self._experiment.reproducible,
      sleep=self._sleep,
    )


def _seed(seed: int, group: int) -> int:
  """Returns the seed of a group's weights, in [0, 2^31)."""
  key = np.array([seed, group], np.uint32)
  return int(np.random.RandomState(key).randint(2**31 - 1))
