"""Snapshots by somebody who means harm."""

import hostile
import hostile_test
from faults import report

from ctr_codistill import keys
from ctr_codistill import snapshots
from ctr_codistill.errors import InputError
from ctr_codistill.exporting.exports import export
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust.demands import Demands


def _refuses(use, *given, **named):
  try:
    use(*given, **named)
  except InputError:
    return True
  return False


@report.fault("a snapshot whose graph reaches beyond itself")
def reaches(trial):
  """Survived is what neither a teacher, a scoring job nor an export takes."""
  found = []
  for op, spoil in hostile_test.SPOILED.items():
    path = hostile.publish(trial.folder / op, 1, spoil)
    given = Demands(allowed_ops=(op,))  # not even if a user allows it
    found += [
      _refuses(Snapshot, path, given, ids_only=True),
      _refuses(Snapshot, path, given),
      _refuses(export, path, trial.folder / "served", demands=given),
    ]
  return report.Outcome(len(found), sum(found))


@report.fault("a snapshot that the key of the run did not sign")
def unsigned(trial):
  """Survived is a refusal: unsigned, by another key, or put to another step."""
  file = trial.folder / "key"
  file.write_bytes(b"k" * 32)
  file.chmod(0o600)
  key = keys.read(file)
  other = keys.Key(file, b"o" * 32)
  moved = hostile.publish(trial.folder, 3, key=key)
  tried = [
    (hostile.publish(trial.folder, 1), 1),
    (hostile.publish(trial.folder, 2, key=other), 2),
    (moved.rename(trial.folder / "90"), 90),
  ]
  found = [
    _refuses(snapshots.read, path, Demands(key).at(step))
    for path, step in tried
  ]
  good = hostile.publish(trial.folder, 4, key=key)
  assert snapshots.read(good, Demands(key).at(4)).step == 4
  return report.Outcome(len(found), sum(found))
