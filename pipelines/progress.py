"""What a group's progress file says, for whoever watches the run."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ctr_codistill.training import workdir as workdirs
from pipelines import taught


def read(workdir: pathlib.Path, group: int) -> dict[str, Any]:
  """Returns what a group's progress file says, nothing before it is there."""
  path = workdirs.group_folder(workdir, group) / workdirs.PROGRESS
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError):
    return {}


def line(now: Mapping[str, Any], *, learns: bool) -> str:
  """Returns what a progress file says, in one line.

  Args:
    now: its values; none: the group is starting.
    learns: whether the group has who could teach it.
  """
  if not now:
    return "starting"
  parts = [f"{now['state']}, step {now['step']}/{now['steps']}"]
  if "loss" in now:
    parts.append(f"{now['examples_per_second']:,.0f} examples/s")
    parts.append(f"loss {now['loss']:.4f}")
  if now.get("staleness_steps") is not None:
    stale = now["staleness_steps"]
    how = "ahead" if stale < 0 else "stale"
    parts.append(f"teacher {abs(stale):.0f} steps {how}")
  if "validation" in now:
    parts.append(f"validation log loss {now['validation']['log_loss']:.4f}")
  if now.get("seconds_left"):
    parts.append(f"{now['seconds_left']:.0f} s left")
  if learns and now["state"] == "done" and now.get("trained_steps"):
    parts.append(taught.said(now))
  return ", ".join(parts)
