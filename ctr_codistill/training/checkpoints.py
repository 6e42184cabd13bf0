"""Checkpoints: what a group needs to go on at its step, complete or absent."""

import logging
import pathlib
from collections.abc import Callable

import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill import tensors
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key
from ctr_codistill.manifests import TornError
from ctr_codistill.training import patience

_LOG = logging.getLogger(__name__)
_STATE = "state"
_OF = "checkpoint_of"


class Checkpoints:
  """The checkpoints of one group: model and optimizer, one a step.

  The order of examples is a function of the step, so the step is all that a
  checkpoint must hold of the input.
  """

  def __init__(
    self,
    root: pathlib.Path,
    *,
    keep: int,
    key: Key | None = None,
    sleep: Callable[[float], None] = lambda seconds: None,
    **state: object,
  ):
    """Holds what is saved.

    Args:
      root: directory of the checkpoints, `root/STEP/`, in that of the group.
      keep: newest checkpoints that stay.
      key: signs them, and must have signed what is restored.
      sleep: returns after so many seconds, before a write is tried again.
      **state: trackable objects by name, such as model and optimizer.
    """
    self._root, self._keep, self._key, self._sleep = root, keep, key, sleep
    self._checkpoint = tf.train.Checkpoint(**state)
    # Written outside a function it would lose memory, see `tensors`.
    self._write = tf.function(self._checkpoint.write, autograph=False)

  def save(self, step: int) -> None:
    """Writes checkpoint `step`, for the chief alone; a good one there stays.

    Raises:
      InputError: it could not be written, after some tries, and why.
    """
    patience.patiently(
      lambda: self._save(step),
      f"checkpoint {self._root / str(step)}",
      sleep=self._sleep,
    )

  def latest(self) -> int:
    """Returns the newest good checkpoint's step; 0 without one.

    Those that are passed over are named in the log and stay for a look.
    """
    for step in reversed(stamped.numbers(self._root)):
      if not (wrong := self._wrong(step)):
        return step
      _LOG.warning("a checkpoint is passed over: %s", wrong)
    return 0

  def restore(self, step: int) -> None:
    """Takes the state of checkpoint `step`; every worker calls it.

    Raises:
      InputError: its variables are not those of this model and optimizer.
    """
    path = self._root / str(step)
    try:
      status = self._checkpoint.read(str(path / _STATE))
      status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
      raise InputError(
        f"checkpoint {path} does not fit this model: {error}"
      ) from None

  def _save(self, step: int) -> None:
    path = self._root / str(step)
    stamped.sweep_unstamped(self._root)
    if stamped.is_stamped(path) and self._wrong(step):
      stamped.put_aside(path)
    if not stamped.is_stamped(path):
      stamped.write(
        path,
        lambda d: self._write(tensors.of(str(d / _STATE))),
        self._facts(step),
        key=self._key,
      )
    stamped.keep_newest(self._root, self._keep)

  def _wrong(self, step: int) -> str:
    """Tells what is wrong with a stamped checkpoint, "" if nothing is."""
    path = self._root / str(step)
    try:
      found = stamped.verify(path, self._key)
    except (TornError, OSError) as error:
      return str(error)
    # Unsigned ones of older versions do not say whose they are.
    if self._key and found != self._facts(step):
      return f"{path} should be {self._facts(step)}, is {found}"
    return ""

  def _facts(self, step: int) -> dict:
    return {"step": step, _OF: self._root.parent.name}
