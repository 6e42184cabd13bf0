"""What the predictions of some models are worth: `quality.json` and a page.

Read from their files, so that it is the same whoever wrote them, a job that was
killed, or many workers.
"""

import os
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from ctr_codistill import stamped
from ctr_codistill.criteo import parallel
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.churn.slicing import Slicing
from ctr_codistill.evaluation.quality import figures
from ctr_codistill.evaluation.quality import sections
from ctr_codistill.evaluation.quality.figures import Figures
from ctr_codistill.evaluation.quality.sums import Scores
from ctr_codistill.evaluation.report import plain


def of(
  runs: Mapping[str, str | os.PathLike],
  columns: Sequence[str] = (),
  *,
  slices: int = 20,
  threads: int = 2,
  progress: Callable[[int], None] = lambda rows: None,
) -> dict[str, Figures]:
  """Returns the figures of each run's predictions, by its name.

  Args:
    runs: files of predictions, see `shards.find`, by name.
    columns: of the files, by which examples are cut into slices.
    slices: most values, or quantiles, of a column.
    threads: that sum, beside the one that reads.
    progress: called with the number of rows newly done, of any run.

  Raises:
    InputError: files without labels or rows, or as `shards.iterate`.
  """
  first = next(iter(runs.values()))
  cuts = aligning.slicings(first, columns, slices=slices)
  return {
    name: figures.of(
      total(path, cuts, threads=threads, progress=progress), cuts
    )
    for name, path in runs.items()
  }


def total(
  path: str | os.PathLike,
  slicings: Sequence[Slicing] = (),
  *,
  threads: int = 2,
  progress: Callable[[int], None] = lambda rows: None,
) -> Scores:
  """Returns the sums over the predictions of a run; raises as `of`."""
  parts = shards.iterate(path, extra=[cut.column for cut in slicings])
  found = None
  for scores in parallel.in_order(
    lambda part: Scores.of(part, slicings), parts, threads
  ):
    found = found.merge(scores) if found else scores
    progress(int(scores.counts["examples"].sum()))
  if found is None:
    raise InputError(f"{path} should have examples, has 0 rows")
  return found


def write(
  found: Mapping[str, Figures], output: str | os.PathLike
) -> pathlib.Path:
  """Writes `quality.json` and `report.html` in `output`; returns the page."""
  output = pathlib.Path(output)
  output.mkdir(parents=True, exist_ok=True)
  value = {name: figures.to_json(one) for name, one in found.items()}
  stamped.write_json(output / "quality.json", plain({"runs": value}))
  path = output / "report.html"
  examples = next(iter(found.values())).quality.examples
  lead = f"Snapshots: {', '.join(found)}. Examples: {examples:,}."
  text = page.page("What predictions are worth", lead, sections.sections(found))
  stamped.write_text(path, text)
  return path


def text(found: Mapping[str, Figures]) -> str:
  """Returns the headline figures, for a terminal."""
  return page.text_table(sections.headline(found))
