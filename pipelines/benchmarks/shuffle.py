"""How well an epoch is shuffled, beside a permutation of all rows."""

import pathlib
import tempfile

import numpy as np

from ctr_codistill.criteo import dataset
from ctr_codistill.criteo import records
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.share import Share
from pipelines.benchmarks import work as works
from pipelines.benchmarks.work import Work


def lines(work: Work) -> list[dict[str, object]]:
  """Returns how well orders are shuffled, for small and large data."""
  sizes = ((100_000, 131_072), (117_549, 7_347), (4_194_304, 131_072))
  found = []
  for rows, window in sizes:
    with tempfile.TemporaryDirectory() as folder:
      shards = works.shards(pathlib.Path(folder), rows, 2)
      orders = {
        "full permutation": np.random.RandomState(0).permutation(rows),
        "blocks at random": _unstratified(rows, window),
        "ours": _ours(shards, window),
      }
      for name, seen in orders.items():
        facts = {"rows": rows, "window_rows": window, "order": name}
        found.append(facts | quality(seen, work.batch))
  return found


def quality(seen: np.ndarray, batch_rows: int) -> dict[str, float]:
  """Returns how far an epoch is from the order of the input.

  The first two and the last are relative to what a permutation of all rows
  gives on average, 1 is as good; a rank correlation of 0 is.

  Args:
    seen: the input's row at each place of the epoch, int `[rows]`.
    batch_rows: rows of a batch, below `rows`.

  Returns:
    distance: mean distance in the epoch of rows that were neighbours;
    same_batch: share of neighbours that land in one batch;
    rank_correlation: of the places of a row in the input and in the epoch;
    scatter: variance over batches of the mean place in the input: above 1,
      batches are of one time more than of another.
  """
  rows = len(seen)
  place = np.empty(rows, np.int64)
  place[seen] = np.arange(rows)
  whole = rows // batch_rows * batch_rows
  means = seen[:whole].reshape(-1, batch_rows).mean(axis=1)
  together = np.mean(np.diff(place // batch_rows) == 0)
  drawn = (rows**2 - 1) / 12 / batch_rows * (rows - batch_rows) / (rows - 1)
  return {
    "distance": float(np.abs(np.diff(place)).mean() / ((rows + 1) / 3)),
    "same_batch": float(together / ((batch_rows - 1) / (rows - 1))),
    "rank_correlation": float(np.corrcoef(place, np.arange(rows))[0, 1]),
    "scatter": float(np.mean((means - (rows - 1) / 2) ** 2) / drawn),
  }


def _ours(shards: Shards, window_rows: int) -> np.ndarray:
  """Returns the input's row at each place of the first epoch."""
  share = Share(window_rows=window_rows)
  found = dataset.batches(shards, share, batch_rows=shards.rows)
  return next(found)[:, 0]


def _unstratified(rows: int, window_rows: int) -> np.ndarray:
  """Returns the same without strata: any block may come in any window."""
  random = np.random.RandomState(0)
  size = records.BLOCK_ROWS
  blocks = np.split(np.arange(rows), range(size, rows, size))
  seen = np.concatenate([blocks[b] for b in random.permutation(len(blocks))])
  for low in range(0, rows, window_rows):
    random.shuffle(seen[low : low + window_rows])
  return seen
