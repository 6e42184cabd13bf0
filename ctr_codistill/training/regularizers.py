"""What regularises beside the peers, as values of a step.

A step takes them as scalar tensors, so that a course changes them without a
trace. What is 0 all the way is not among them, and the compiled step has no
operation for it.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import tensors
from ctr_codistill.course import Course
from ctr_codistill.criteo import labels
from ctr_codistill.criteo.records import Shards

NONE: Mapping[str, tf.Tensor] = {}
"""The values of a training that nothing regularises."""


@dataclasses.dataclass(frozen=True)
class Regularizers:
  """The courses of a training of `steps`; its noise is drawn from `seed`."""

  regularization: config.Regularization
  steps: int
  seed: int

  @functools.cached_property
  def courses(self) -> dict[str, Course]:
    """Those that are not always 0, by the name of their field."""
    fields = vars(self.regularization).items()
    courses = {n: c for n, c in fields if isinstance(c, Course)}
    return {name: c for name, c in courses.items() if not c.is_zero}

  def at(self, step: int) -> dict[str, tf.Tensor]:
    """Returns the values at `step`, from 0, each a float32 scalar.

    With dropout also "noise", int32 `[2]`: the seed of what this step drops.
    """
    found = {
      name: tensors.of(course.at(step, steps=self.steps), np.float32)
      for name, course in self.courses.items()
    }
    if "dropout" in found:
      found["noise"] = tensors.of([self.seed, step], np.int32)
    return found

  def smoothed_to(self, shards: Shards) -> float:
    """Returns what labels of the training rows `shards` are drawn to."""
    if self.regularization.label_smoothing.is_zero:
      return 0.5  # to count clicks means to read all rows
    if self.regularization.label_smoothing_to == "half":
      return 0.5
    return labels.base_rate(shards)


def smoothed(label: tf.Tensor, share: tf.Tensor, towards: float) -> tf.Tensor:
  """Returns (1 - e) y + e u, elementwise: label smoothing.

  With u = 1/2 the uniform smoothing that Anil et al. 2018 compare with, with u
  the base rate the unigram one.

  Args:
    label: y, 0 or 1, float.
    share: e, in [0, 1], a scalar.
    towards: u, in [0, 1].
  """
  return label + share * (towards - label)
