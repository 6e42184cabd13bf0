"""A snapshot as a version that TF Serving loads, with all that explains it.

In `assets.extra/` lie the feature spec, warm-up requests, `export.json` (what
the version is, and all that was measured of it) and a model card, its text. The
graph and the weights are the snapshot's own files, bit for bit.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ctr_codistill import bundles
from ctr_codistill import loading
from ctr_codistill import manifests
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill import sums
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation.report import plain
from ctr_codistill.exporting import card
from ctr_codistill.exporting import graphs
from ctr_codistill.exporting import narrow
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import versions
from ctr_codistill.exporting import warmup
from ctr_codistill.exporting.raw_rows import RawRows
from ctr_codistill.manifests import Manifest
from ctr_codistill.manifests import TornError
from ctr_codistill.trust import demands as trust
from ctr_codistill.trust.demands import Demands

REPORT = "export.json"
_FILES = re.compile(
  r"(assets\.extra/teacher/)?(saved_model\.pb|fingerprint\.pb)"
  r"|variables/variables\.(index|data-\d{5}-of-\d{5})"
  r"|assets\.extra/(schema\.json|export\.json|model_card\.md)"
  r"|assets\.extra/tf_serving_warmup_requests",
  re.ASCII,
)
"""What a snapshot or version may hold, beside assets of its graphs."""


@dataclasses.dataclass(frozen=True, eq=False)
class About:
  """What a version's report says beside what the snapshot itself holds.

  Attributes:
    source: the snapshot, as its user names it; None for its directory.
    quality: measures of its predictions, and `of` which; None if not known.
    churn: a `churn.json`, and `of` which file; None if not known.
    judged: what it was compared with, and the verdicts; None if it was not.
    cost: of narrow weights, on which rows; None if not measured.
    experiment: of the training: its flags and data; None if not known.
    rows: raw rows for the warm-up; None to make some of the vocabularies.
    rows_of: where they are from.
  """

  source: str | None = None
  quality: Mapping[str, Any] | None = None
  churn: Mapping[str, Any] | None = None
  judged: Mapping[str, Any] | None = None
  cost: Mapping[str, Any] | None = None
  experiment: Mapping[str, Any] | None = None
  rows: RawRows | None = None
  rows_of: str = "made from the vocabularies"


def export(
  snapshot: str | os.PathLike,
  root: str | os.PathLike,
  *,
  version: int | None = None,
  above: int | None = None,
  about: About | None = None,
  demands: Demands = trust.NONE,
) -> pathlib.Path:
  """Writes a snapshot to `root/VERSION/`, complete or absent; returns that.

  Args:
    snapshot: directory of the snapshot.
    root: the directory a server polls; its last name is the model's.
    version: above the highest in `root`; None means one above it.
    above: the number it was judged against, 0 for none: that must be in place
      still; None does not care.
    about: what the report says of it.
    demands: what the snapshot must show; its key signs the version.

  Raises:
    TornError: the snapshot is not complete or not as stamped.
    InputError: as `versions.write`; or a graph may do more than compute, or
      the snapshot holds what belongs to none; or as `check`.
  """
  check(root)
  about = about or About()
  snapshot = pathlib.Path(snapshot)
  manifest = stamped.verified(snapshot, demands.key)
  _check_facts(snapshot, manifest)
  _check_files(snapshot, manifest, demands)
  schema = schemas.read(snapshot / snapshots.EXTRA)
  signatures = graphs.signatures(snapshot)
  name = pathlib.Path(os.path.abspath(root)).name
  rows = about.rows if about.rows is not None else _made(snapshot, schema)
  requests = warmup.requests(name, rows)

  def fill(path: pathlib.Path, number: int) -> None:
    versions.copy(snapshot, path, manifest.files)
    if sums.of(path) != manifest.files:
      raise TornError(f"{snapshot} was altered while it was read")
    extra = path / snapshots.EXTRA
    warmup.write(extra / warmup.FILE, requests)
    report = {
      "model": name,
      "version": number,
      "snapshot": about.source or str(snapshot),
      "step": manifest.facts["step"],
      **_weights(path),
      "signatures": signatures,
      "warmup": {"requests": len(requests), "rows": about.rows_of},
      "data": _data(schema, about.experiment),
      **{
        key: getattr(about, key)
        for key in ("quality", "churn", "judged", "cost", "experiment")
      },
    }
    _write_report(extra, report)

  return versions.write(
    root,
    fill,
    manifest.facts,
    version=version,
    above=above,
    key=demands.key,
  )


def back(
  root: str | os.PathLike, *, demands: Demands = trust.NONE
) -> pathlib.Path:
  """Publishes the version before anew, see `versions.back`; returns that.

  Its report says the new number, and which version it is the same as.
  """
  name = pathlib.Path(os.path.abspath(root)).name

  def renew(path: pathlib.Path, number: int, same: int) -> None:
    if report(path).is_file():
      said = json.loads(report(path).read_text(encoding="utf-8"))
      said |= {"model": name, "version": number, "same_as": same}
      _write_report(path / snapshots.EXTRA, said)

  return versions.back(root, key=demands.key, renew=renew)


def check(root: str | os.PathLike) -> None:
  """Raises InputError where `root` holds a training's snapshots, not versions.

  They look alike: a training would take a version for its peer's snapshot, and
  to keep a few versions would delete snapshots.
  """
  found = versions.numbers(root)
  newest = pathlib.Path(root) / str(found[-1] if found else "")
  if not found or not stamped.is_stamped(newest):
    return
  if "group" in stamped.facts(newest) and not report(newest).is_file():
    raise InputError(
      f"{root} should be a directory of exported versions, holds {newest}, "
      "which is a snapshot of a training"
    )


def is_same(version: str | os.PathLike, snapshot: str | os.PathLike) -> bool:
  """Tells whether a version answers as a snapshot does: by their stamps.

  A version that lost its stamp is of nothing.
  """
  found = []
  for path in map(pathlib.Path, (version, snapshot)):
    if not stamped.is_stamped(path):
      return False
    files = manifests.read(path, None).files
    found.append(
      {n: f for n, f in files.items() if not n.startswith(snapshots.EXTRA)}
    )
  return found[0] == found[1]


def report(version: str | os.PathLike) -> pathlib.Path:
  """Returns the path of a version's `export.json`."""
  return pathlib.Path(version) / snapshots.EXTRA / REPORT


