"""Leaving a snapshot for the peers: what is said of it, and what may go."""

import math
from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from ctr_codistill import stamped
from ctr_codistill import topology
from ctr_codistill.codistill import exchange
from ctr_codistill.training import contents
from ctr_codistill.training import following
from ctr_codistill.training import publishing
from ctr_codistill.training import workdir
from ctr_codistill.training.workdir import Claim
from ctr_codistill.training.workdir import Place


def writer(
  claim: Claim,
  place: Place,
  model: Callable[[], tf_keras.Model],
  names: Sequence[str],
  clock: Callable[[], float],
) -> Callable[[int, Sequence[tf.Tensor]], int]:
  """Returns what leaves a snapshot of a step and its weights; gives its bytes.

  Args:
    claim: of the group.
    place: of its chief.
    model: makes the model, outside any strategy.
    names: of its weights.
    clock: gives seconds since 1970.
  """
  stamped.sweep(place.folder)
  stamped.sweep(place.folder / contents.FOLDER)
  write = publishing.writer(
    model, claim.schema, place.data, place.folder / "template", claim.key
  )
  root = exchange.folder(place.workdir, place.group)
  needed_from = _needed_from(claim, place)

  def leave(step: int, weights: Sequence[tf.Tensor]) -> int:
    held = contents.of(names, weights)
    contents.leave(place.folder, step, held)
    facts = {
      "group": place.group,
      "schema": claim.schema.fingerprint,
      "model": claim.experiment.model.fingerprint,
      "published": clock(),
      "content": contents.whole(held),
    }
    return exchange.publish(
      write,
      root,
      step,
      weights,
      facts,
      keep=claim.experiment.exchange.keep,
      needed_from=needed_from(),
    )

  return leave


def _needed_from(claim: Claim, place: Place) -> Callable[[], float]:
  """Returns what tells the oldest step that a peer may still ask for."""
  if not claim.experiment.reproducible:
    return lambda: math.inf
  around = claim.experiment.exchange
  peers = topology.peers(around.topology, claim.share.groups)
  learners = [
    workdir.checkpoints_folder(place.workdir, group)
    for group, those in enumerate(peers)
    if place.group in those
  ]
  return lambda: following.needed_from(learners, around)
