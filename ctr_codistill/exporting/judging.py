"""Whether a model may take the place of the one that is served.

Both predict the same rows. The new one must not be worse there, and the two
must be as near to one another as a file of limits wants: that is churn as its
users will see it, between what answers today and what would answer tomorrow.
"""

import dataclasses
import os

from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import snapshot_runs
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import gate
from ctr_codistill.evaluation.churn import limitable
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.churn.gate import Limits
from ctr_codistill.evaluation.churn.verdict import Limit
from ctr_codistill.evaluation.churn.verdict import Verdict
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
  """What was found of a candidate beside the model in place.

  Attributes:
    found: all figures of both on the same rows.
    verdicts: on each limit; the first on being worse.
  """

  found: Found
  verdicts: tuple[Verdict, ...]

  @property
  def holds(self) -> bool:
    """Whether no limit is broken."""
    return all(verdict.holds for verdict in self.verdicts)


def compare(
  old: str | os.PathLike,
  new: str | os.PathLike,
  rows: str,
  folder: str | os.PathLike,
  *,
  layout: Layout | None = None,
  demands: Demands = trust.NONE,
) -> Found:
  """Returns how two models differ on `rows`, their predictions in `folder`.

  Args:
    old: directory of a snapshot or version.
    new: likewise.
    rows: raw files or a directory of shards, with labels.
    folder: for files of predictions.
    layout: of raw files; None is Criteo's form with the models' features.
    demands: what both must show.

  Raises:
    InputError: the rows have no labels, or as `predict.run`.
  """
  files = snapshot_runs.predicted(
    [old, new], rows, folder, layout=layout, labelled=True, demands=demands
  )
  return facts.find(comparison.compare(files))


def read_limits(path: str | os.PathLike, *, sliced: bool = False) -> Limits:
  """Reads a file of limits that can be judged; told before rows are asked for.

  Args:
    path: of the file.
    sliced: whether the examples will be cut into slices.

  Raises:
    InputError: as `gate.read`; a limit on what will not be there.
  """
  limits = gate.read(path)
  gate.check(limits, limitable.expected(has_slices=sliced))
  return limits


def judge(
  found: Found, limits: Limits | None = None, *, most_worse: float = 0.0
) -> Judgement:
  """Judges the second model of `found` against the first, in place.

  Args:
    found: of `compare`.
    limits: more of them, such as those on churn; None for none.
    most_worse: nats by which its log loss may be higher.

  Raises:
    InputError: a limit on what the comparison does not have.
  """
  worse = Limits("value", (Limit("worse", "log_loss", most=most_worse),))
  verdicts = gate.judge(found, worse).verdicts
  if limits:
    verdicts += gate.judge(found, limits).verdicts
  return Judgement(found, verdicts)