def _check_facts(snapshot: pathlib.Path, manifest: Manifest) -> None:
  """Refuses a step that is other text: it would stand in the card as it is."""
  step = manifest.facts.get("step")
  if type(step) is not int:
    raise InputError(f"{snapshot}: its step should be a number, is {step!r}")


def _check_files(
  snapshot: pathlib.Path, manifest: Manifest, demands: Demands
) -> None:
  """Refuses graphs that do more than compute, and what belongs to no model.

  It would travel to the server, which looks for other forms of a graph first.
  """
  known = set(filter(_FILES.fullmatch, manifest.files))
  for where in ("", snapshots.TEACHER):
    if not where or f"{where}/{narrow.MODEL}" in manifest.files:
      graph = loading.checked(snapshot, where, manifest, demands)
      known |= {
        os.path.join(where, snapshots.ASSETS, name)
        for name in graphs.assets(graph)
      }
  for name in sorted(set(manifest.files) - known):
    raise InputError(
      f"{snapshot} should hold a model alone, holds {name!r}, which belongs to "
      "none: it would travel to the server"
    )


def _write_report(extra: pathlib.Path, said: Mapping[str, Any]) -> None:
  # Of rows of one class some measures are nan, which JSON does not have.
  said = plain(said)
  stamped.write_json(extra / REPORT, said)
  stamped.write_text(extra / card.FILE, card.text(said))


def _made(snapshot: pathlib.Path, schema: Schema) -> RawRows:
  found = vocabularies.Vocabularies(snapshot, schema, folder=snapshots.ASSETS)
  drawn = raw_rows.drawn(schema, warmup.ROWS)
  return raw_rows.of_prepared(drawn, schema, found)


def _weights(path: pathlib.Path) -> dict[str, Any]:
  kinds = bundles.declared(path)
  return {
    "weights": " and ".join(sorted({dtype.name for _, dtype in kinds})),
    "parameters": sum(shape.num_elements() for shape, _ in kinds),
    "bytes": sum(f.stat().st_size for f in path.rglob("*") if f.is_file()),
  }


def _data(
  schema: Schema, experiment: Mapping[str, Any] | None
) -> dict[str, Any]:
  return {
    "schema": schema.fingerprint,
    "numeric": [feature.name for feature in schema.numeric],
    "categorical": [feature.name for feature in schema.categorical],
    "ids": sum(feature.rows for feature in schema.categorical),
    "rows": (experiment or {}).get("data", {}).get("rows"),
  }
