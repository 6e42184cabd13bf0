"""How far trainings differ: sums that merge, measures, slices, a report."""

from ctr_codistill.evaluation.churn.bins import pairs_of
from ctr_codistill.evaluation.churn.sums import Churn

__all__ = ["Churn", "pairs_of"]
