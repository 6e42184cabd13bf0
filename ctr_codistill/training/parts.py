"""The parts of one worker, made in the order in which they need one another."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.codistill import loss
from ctr_codistill.criteo import records
from ctr_codistill.criteo.records import Shards
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import manifest
from ctr_codistill.training import outside as outsides
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training import teaching
from ctr_codistill.training import workdir
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.departure import Departure
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.outside import Outside
from ctr_codistill.training.regularizers import Regularizers
from ctr_codistill.training.served import Served
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.teaching import Setting
from ctr_codistill.training.trainer import Trainer
from ctr_codistill.training.workdir import Claim
from ctr_codistill.training.workdir import Place

_KEPT_CHECKPOINTS = 2


@dataclasses.dataclass(frozen=True)
class Parts:
  """What a worker trains with; `model` makes another of its models."""

  claim: Claim
  validation: Shards
  agreement: Agreement
  departure: Departure
  regularizers: Regularizers
  strategy: tf.distribute.Strategy
  model: Callable[[], tf_keras.Model]
  trainer: Trainer
  teaching: teaching.BySnapshots | teaching.ByPredictions
  journal: Journal
  served: Served
  checkpoints: Checkpoints


def join(
  experiment: config.Experiment, place: Place, outside: Outside
) -> tuple[Claim, tf.distribute.Strategy]:
  """Takes the worker's place; returns when all of its group have.

  Raises:
    InputError: a mistake in data, work directory or cluster.
  """
  claim = workdir.claim(place, experiment)
  manifest.claim(place.workdir, experiment, place.data, outside.surroundings)
  training = claim.experiment.training
  outside.beat(outsides.JOINING)
  strategy = strategies.start(
    place.cluster,
    start_timeout=training.start_timeout,
    threads=training.threads,
    deterministic=claim.experiment.reproducible,
  )
  outside.beat(outsides.BUILDING)
  return claim, strategy


def build(
  claim: Claim,
  strategy: tf.distribute.Strategy,
  place: Place,
  outside: Outside,
) -> Parts:
  """Returns the parts of a worker that has joined its group.

  Raises:
    InputError: as `teaching.build`.
  """
  experiment, training = claim.experiment, claim.experiment.training
  own_seed = seed(training.seed, place.group)
  model = functools.partial(_model, claim, own_seed)
  agreement = Agreement(strategy)
  departure = Departure(agreement, outside.is_asked_to_leave)
  regularizers = Regularizers(experiment.regularization, claim.steps, own_seed)
  trainer = _trainer(claim, strategy, model, regularizers)

  def sleep(seconds: float) -> None:
    departure.check()
    outside.beat(outsides.STORAGE)
    outside.sleep(seconds)

  setting = Setting(
    claim,
    place,
    trainer.features,
    agreement,
    outside.clock,
    outside.ticks,
    sleep,
  )
  served = Served(
    trainer.model,
    strategy,
    model,
    decay=training.average_decay,
    every=training.average_every,
  )
  return Parts(
    claim=claim,
    validation=records.open_shards(place.data / "validation", claim.schema),
    agreement=agreement,
    departure=departure,
    regularizers=regularizers,
    strategy=strategy,
    model=model,
    trainer=trainer,
    teaching=teaching.build(setting),
    journal=_journal(claim, place, agreement, outside),
    served=served,
    checkpoints=_checkpoints(claim, place, trainer, served, outside.sleep),
  )


def _journal(
  claim: Claim, place: Place, agreement: Agreement, outside: Outside
) -> Journal:
  return Journal(
    place.folder,
    agreement,
    batch_size=claim.experiment.training.batch_size,
    stop=claim.steps,
    clock=outside.ticks,
    now=outside.clock,
    is_chief=place.cluster.is_chief,
  )


def _checkpoints(
  claim: Claim,
  place: Place,
  trainer: Trainer,
  served: Served,
  sleep: Callable[[float], None],
) -> Checkpoints:
  return Checkpoints(
    workdir.checkpoints_folder(place.workdir, place.group),
    keep=_KEPT_CHECKPOINTS,
    key=claim.key,
    sleep=sleep,
    model=trainer.model,
    optimizer=trainer.optimizer,
    **served.state,
  )


def _model(claim: Claim, own_seed: int) -> tf_keras.Model:
  experiment = claim.experiment
  fixed = experiment.training.weights_seed
  return networks.build(
    experiment.model, claim.schema, seed=own_seed if fixed < 0 else fixed
  )


def _trainer(
  claim: Claim,
  strategy: tf.distribute.Strategy,
  model: Callable[[], tf_keras.Model],
  regularizers: Regularizers,
) -> Trainer:
  experiment = claim.experiment
  return Trainer(
    strategy,
    model,
    lambda: optimizers.build(experiment.optimizer, steps=claim.steps),
    numerics=len(claim.schema.numeric),
    batch_size=experiment.training.batch_size,
    diverge=loss.divergence(
      experiment.codistill.loss, temperature=experiment.codistill.temperature
    ),
    smoothed_to=regularizers.smoothed_to(claim.shards),
  )


def seed(seed: int, group: int) -> int:
  """Returns the seed of a group's weights, in [0, 2^31)."""
  key = np.array([seed, group], np.uint32)
  return int(np.random.RandomState(key).randint(2**31 - 1))
