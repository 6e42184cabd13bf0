"""Snapshots as runs: what they predict for the same examples, as files."""

import os
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands


def predicted(
  snapshots: Sequence[str | os.PathLike],
  examples: str,
  folder: str | os.PathLike,
  *,
  demands: Demands = trust.NONE,
  progress: Callable[[str], Callable[[int], None]] = lambda name: (
    lambda rows: None
  ),
) -> list[str]:
  """Predicts `examples` with each snapshot; returns the files, in `folder`.

  Args:
    snapshots: directories, such as RUN/exchange/group-0/460.
    examples: raw files, or a directory of shards, as `predict.run` takes.
    folder: for the files; made if missing, and what is there is replaced.
    demands: what each snapshot must show.
    progress: of each run's name makes what is called with rows newly done.

  Raises:
    InputError: a path is no snapshot, or as `predict.run`.
  """
  # Files of predictions need no TensorFlow; its import takes seconds.
  from ctr_codistill.evaluation import predict
  from ctr_codistill.snapshots import Snapshot

  for path in snapshots:
    if not pathlib.Path(path).is_dir():
      raise InputError(f"{path} should be a snapshot's directory, is none")
  found = []
  for path, name in zip(snapshots, comparison.names(snapshots)):
    output = os.path.join(folder, name.replace("/", "-") + ".parquet")
    predict.run(
      predict.Predictor(Snapshot(path, demands)),
      examples,
      output,
      progress=progress(name),
    )
    found.append(output)
  return found
