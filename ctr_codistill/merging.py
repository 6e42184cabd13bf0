"""One snapshot of several: the mean of their weights."""

import os
import pathlib
import shutil
from collections.abc import Sequence

import tensorflow as tf

from ctr_codistill import bundles
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands


def merge(
  paths: Sequence[str | os.PathLike],
  target: str | os.PathLike,
  *,
  demands: Demands = trust.NONE,
) -> pathlib.Path:
  """Writes the snapshot whose weights are the mean of those of `paths`.

      w = 1 / n  sum_i w_i

  Of groups that began at the same weights and taught one another; others have
  equal units at different places.

  Args:
    paths: of one graph and feature spec; it has the first one's facts, but
      for its group.
    target: where it will be, complete or absent.
    demands: what each of them must show; their key signs it.

  Raises:
    TornError: one of them is not complete, or not as stamped.
    InputError: they are not of one graph or feature spec.
  """
  first, *others = (snapshots.read(path, demands) for path in paths)
  kinds = bundles.kinds(first.tensors)
  total = first.tensors
  for one in others:
    same = kinds == bundles.kinds(one.tensors)
    if not same or one.facts.get("schema") != first.facts.get("schema"):
      raise InputError(f"the weights of {one.path} do not fit {first.path}")
    total = [a + b for a, b in zip(total, one.tensors)]
  count = len(others) + 1
  said = bundles.objects(first.path)
  facts = {n: v for n, v in first.facts.items() if n != "group"}

  def fill(path: pathlib.Path) -> None:
    ignored = shutil.ignore_patterns(stamped.MANIFEST, bundles.FOLDER)
    shutil.copytree(first.path, path, ignore=ignored, dirs_exist_ok=True)
    bundles.write(path, [t / tf.cast(count, t.dtype) for t in total], said)

  return stamped.write(
    target, fill, {**facts, "merged": count}, key=demands.key
  )
