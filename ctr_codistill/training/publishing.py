"""Publishing beside the training: a copy between two steps, the rest later.

To write and sum a table takes seconds, to copy it in memory a tenth of one. So
a due step waits for the copy alone, and a thread makes a snapshot of it.
"""

import functools
import gc
import logging
import pathlib
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf
import tf_keras

from ctr_codistill import snapshots
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.keys import Key
from ctr_codistill.serving import Servable
from ctr_codistill.training import patience

_LOG = logging.getLogger(__name__)


class Publisher:
  """Publishes at the steps it is called with; never two at once.

  A step that comes while the one before is still being written is left out: to
  queue would hold a further copy, to wait would stall the training for it. One
  that cannot be written is, too: peers go on with an older teacher, and the
  next is tried when it is due. In a reproducible run peers count on every one,
  so it waits, and tries again; so does the last one of any training.
  """

  def __init__(
    self,
    copy: Callable[[int], list[tf.Tensor]],
    write: Callable[[int, Sequence[tf.Tensor]], None],
    tell: Callable[[int, dict[str, float]], None],
    *,
    stop: int,
    skips: bool = True,
    sleep: Callable[[float], None] = lambda seconds: None,
  ):
    """Has published nothing yet.

    Args:
      copy: returns the weights after a step, which later steps do not change.
      write: makes a snapshot of a step and its weights; called in a thread.
      tell: takes figures of a step for the log.
      stop: the last step; it is never left out, and waited for.
      skips: whether others may be left out.
      sleep: returns after so many seconds, before a write is tried again.
    """
    self._skips, self._sleep = skips, sleep
    self._copy, self._write, self._tell, self._stop = copy, write, tell, stop
    self._thread = ThreadPoolExecutor(1, "publish")
    self._step, self._skipped, self._failed = 0, 0, 0
    self._fails = False
    self._written: Future | None = None

  def __call__(self, step: int) -> None:
    """Publishes the weights after `step` steps.

    Raises:
      InputError: the last publication failed; in a reproducible run any.
    """
    if self._skips and self.busy and step < self._stop:
      self._skip(step)
      return
    self.wait()
    self._step = step
    self._written = self._thread.submit(self._make, step, self._copy(step))
    if step >= self._stop:
      self.wait()

  @property
  def busy(self) -> bool:
    """Whether a snapshot is being written."""
    return self._written is not None and not self._written.done()

  def wait(self) -> None:
    """Returns when nothing is being written.

    Raises:
      InputError: what was written failed, and may not be left out.
    """
    written, self._written = self._written, None
    error = written.exception() if written else None
    if isinstance(error, patience.REFUSALS) and self._may_fail(self._step):
      self._fail(error)
    elif error:
      raise error
    elif written and self._fails:
      self._fails = False
      _LOG.info("step %d is published, as before", self._step)

  def _may_fail(self, step: int) -> bool:
    return self._skips and step < self._stop

  def _make(self, step: int, weights: list[tf.Tensor]) -> None:
    write = functools.partial(self._write, step, weights)
    try:
      if self._may_fail(step):
        write()
      else:
        what = f"the snapshot of step {step}"
        patience.patiently(write, what, sleep=self._sleep)
    finally:
      # The thread would hold them for a moment more, in which the next copy may
      # be made: room for two tables instead of one.
      weights.clear()

  def _fail(self, error: BaseException) -> None:
    """Says it once, until one is written again; and counts."""
    if not self._fails:
      _LOG.warning("training goes on without publishing: %s", error)
    self._fails = True
    self._failed += 1
    self._tell(self._step, {"publish/failed": self._failed})

  def _skip(self, step: int) -> None:
    self._skipped += 1
    _LOG.info(
      "step %d is not published, step %d is still being written (%d left out "
      "so far)",
      step,
      self._step,
      self._skipped,
    )
    self._tell(step, {"publish/skipped": self._skipped})


def writer(
  model: Callable[[], tf_keras.Model],
  schema: Schema,
  data: pathlib.Path,
  template: pathlib.Path,
  key: Key | None = None,
) -> snapshots.Writer:
  """Returns what writes snapshots of a model, given its weights.

  Args:
    model: makes it, outside any strategy.
    schema: the feature spec it was made for.
    data: the directory that holds the spec and its vocabularies.
    template: see `snapshots.Writer`.
    key: signs them.
  """
  servable = Servable(hollow(model), schema, Lookup(schema, data))
  spec = {schemas.FILE: data / schemas.FILE}
  found = snapshots.Writer(
    servable, servable.signatures(), spec, template, key=key
  )
  # Its vocabularies and tables lie in cycles, and are needed no more.
  del servable
  gc.collect()
  return found


def hollow(model: Callable[[], tf_keras.Model]) -> tf_keras.Model:
  """Returns a model whose weights have no values, and no memory until written.

  Enough to save a graph: a second table, even for a moment, would be the most
  that a worker ever holds.
  """

  def create(make: Callable[..., tf.Variable], **given: Any) -> tf.Variable:
    if given.get("shape") is not None:
      given["initial_value"] = lambda: tf.raw_ops.Empty(
        shape=given["shape"], dtype=given["dtype"]
      )
    return make(**given)

  with tf.variable_creator_scope(create):
    return model()
