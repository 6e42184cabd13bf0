"""The churn of some runs as `churn.json`, a short table, and one page.

Written for a launch review: each number stands beside what it says, and churn
beside quality, since either is easily had at the cost of the other.
"""

import os
import pathlib
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation.churn import facts as facts_
from ctr_codistill.evaluation.churn import sections
from ctr_codistill.evaluation.churn import tables
from ctr_codistill.evaluation.churn import verdict_section
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.churn.verdict import Outcome
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.report import plain

_TITLE = "Churn between retrains"


def write(
  comparison: Comparison,
  output: str | os.PathLike,
  *,
  title: str = _TITLE,
) -> pathlib.Path:
  """Writes all files of the report in `output`; returns the page's path.

  `churn.json`, `churn.csv` (every figure a row) and `report.html`.

  Args:
    comparison: of runs with at least one example.
    output: directory, made if missing.
    title: of the page.
  """
  return write_found(facts_.find(comparison), output, title=title)


def write_found(
  found: Found,
  output: str | os.PathLike,
  *,
  title: str = _TITLE,
  gate: Outcome | None = None,
) -> pathlib.Path:
  """Writes what `write` does, from figures that are worked out.

  Args:
    found: to be written.
    output: directory, made if missing.
    title: of the page.
    gate: what limits came to, first on the page; None without limits.
  """
  output = pathlib.Path(output)
  output.mkdir(parents=True, exist_ok=True)
  value = facts_.json_value(found)
  parts = sections.sections(found)
  if gate:
    value["gate"] = gate.to_dict()
    parts.insert(0, verdict_section.section(gate))
  stamped.write_json(output / "churn.json", plain(value))
  stamped.write_text(
    output / "churn.csv", facts_.table(found).to_csv(index=False)
  )
  path = output / "report.html"
  lead = sections.lead(found)
  stamped.write_text(path, page.page(title, lead, parts))
  return path


def facts(comparison: Comparison) -> dict[str, Any]:
  """Returns what `churn.json` holds."""
  return facts_.json_value(facts_.find(comparison))


def text(comparison: Comparison) -> str:
  """Returns the headline numbers, and each run's quality, for a terminal."""
  return text_found(facts_.find(comparison))


def text_found(found: Found) -> str:
  """Returns what `text` does, from figures that are worked out."""
  parts = [page.text_table(tables.headline(found).iloc[:, :-1])]
  if found.comparison.qualities:
    parts.append(page.text_table(tables.quality(found.comparison)))
  if found.comparison.ranks:
    parts.append(page.text_table(tables.ranks(found.comparison)))
  if tables.shown(found):
    parts.append(page.text_table(tables.slices(found, most=10)))
  return "\n\n".join(parts)
