"""The part of the page that a launch review reads first: passed, or refused.

In words, not by colours alone: it is printed, mailed and read aloud.
"""

import pandas as pd

from ctr_codistill.evaluation.churn import verdict
from ctr_codistill.evaluation.churn.verdict import Outcome
from ctr_codistill.evaluation.churn.verdict import Verdict
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.report import alike
from ctr_codistill.evaluation.report import number

_JUDGED = {
  verdict.VALUE: "The value has to keep its limit.",
  verdict.WITHIN: "The whole interval has to keep its limit: what is not sure"
  " breaks it.",
  verdict.BEYOND: "Any of the interval has to keep its limit: only what is"
  " surely beyond breaks it.",
}
_READ = (
  "Value: of the run or slice that is farthest beyond the limit or, if none is,"
  " nearest to it; of [worse] how much worse than the first run. Beyond: how"
  " many broke the limit, of those that were judged. The interval is over"
  " examples. A limit that nothing was held against is not judged, and does not"
  " hold unless the file of limits says may_be_none."
)


def section(outcome: Outcome) -> Section:
  """Returns the verdict on the whole, and a table with a limit a row."""
  return Section(
    f"Gate: {outcome.word}",
    f"{outcome.word.capitalize()}: {outcome.counted}.",
    table=pd.DataFrame(map(_row, outcome.verdicts)),
    prose=True,
    caption=f"{_JUDGED[outcome.judge]} {_READ}",
  )


def _row(one: Verdict) -> dict[str, str]:
  worst = one.worst or verdict.Figure(float("nan"))
  form = alike(".4g", worst.value, *worst.interval)
  low, high = (number(end, form) for end in worst.interval)
  return {
    "limit": one.limit.name,
    "allowed": one.limit.allowed,
    "value": number(worst.value, form),
    "95 %": low if low == high else f"{low} – {high}",
    "beyond": f"{one.beyond} of {one.judged}",
    "verdict": one.outcome if one.holds else one.outcome.upper(),
    "of": worst.place or one.why,
  }
