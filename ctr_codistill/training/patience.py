"""Trying again what a disk or a store refused, a bounded number of times."""

import logging
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from ctr_codistill.errors import InputError

_LOG = logging.getLogger(__name__)
TRIES = 6
"""With pauses of 1, 2, 4, 8 and 16 s between them."""
REFUSALS = (InputError, OSError, tf.errors.OpError)
"""What a disk that is full, read-only, gone or broken makes a write raise."""

Result = TypeVar("Result")


def patiently(
  action: Callable[[], Result],
  what: str,
  *,
  sleep: Callable[[float], None],
  tries: int = TRIES,
) -> Result:
  """Returns what `action` does, which is called again while it is refused.

  Args:
    action: what is tried; it leaves nothing behind where it fails.
    what: is made, for the log and the error.
    sleep: returns after so many seconds.
    tries: at most, at least 1.

  Raises:
    InputError: the last try failed as well, and why.
  """
  for done in range(1, tries):
    try:
      return action()
    except REFUSALS as error:
      pause = 2 ** (done - 1)
      _LOG.warning(
        "%s: try %d of %d failed, the next is in %d s: %s",
        what,
        done,
        tries,
        pause,
        error,
      )
      sleep(pause)
  try:
    return action()
  except REFUSALS as error:
    raise InputError(
      f"{what} could not be written in {tries} tries: {error}"
    ) from error
