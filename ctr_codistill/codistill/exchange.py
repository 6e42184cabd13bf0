"""The exchange: groups leave snapshots there and wait for nobody."""

import math
import os
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.errors import PassingError
from ctr_codistill.manifests import TornError
from ctr_codistill.snapshots import Writer

FOLDER = "exchange"
"""What of a work directory may lie elsewhere: a link, or a mount of a store."""


def folder(workdir: str | os.PathLike, group: int) -> pathlib.Path:
  """Returns the directory of the snapshots of `group`, one a step."""
  return pathlib.Path(workdir) / FOLDER / f"group-{group}"


def publish(
  writer: Writer,
  root: pathlib.Path,
  step: int,
  weights: Sequence[tf.Tensor],
  facts: Mapping[str, Any],
  *,
  keep: int,
  needed_from: float = math.inf,
) -> int:
  """Leaves snapshot `step` in `root` and deletes all but the `keep` newest.

  Those from step `needed_from` on stay, however many they are. A snapshot that
  is there already (its group was started again from an earlier step) stays as
  it is, or is put aside if it is torn. What a publication left that failed, and
  could not even clean up, goes. Returns the snapshot's bytes.

  Raises:
    InputError: it could not be written, and why.
  """
  try:
    stamped.sweep_unstamped(root)
    if not _is_good(root / str(step), writer):
      writer.write(root, step, weights, facts)
    size = stamped.size(root / str(step))
    stamped.keep_newest(root, keep, below=needed_from)
    return size
  except (OSError, tf.errors.OpError) as error:
    raise InputError(
      f"snapshot {root / str(step)} could not be written: {error}"
    ) from error


def _is_good(path: pathlib.Path, writer: Writer) -> bool:
  """Tells whether a snapshot is there; a torn one is put aside."""
  if not stamped.is_stamped(path):
    return False
  try:
    stamped.verify(path, writer.key)
  except TornError:
    stamped.put_aside(path)
    return False
  return True


def withdraw(root: pathlib.Path, *, newer_than: int) -> None:
  """Deletes the snapshots after step `newer_than`; for their owner alone.

  A group that starts again from a checkpoint would otherwise leave its peers
  with a teacher from a future that does not come. What a writer that died left
  aside goes too.

  Raises:
    PassingError: the place cannot be used now.
  """
  try:
    stamped.sweep_unstamped(root)
    for step in stamped.numbers(root):
      if step > newer_than:
        stamped.delete(root / str(step))
  except OSError as error:
    raise PassingError(f"the exchange cannot be used: {error}") from error


def latest(root: pathlib.Path) -> int | None:
  """Returns the newest complete snapshot's step, None before the first.

  It returns what is there, at once: a group that is slow or gone only makes its
  peers' teachers stale.
  """
  steps = stamped.numbers(root)
  return steps[-1] if steps else None


def newest(workdir: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the newest snapshot of each group of a run.

  Raises:
    InputError: there are fewer than two groups, or one has none.
  """
  roots = sorted(folder(workdir, 0).parent.glob("group-*"))
  if len(roots) < 2:
    raise InputError(
      f"{workdir} should have 2 groups or more, has {len(roots)}"
    )
  steps = {root: latest(root) for root in roots}
  for root, step in steps.items():
    if step is None:
      raise InputError(f"{root} should have a snapshot, has none")
  return [root / str(step) for root, step in steps.items()]
