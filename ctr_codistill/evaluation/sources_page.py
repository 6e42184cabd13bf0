"""Where churn comes from: `sources.json`, `sources.csv` and one page."""

import pathlib
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from ctr_codistill import stamped
from ctr_codistill.evaluation import drawing
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation import sources
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.sources import Entry

_CAPTION = (
  "Churn: mean |p − q| over the same examples between a training and the same"
  " with this one change (Anil et al. 2018); relative: mean of 2|p − q| / (p +"
  " q) (Shamir & Lin 2022); RMS logit: root of the mean square of logit p −"
  " logit q; equal: share of examples with exactly the same prediction; log"
  " loss: the changed training's less the other's, in nats. Means over n"
  " repeats, ± half of the 95 % interval over repeats (Student), which have no"
  " seed in common."
  "\n\nShare of all: churn over that of everything changed at once, of the same"
  " kind of model; its interval is a jackknife over repeats. Of squares: the"
  " same of the mean square of logit p − logit q. Neither adds up to 100 %:"
  " sources meet in one model, and what two of them do together counts for both"
  " (a total effect, Homma & Saltelli 1996)."
)
_PICTURE = (
  "Mean |p − q| and its 95 % interval over repeats; in brackets the share of"
  " all. Blue: a model trained alone; red: one of a codistilled pair."
)


def write(
  entries: Sequence[Entry],
  output: pathlib.Path,
  *,
  text: str,
  facts: Mapping[str, Any],
  sections: Sequence[Section] = (),
) -> pathlib.Path:
  """Writes `sources.json`, `.csv` and `.html`; returns the latter.

  Args:
    entries: at least one, see `sources.entry`.
    output: directory, made if missing.
    text: what was trained on what; plain text, first on the page.
    facts: further keys of `sources.json`; JSON values.
    sections: put last on the page.
  """
  output.mkdir(parents=True, exist_ok=True)
  value = {"sources": list(entries), **facts}
  stamped.write_json(output / "sources.json", report.plain(value))
  stamped.write_text(
    output / "sources.csv", sources.flat(entries).to_csv(index=False)
  )
  varied = {
    "source": list(map(sources.label, entries)),
    "what was varied, and what held": [one["varied"] for one in entries],
  }
  parts = [
    Section(
      "What each source adds", picture=picture(entries), caption=_PICTURE
    ),
    Section("In figures", table=sources.table(entries), caption=_CAPTION),
    Section("What was varied", table=pd.DataFrame(varied), prose=True),
  ]
  path = output / "sources.html"
  title = "Where churn comes from"
  stamped.write_text(path, page.page(title, text, [*parts, *sections]))
  return path


def picture(entries: Sequence[Entry]) -> str:
  """Draws one bar a source with its interval, its share of all at the end."""
  values = np.array([one["mean_absolute"] for one in entries])
  ends = np.array([one["interval"]["mean_absolute"] for one in entries])
  # No churn is below 0, whatever Student says.
  ends = np.clip(np.where(np.isfinite(ends), ends, values[:, None]), 0, None)
  place = np.arange(len(entries))
  colours = [
    drawing.BLUE if one["of"] == "single" else drawing.RED for one in entries
  ]
  with mpl.rc_context(drawing.STYLE | {"axes.grid": False}):
    figure, axes = drawing.figure(0.3 * len(entries) + 0.7)
    axes.barh(place, values, color=colours, height=0.7)
    axes.hlines(place, *ends.T, color="black", linewidth=1.2)
    reach = max(ends.max(), values.max())
    for row, one in enumerate(entries):
      axes.annotate(
        f"{values[row]:#.3g}  ({sources.share(one, 'share')})",
        (max(ends[row, 1], values[row]), row),
        (5, 0),
        textcoords="offset points",
        va="center",
      )
    names = [textwrap.fill(sources.label(one), 34) for one in entries]
    axes.set_yticks(place, names)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.4 * reach or 1)
    axes.set_xlabel("churn: mean |p − q| between two trainings")
    return drawing.svg(figure, "sources", "Churn that each source adds")
