"""Snapshots as runs: what they predict for the same examples, as files."""

import contextlib
import os
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands


def predicted(
  snapshots: Sequence[str | os.PathLike],
  examples: str,
  folder: str | os.PathLike,
  *,
  layout: Layout | None = None,
  labelled: bool = False,
  demands: Demands = trust.NONE,
  progress: Callable[[str], Callable[[int], None]] = lambda name: (
    lambda rows: None
  ),
) -> list[str]:
  """Predicts `examples` with all snapshots; returns the files, in `folder`.

  In one pass: examples are read, parsed and encoded once.

  Args:
    snapshots: directories, such as RUN/exchange/group-0/STEP.
    examples: raw files, or a directory of shards, as `predict.run` takes.
    folder: for the files; made if missing, and what is there is replaced.
    layout: of raw files; None is Criteo's form with the models' features.
    labelled: whether there must be labels, which is told before anything else.
    demands: what each snapshot must show.
    progress: of the runs' names makes what is called with rows newly done.

  Raises:
    InputError: a path is no snapshot, they have other features, a file that
      would be written is of the examples, or as `predict.run`.
  """
  # Files of predictions need no TensorFlow; its import takes seconds.
  from ctr_codistill.criteo.raw import apart
  from ctr_codistill.evaluation import inputs
  from ctr_codistill.evaluation import predict
  from ctr_codistill.evaluation import predictions
  from ctr_codistill.snapshots import Snapshot

  for path in snapshots:
    if not pathlib.Path(path).is_dir():
      raise InputError(f"{path} should be a snapshot's directory, is none")
  names = comparison.names(snapshots)
  files = [
    os.path.join(folder, name.replace("/", "-") + ".parquet") for name in names
  ]
  apart.check(inputs.patterns(examples), files)
  models = [predict.Predictor(Snapshot(path, demands)) for path in snapshots]
  source = inputs.find(
    examples,
    [model.schema for model in models],
    layout=layout,
    labelled=labelled,
  )
  bad = predict.Bad(source.rows, predict.MAX_BAD_FRACTION)
  moved = progress(", ".join(names))
  with contextlib.ExitStack() as stack:
    writers = [stack.enter_context(predictions.writing(f)) for f in files]
    for part in predict.scored(models, source, source.pieces, bad=bad):
      for writer, batch in zip(writers, part.batches):
        writer.add(batch)
      moved(len(part.batches[0]))
  return files
