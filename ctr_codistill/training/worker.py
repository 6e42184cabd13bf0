"""One worker of one group, from its configuration to its last step."""

import contextlib
import logging
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import tensors
from ctr_codistill.codistill import exchange
from ctr_codistill.criteo import dataset
from ctr_codistill.training import actions
from ctr_codistill.training import alarm
from ctr_codistill.training import leaving
from ctr_codistill.training import loop
from ctr_codistill.training import outside as outsides
from ctr_codistill.training import parts
from ctr_codistill.training import publishing
from ctr_codistill.training.departure import Leaving
from ctr_codistill.training.journal import Entry
from ctr_codistill.training.loop import Action
from ctr_codistill.training.outside import Outside
from ctr_codistill.training.waits import Waits
from ctr_codistill.training.workdir import Place

_LOG = logging.getLogger(__name__)
_READERS = 1  # more do not pay: one makes more rows than any step takes


class Worker:
  """Joins its group when it is made; `run` trains."""

  def __init__(
    self, experiment: config.Experiment, place: Place, outside: Outside
  ):
    """Joins the group and builds the model.

    Args:
      experiment: the whole run.
      place: where this worker stands in it.
      outside: its clocks, and who looks after it.

    Raises:
      InputError: a mistake in data, work directory or cluster.
    """
    claim, strategy = parts.join(experiment, place, outside)
    self._claim, self._experiment = claim, claim.experiment
    self._place, self._outside = place, outside
    self._parts = parts.build(claim, strategy, place, outside)
    self._published = 0  # bytes
    self._start = self._step_done = 0
    # The first step is compiled, which takes as long as to build the model.
    self._phase = outsides.BUILDING

  def run(self) -> bool:
    """Trains from the newest checkpoint; returns whether to the last step.

    It leaves earlier, with a checkpoint, if a worker of the group is asked to.
    """
    start = self._begin()
    with contextlib.closing(self._rows(start)) as rows:
      waits = Waits(rows, clock=self._outside.ticks)
      try:
        end = self._train(start, waits)
      except Leaving:
        return self._leave()
    # The chief may still write its last snapshot.
    self._outside.beat(outsides.STORAGE, end)
    self._parts.journal.write(end)
    if end < self._stop:
      self._leave()
    else:
      self._parts.journal.note(
        state="done",
        step=end,
        seconds_left=0,
        input_wait_share=waits.whole_share,
      )
    self._parts.journal.close()
    # One that left early would look like a fault to the others.
    self._parts.agreement.wait()
    if end == self._stop:
      _LOG.info("done; %s", self._parts.journal.taught)
    return end == self._stop

  def _begin(self) -> int:
    """Takes up the newest checkpoint; returns its step."""
    checkpoints, agreement = self._parts.checkpoints, self._parts.agreement
    start = agreement.chosen(1, lambda: [checkpoints.latest()])[0]
    if start:
      checkpoints.restore(start)
    if self._place.cluster.is_chief:
      # What was published after the checkpoint is of a course not taken again.
      exchange.withdraw(self._root(), newer_than=start)
    self._start = self._step_done = start
    return start

  def _train(self, start: int, waits: Waits) -> int:
    """Trains from step `start`; returns the step at which it ends or leaves."""
    if self._experiment.reproducible:
      # One that has its peers' snapshots waits in its first step for others.
      self._wait_for_storage()
    self._opinions = self._parts.teaching.begin(start)
    self._publication = self._new_publication()
    _LOG.info("training from step %d to %d", start, self._stop)
    return loop.run(
      self._step,
      waits,
      self._between(waits),
      start=start,
      stop=self._stop,
      leaves=self._parts.departure,
    )

  def _leave(self) -> bool:
    """Leaves what the group needs to go on where it is; returns False."""
    if self._step_done > self._start and self._place.cluster.is_chief:
      self._save(self._step_done)
      self._publication.wait()
    self._parts.journal.note(state="left", step=self._step_done)
    self._parts.journal.close()
    _LOG.info("left after step %d", self._step_done)
    return False

  def _rows(self, start: int) -> Iterator[np.ndarray]:
    share = self._claim.share
    return dataset.batches(
      self._claim.shards,
      share,
      batch_rows=self._training.batch_size // share.workers,
      start_step=start,
      threads=_READERS,
    )

  @property
  def _training(self) -> config.Training:
    return self._experiment.training

  @property
  def _stop(self) -> int:
    return self._claim.steps

  def _step(self, step: int, rows: np.ndarray) -> None:
    self._outside.beat(self._phase, step)
    rows = tensors.of(rows)
    opinion = self._opinions(step, rows)
    terms, logit = self._parts.trainer.step(
      rows, opinion.logit, opinion.weight, self._parts.regularizers.at(step)
    )
    self._opinions.hear(step, logit)
    self._parts.journal.add(
      Entry(
        step=step + 1,
        terms=terms,
        weight=opinion.weight,
        staleness_steps=opinion.staleness_steps,
        staleness_seconds=opinion.staleness_seconds,
      )
    )
    self._step_done, self._phase = step + 1, outsides.TRAINING

  def _telling(self, waits: Waits) -> Action:
    def tell(step: int) -> None:
      figures = {
        "input/wait_share": waits.share(),
        "exchange/bytes_read": float(self._parts.teaching.bytes_read),
        "exchange/bytes_published": float(
          self._published + self._parts.teaching.bytes_left
        ),
      }
      self._parts.journal.scalars(step, figures)

    return Action(tell, self._training.summarize_every)

  def _between(self, waits: Waits) -> list[Action]:
    """Returns the actions; at the end the checkpoint is the last."""
    training = self._training
    found = [Action(self._parts.journal.write, training.summarize_every)]
    if training.checksum_every and self._claim.share.workers > 1:
      # Before anything is published or saved.
      found.append(Action(self._comparison(), training.checksum_every))
    if self._parts.served.averages:
      found.append(Action(self._parts.served.update, training.average_every))
    if self._parts.validation.rows:
      found.append(Action(self._evaluation(), training.evaluate_every))
    found += self._parts.teaching.actions(self._publish)
    found.append(self._telling(waits))
    return [*found, Action(self._save, training.checkpoint_every)]

  def _publish(self, step: int) -> None:
    if self._experiment.reproducible or step == self._stop:
      self._wait_for_storage()
    self._publication(step)

  def _wait_for_storage(self) -> None:
    """Lets it be known that the chief may write before the next step."""
    self._phase = outsides.STORAGE
    self._outside.beat(self._phase)

  def _comparison(self) -> Callable[[int], None]:
    return alarm.compare_replicas(
      self._parts.trainer.model.weights,
      self._parts.strategy,
      self._parts.agreement,
    )

  def _evaluation(self) -> Callable[[int], None]:
    probability = self._parts.served.probability(self._parts.trainer.features)

    def alive(rows: np.ndarray) -> np.ndarray:
      self._outside.beat(outsides.TRAINING)
      return probability(rows)

    return actions.evaluate(
      self._parts.served,
      alive,
      self._parts.validation,
      self._parts.agreement,
      self._parts.journal,
      worker=self._claim.share.worker,
      workers=self._claim.share.workers,
    )

  def _save(self, step: int) -> None:
    self._wait_for_storage()
    if not self._place.cluster.is_chief:
      return
    if self._experiment.reproducible:
      # What was not written before a checkpoint is not made again after it,
      # and peers would wait for it for ever.
      self._publication.wait()
    self._parts.checkpoints.save(step)

  def _root(self) -> pathlib.Path:
    return exchange.folder(self._place.workdir, self._place.group)

  def _new_publication(self) -> Callable[[int], None]:
    if not self._place.cluster.is_chief:
      return lambda step: None
    names = [weight.name for weight in self._parts.served.model.weights]
    leave = leaving.writer(
      self._claim, self._place, self._parts.model, names, self._outside.clock
    )

    def write(step: int, weights: Sequence[tf.Tensor]) -> None:
      self._published += leave(step, weights)

    return publishing.Publisher(
      self._parts.served.weights,
      write,
      self._parts.journal.scalars,
      stop=self._stop,
      skips=not self._experiment.reproducible,
      sleep=self._outside.sleep,
    )
