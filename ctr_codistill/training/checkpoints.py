"""Checkpoints: what a group needs to go on at its step, complete or absent."""

import pathlib

import tensorflow as tf

from ctr_codistill import manifests
from ctr_codistill import stamped
from ctr_codistill.errors import InputError

_STATE = "state"


class Checkpoints:
  """The checkpoints of one group: model and optimizer, one a step.

  The order of examples is a function of the step, so the step is all that a
  checkpoint must hold of the input.
  """

  def __init__(self, root: pathlib.Path, *, keep: int, **state: object):
    """Holds what is saved.

    Args:
      root: directory of the checkpoints, `root/STEP/`.
      keep: newest checkpoints that stay.
      **state: trackable objects by name, such as model and optimizer.
    """
    self._root, self._keep = root, keep
    self._checkpoint = tf.train.Checkpoint(**state)

  def save(self, step: int) -> None:
    """Writes checkpoint `step`, for the chief alone; one there stays."""
    path = self._root / str(step)
    if not stamped.is_stamped(path):
      stamped.write(
        path, lambda d: self._checkpoint.write(str(d / _STATE)), {"step": step}
      )
    stamped.keep_newest(self._root, self._keep)

  def latest(self) -> int:
    """Returns the newest good checkpoint's step; 0 without one."""
    for step in reversed(stamped.numbers(self._root)):
      try:
        stamped.verify(self._root / str(step))
        return step
      except manifests.TornError:
        continue
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
