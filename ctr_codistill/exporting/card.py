"""The model card: what is served, what it was made of, what it is not good for.

It is written from `export.json` alone, and says of what was not given that it
was not, for a gap that nobody sees is taken for a good figure.
"""

from collections.abc import Mapping
from typing import Any

FILE = "model_card.md"
_QUALITY = ("examples", "log_loss", "auc", "normalized_entropy", "calibration")
_CHURN = ("mean_absolute", "relative", "logit_rms", "equal", "maximum")
_LIMITS = """\
- A probability of a click for rows of the columns above; not a ranking by
  another value, and not for other sites or times than its data's without a
  look at its calibration there.
- A feature that is not sent, an empty string and the integer -2^63 are missing
  values; a string that training saw too seldom shares one of the `oov` ids with
  others; integers beyond +-(2^31 - 1) count as that.
- The same rows in batches of another size may differ in the last bits (the
  order of sums); the same batch gives the same bits on the same machine.
- Churn between independent trainings is not zero: see above.
"""


_UNKNOWN_CHURN = """\
Between independent trainings: not given (`--churn=FILE`, a `churn.json` of
`pipelines.churn`), so how far another training would differ is not known."""
_UNKNOWN_CHANGE = """\
Against the version in place: not given (`--promote` with rows `--on`), so how
far its answers differ from those before is not known."""


def text(report: Mapping[str, Any]) -> str:
  """Returns the card as Markdown, from what `export.json` holds."""
  parts = [
    f"# {report['model']}, version {report['version']}",
    _source(report),
    "## Answers\n" + _signatures(report["signatures"]),
    "## Data\n" + _data(report["data"]),
    "## Quality\n" + _quality(report["quality"]),
    "## Churn\n" + _churn(report["churn"], report["judged"]),
    "## Against the version before\n" + _judged(report["judged"]),
    "## Weights\n" + _weights(report),
    "## Limits\n" + _LIMITS,
  ]
  return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _source(report: Mapping[str, Any]) -> str:
  warm = report["warmup"]
  same = report.get("same_as")
  return (
    ("" if same is None else f"The same as version {same}, gone back to.\n\n")
    + f"Step {report['step']} of `{report['snapshot']}`; "
    f"{report['parameters']:,} weights, kept as {report['weights']}, "
    f"{report['bytes']:,} bytes. {warm['requests']} warm-up requests, of rows "
    f"{warm['rows']}."
  )


def _signatures(signatures: Mapping[str, Any]) -> str:
  lines = ["| signature | inputs | outputs |", "|---|---|---|"]
  for name, one in signatures.items():
    lines.append(
      f"| `{name}` | {_tensors(one['inputs'])} | {_tensors(one['outputs'])} |"
    )
  lines += [
    "",
    "Of a wrong dtype a server names the place, `arg[0]` and so on:",
  ]
  lines += [f"- `{n}`: {_args(one['inputs'])}" for n, one in signatures.items()]
  return "\n".join(lines)


def _args(inputs: Mapping[str, Any]) -> str:
  names = sorted(inputs, key=lambda name: inputs[name]["arg"])
  return ", ".join(names)


def _tensors(found: Mapping[str, Any]) -> str:
  kinds: dict[str, list[str]] = {}
  for name, one in found.items():
    shape = ", ".join("batch" if n < 0 else str(n) for n in one["shape"])
    kind = f"{one['dtype']} `[{shape}]`" + ", optional" * ("optional" in one)
    kinds.setdefault(kind, []).append(f"`{name}`")
  return "; ".join(f"{' '.join(names)}: {k}" for k, names in kinds.items())


def _data(data: Mapping[str, Any]) -> str:
  lines = [
    f"{len(data['numeric'])} integers ({', '.join(data['numeric'])}) and "
    f"{len(data['categorical'])} strings "
    f"({', '.join(data['categorical'])}); {data['ids']:,} ids; feature spec "
    f"`{data['schema']}` (`schema.json` beside this)."
  ]
  if data["rows"] is None:
    lines.append("Rows it was trained on: not given (no experiment.json).")
  else:
    lines.append(f"Trained on {data['rows']:,} rows; flags in `export.json`.")
  return "\n\n".join(lines)


def _quality(quality: Mapping[str, Any] | None) -> str:
  if quality is None:
    return "Not given (`--quality`, `--on`)."
  rows = {name: quality[name] for name in _QUALITY if name in quality}
  return f"On `{quality['of']}`:\n\n" + _table("measure", rows)


def _churn(
  churn: Mapping[str, Any] | None, judged: Mapping[str, Any] | None
) -> str:
  parts = []
  if judged and "examples" in judged:
    beside = f"; `{judged['report']}`" if judged.get("report") else ""
    parts.append(
      f"Between version {judged['against']}, which was in place, and this one, "
      f"on {judged['examples']:,} examples (`{judged['on']}`{beside}):\n\n"
      + _figures(judged)
    )
  if churn:
    parts.append(
      f"Between {churn.get('runs', '?')} independent trainings, on "
      f"{churn.get('examples', 0):,} examples (`{churn['of']}`):\n\n"
      + _figures(churn)
    )
  else:
    parts.append(_UNKNOWN_CHURN)
  if not (churn or judged):
    parts.append(_UNKNOWN_CHANGE)
  return "\n\n".join(parts)


def _figures(found: Mapping[str, Any]) -> str:
  """Returns measures of churn with the intervals that hold: 95 %."""
  ends, over = found.get("interval_runs") or {}, "trainings"
  if not any(ends.get(name) for name in _CHURN):  # of fewer than three
    ends, over = found.get("interval_examples") or {}, "examples"
  lines = [f"| measure | | 95 %, over {over} |", "|---|---|---|"]
  for name in (name for name in _CHURN if name in found):
    within = " to ".join(map(_cell, ends.get(name) or ["–"]))
    lines.append(f"| {name} | {_cell(found[name])} | {within} |")
  return "\n".join(lines)


def _judged(judged: Mapping[str, Any] | None) -> str:
  if judged is None:
    return "Not compared."
  lines = "\n".join(f"    {line}" for line in judged["verdicts"])
  return f"Version {judged['against']}, on `{judged['on']}`:\n\n{lines}"


def _weights(report: Mapping[str, Any]) -> str:
  if report["weights"] == "float32":
    return "float32, as they were trained."
  cost = report["cost"]
  if cost is None:
    return (
      f"{report['weights']}: {report['bytes']:,} bytes. What it costs in "
      "quality and churn was not measured (`--on`)."
    )
  head = f"{report['weights']} against float32, on `{cost['on']}`:\n\n"
  return head + _table("", {k: v for k, v in cost.items() if k != "on"})


def _table(head: str, rows: Mapping[str, Any]) -> str:
  lines = [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
  return "\n".join([f"| {head} | |", "|---|---|", *lines])


def _cell(value: Any) -> str:
  if isinstance(value, Mapping):
    return ", ".join(f"{k}: {_cell(v)}" for k, v in value.items())
  if value is None:
    return "not defined"
  return f"{value:.6g}" if isinstance(value, float) else str(value)
