"""What of a comparison can be limited: names of measures, by a file's section.

They are known before anything is read, so a limit on what will not be there is
refused at once and not after the hours that a comparison takes.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from ctr_codistill.evaluation.churn import measures
from ctr_codistill.evaluation.churn import quality
from ctr_codistill.evaluation.churn import slices
from ctr_codistill.evaluation.churn.facts import Found

_OFF = "calibration_off"
_CALIBRATION = "calibration"


def expected(
  *,
  thresholds: Sequence[float] = (0.5,),
  is_labelled: bool = True,
  has_slices: bool = False,
  tops: Sequence[int] | None = None,
) -> Mapping[str, tuple[str, ...]]:
  """Returns the names by section.

  Args:
    thresholds: at which decisions are compared.
    is_labelled: whether any run has labels.
    has_slices: whether there are any.
    tops: the k of the top-k overlaps; None where nothing is ranked.
  """
  runs = (*quality.NAMES, _OFF) if is_labelled else ()
  cut = slices.names(is_labelled=is_labelled) if has_slices else ()
  return {
    "measures": measures.names(thresholds, is_labelled=is_labelled),
    "runs": runs,
    # A calibration has no better and worse; [runs] limits how far it is off.
    "worse": tuple(n for n in runs if plain(n) != _CALIBRATION),
    "slices": (*cut, _OFF) if _CALIBRATION in cut else cut,
    "ranks": ()
    if tops is None
    else ("tau_b", *(f"top_overlap.{k}" for k in tops)),
  }


def of(found: Found) -> Mapping[str, tuple[str, ...]]:
  """Returns the names by section, of a comparison that is made."""
  churn, ranks = found.comparison.churn, found.comparison.ranks
  return expected(
    thresholds=churn.thresholds,
    is_labelled=churn.labelled,
    has_slices=bool(found.slices),
    tops=tuple(ranks.overlap) if ranks else None,
  )


def plain(name: str) -> str:
  """Returns the measure that a name is of: of calibration_off calibration."""
  return _CALIBRATION if name == _OFF else name
