"""One worker of one group, from its configuration to its last step."""

import contextlib
import logging
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill import group as groups
from ctr_codistill.codistill import prediction_exchange
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.models import networks
from ctr_codistill.models import optimizers
from ctr_codistill.training import actions
from ctr_codistill.training import loop
from ctr_codistill.training import publishing
from ctr_codistill.training import strategy as strategies
from ctr_codistill.training import workdir
from ctr_codistill.training.checkpoints import Checkpoints
from ctr_codistill.training.journal import Entry
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.loop import Action
from ctr_codistill.training.opinions import FromPredictions
from ctr_codistill.training.opinions import FromSnapshots
from ctr_codistill.training.served import Served
from ctr_codistill.training.trainer import Trainer
from ctr_codistill.training.waits import Waits
from ctr_codistill.training.workdir import Place

_LOG = logging.getLogger(__name__)
_READERS = 1  # more do not pay: one makes more rows than any step takes
_KEPT_CHECKPOINTS = 2
_LOOKS = 10  # for newer snapshots, in the time between two agreements on them


class Worker:
  """The parts of one worker, put together; `run` trains."""

  def __init__(
    self,
    experiment: config.Experiment,
    place: Place,
    *,
    clock: Callable[[], float],
  ):
    """Joins the group and takes up its newest checkpoint.

    Args:
      experiment: the whole run.
      place: where this worker stands in it.
      clock: gives seconds since 1970; for logs alone.

    Raises:
      InputError: a mistake in data, work directory or cluster.
    """
    claim = workdir.claim(place, experiment)
    experiment = config.for_group(experiment, place.group)
    self._experiment, self._place, self._clock = experiment, place, clock
    self._schema, self._shards = claim.schema, claim.shards
    self._share, self._stop = claim.share, claim.steps
    self._validation = records.open_shards(
      place.data / "validation", self._schema
    )
    training = experiment.training
    self._strategy = strategies.start(
      place.cluster,
      timeout=training.collective_timeout,
      start_timeout=training.start_timeout,
      threads=training.threads,
    )
    self._agreement = strategies.Agreement(self._strategy)
    self._trainer = Trainer(
      self._strategy,
      self._model,
      lambda: optimizers.build(experiment.optimizer, steps=self._stop),
      numerics=len(self._schema.numeric),
      batch_size=training.batch_size,
    )
    asked = {} if self._exchanges_predictions else _folders(experiment, place)
    self._teacher = Teacher(asked)
    self._refresh = actions.refresh_teacher(self._teacher, self._agreement)
    self._journal = Journal(
      place.folder,
      self._agreement,
      batch_size=training.batch_size,
      stop=self._stop,
      clock=clock,
      is_chief=place.cluster.is_chief,
    )
    self._served = Served(
      self._trainer.model,
      self._strategy,
      self._model,
      decay=training.average_decay,
      every=training.average_every,
    )
    self._checkpoints = Checkpoints(
      place.folder / "checkpoints",
      keep=_KEPT_CHECKPOINTS,
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
      exchange.withdraw(self._root(), newer_than=start)
    self._teacher.look()
    self._teacher.wait()
    self._refresh(start)
    self._opinions = self._opinions_from(start)
    _LOG.info("training from step %d to %d", start, self._stop)
    rows = dataset.batches(
      self._shards,
      self._share,
      batch_rows=self._experiment.training.batch_size // self._share.workers,
      start_step=start,
      threads=_READERS,
    )
    with contextlib.closing(rows):
      waits = Waits(rows, clock=self._clock)
      loop.run(
        self._step,
        waits,
        [self._waiting(waits), *self._between()],
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

  def _model(self) -> tf_keras.Model:
    seed = _seed(self._experiment.training.seed, self._place.group)
    return networks.build(self._experiment.model, self._schema, seed=seed)

  def _step(self, step: int, rows: np.ndarray) -> None:
    rows = tf.constant(rows)
    opinion = self._opinions(step, rows)
    terms, logit = self._trainer.step(rows, opinion.probability, opinion.weight)
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

  def _opinions_from(self, start: int) -> FromSnapshots | FromPredictions:
    codistill = self._experiment.codistill
    if not self._exchanges_predictions:
      return FromSnapshots(
        self._teacher, self._trainer.features, codistill, clock=self._clock
      )
    worker = self._share.worker
    roots = _folders(self._experiment, self._place).values()
    return FromPredictions(
      PredictionExchange(
        prediction_exchange.folder(self._root(), worker),
        [prediction_exchange.folder(root, worker) for root in roots],
        self._shards,
        self._share,
        batch_rows=self._experiment.training.batch_size // self._share.workers,
        start_step=start,
      ),
      codistill,
    )

  @property
  def _exchanges_predictions(self) -> bool:
    exchanged = self._experiment.exchange.what
    return exchanged == "predictions" and self._experiment.groups > 1

  def _waiting(self, waits: Waits) -> Action:
    def tell(step: int) -> None:
      self._journal.scalars(step, {"input/wait_share": waits.share()})

    return Action(tell, self._experiment.training.summarize_every)

  def _between(self) -> list[Action]:
    """Returns the actions; at the end the checkpoint is the last."""
    training = self._experiment.training
    every = self._experiment.exchange.every_steps
    if self._exchanges_predictions:
      every = 0  # nobody asks a snapshot before the last
    found = [Action(self._journal.write, training.summarize_every)]
    if self._served.averages:
      found.append(Action(self._served.update, training.average_every))
    if self._validation.rows:
      found.append(Action(self._evaluation(), training.evaluate_every))
    found.append(Action(self._publication(), every))
    found.append(Action(self._save, training.checkpoint_every))
    if self._teacher.peers:
      often = max(every // _LOOKS, 1)
      found.append(Action(self._refresh, every, at_end=False))
      found.append(
        Action(lambda step: self._teacher.look(), often, at_end=False)
      )
    return found

  def _evaluation(self) -> Callable[[int], None]:
    return actions.evaluate(
      self._served,
      self._served.probability(self._trainer.features),
      self._validation,
      self._agreement,
      self._journal,
      worker=self._share.worker,
      workers=self._share.workers,
    )

  def _save(self, step: int) -> None:
    if self._place.cluster.is_chief:
      self._checkpoints.save(step)

  def _root(self) -> pathlib.Path:
    return exchange.folder(self._place.workdir, self._place.group)

  def _publication(self) -> Callable[[int], None]:
    if not self._place.cluster.is_chief:
      return lambda step: None
    place = self._place
    writer = publishing.writer(
      self._model, self._schema, place.data, place.folder / "template"
    )
    keep = self._experiment.exchange.keep

    def write(step: int, weights: Sequence[tf.Tensor]) -> None:
      facts = {
        "group": place.group,
        "schema": self._schema.fingerprint,
        "published": self._clock(),
      }
      exchange.publish(writer, self._root(), step, weights, facts, keep=keep)

    return publishing.Publisher(
      self._served.weights, write, self._journal.scalars, stop=self._stop
    )


def _folders(
  experiment: config.Experiment, place: Place
) -> dict[int, pathlib.Path]:
  """Returns where the peers leave their snapshots; none if they count 0."""
  if not experiment.codistill.weight:
    return {}
  peers = groups.all_to_all(experiment.groups)[place.group]
  return {peer: exchange.folder(place.workdir, peer) for peer in peers}


def _seed(seed: int, group: int) -> int:
  """Returns the seed of a group's weights, in [0, 2^31)."""
  key = np.array([seed, group], np.uint32)
  return int(np.random.RandomState(key).randint(2**31 - 1))
