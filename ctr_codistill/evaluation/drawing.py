"""How all pictures of a report look, and how they become inline SVG.

The same numbers give the same bytes: letters are drawn as paths, so that a page
looks alike whatever fonts its reader has, and ids are salted by the picture's
name, so that two pictures of a page do not mix theirs up.
"""

import html
import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = {
  "font.size": 9,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "axes.axisbelow": True,
  "grid.color": "#e4e8ec",
  "axes.edgecolor": "#8a949e",
  "svg.fonttype": "path",
}
"""Matplotlib's settings within which a picture is drawn and made SVG."""
BLUE = "#2166ac"
RED = "#b2182b"
GREY = "#57606a"
WIDTH = 7.4  # inches; the page scales it to its own width


def figure(height: float) -> tuple[Figure, Axes]:
  """Returns an empty figure of the page's width and `height` inches."""
  found = Figure(figsize=(WIDTH, height), layout="constrained")
  return found, found.subplots()


def svg(drawn: Figure, name: str, title: str) -> str:
  """Returns a figure as an SVG element, the same bytes every time.

  Args:
    drawn: within `STYLE`, as this is called.
    name: of the picture, its own on a page.
    title: read out to who does not see it.
  """
  text = io.StringIO()
  nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
  with mpl.rc_context({"svg.hashsalt": name}):
    drawn.savefig(text, format="svg", metadata=nothing)
  whole = text.getvalue()
  label = html.escape(title, quote=True)
  return whole[whole.index("<svg") :].replace(
    "<svg", f'<svg role="img" aria-label="{label}"', 1
  )
