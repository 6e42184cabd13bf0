"""One self-contained HTML page made of sections; no network, no script.

A page that fetches nothing can be mailed, archived and printed, and still says
the same in five years.
"""

import dataclasses
import html
from collections.abc import Sequence

import pandas as pd

_STYLE = """
:root { color-scheme: light; }
body { margin: 2rem auto; max-width: 66rem; padding: 0 1rem; color: #1b1f24;
  background: #fff; font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans",
  sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0 .8rem; max-width: 50rem; }
.lead { font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .35rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid #d9dee3; }
th { border-bottom: 2px solid #8a949e; vertical-align: bottom; }
th:first-child, td:first-child, table.prose td:last-child,
table.prose th:last-child { text-align: left; }
td { white-space: nowrap; }
td:first-child { min-width: 8rem; white-space: normal; }
table.prose td:first-child { white-space: nowrap; }
table.prose td:last-child { white-space: normal; }
figure { margin: .6rem 0; }
figure svg { display: block; width: 100%; max-width: 52rem; height: auto; }
figcaption { color: #57606a; font-size: .85rem; }
figcaption p { margin: .3rem 0; }
@page { margin: 1.5cm; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; }
  h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
  table { font-size: 8pt; } td { white-space: normal; }
  .wide { overflow: visible; } }
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
  """A part of a page; what is empty or None is left out.

  Attributes:
    heading: its title, plain text.
    text: paragraphs of plain text, an empty line between two.
    table: cells as they shall read; the first column is text, others numbers.
    prose: the table's last column is text, too.
    picture: an inline SVG.
    caption: paragraphs below: what is shown and how to read it.
  """

  heading: str
  text: str = ""
  table: pd.DataFrame | None = None
  prose: bool = False
  picture: str | None = None
  caption: str = ""


def page(title: str, text: str, sections: Sequence[Section]) -> str:
  """Returns a page as HTML: `title`, a leading `text`, then the sections.

  All texts are plain and get escaped; pictures are put in as they are.
  """
  body = "\n".join(map(_section, sections))
  return (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
    f"<body>\n<h1>{html.escape(title)}</h1>\n{_paragraphs(text, 'lead')}\n"
    f"{body}\n</body>\n</html>\n"
  )


def text_table(table: pd.DataFrame) -> str:
  """Returns the table as aligned plain text, its first column to the left."""
  columns = [
    [str(name), *map(str, table[name])] for name in map(str, table.columns)
  ]
  widths = [max(map(len, column)) for column in columns]
  lines = [
    "  ".join(
      cell.rjust(width) if i else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths))
    ).rstrip()
    for row in zip(*columns)
  ]
  lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
  return "\n".join(lines)


def _section(section: Section) -> str:
  parts = [f"<h2>{html.escape(section.heading)}</h2>"]
  parts.append(_paragraphs(section.text))
  if section.table is not None:
    parts.append(_table(section.table, prose=section.prose))
  figure = section.picture or ""
  if section.caption:
    figure += f"<figcaption>{_paragraphs(section.caption)}</figcaption>"
  if figure:
    parts.append(f"<figure>{figure}</figure>")
  return "<section>\n" + "\n".join(filter(None, parts)) + "\n</section>"


def _paragraphs(text: str, kind: str = "") -> str:
  start = f'<p class="{kind}">' if kind else "<p>"
  parts = filter(None, map(str.strip, text.split("\n\n")))
  return "\n".join(f"{start}{html.escape(part)}</p>" for part in parts)


def _table(table: pd.DataFrame, *, prose: bool) -> str:
  cells = table.to_html(
    index=False, border=0, escape=True, classes="prose" if prose else None
  )
  return f'<div class="wide">{cells}</div>'
