"""How a process ends once tensorflow-io was loaded; it is not, here."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """
import atexit, sys, types
from ctr_codistill.errors import InputError, PassingError
from pipelines import command
if {remote}:
  sys.modules["tensorflow_io"] = types.ModuleType("tensorflow_io")
atexit.register(lambda: print("the usual end"))
def main():
  print("done")
  {body}
command.run(main)
"""


def _run(body, *, remote):
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT.format(body=body, remote=remote)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  return done.returncode, done.stdout, done.stderr


def test_help_is_no_mistake_and_a_missing_flag_is_named():
  found = subprocess.run(
    [sys.executable, "-m", "pipelines.merge", "--help"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (found.returncode, found.stderr) == (0, "")
  assert "(required): " in found.stdout
  short, full = (
    subprocess.run(
      [sys.executable, "-m", "pipelines.merge", f"--help{kind}"],
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
    for kind in ("short", "full")
  )
  assert (short.returncode, short.stdout) == (0, found.stdout)
  assert (full.returncode, full.stderr) == (0, "")
  assert "--[no]logtostderr" in full.stdout  # absl's own, too
  found = subprocess.run(
    [sys.executable, "-m", "pipelines.merge"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 1
  assert found.stderr.startswith("error: --")
  assert "should be given\n" in found.stderr


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
  "body, status, said",
  [
    ("return 0", 0, ""),
    ("return 5", 5, ""),
    ("raise InputError('x should be y, is z')", 1, "error: x should be y"),
    ("raise PassingError('x is in use')", 75, "error: x is in use"),
    ("raise OSError('s3://b/x: it refuses')", 1, "error: s3://b/x: it ref"),
    ("raise OSError(28, 'No space left')", 1, "error: No space left\n"),
    ("raise OSError(5, 'Input/output error')", 1, "Traceback"),
    ("raise KeyboardInterrupt", 130, "interrupted"),
    ("1 / 0", 1, "ZeroDivisionError"),
    ("sys.exit(4)", 4, ""),
  ],
)
def test_the_status_and_the_output_are_the_same(body, status, said, remote):
  found, out, err = _run(body, remote=remote)
  assert found == status
  # With tensorflow-io the usual end, which would abort, is left out.
  assert out == "done\n" + "the usual end\n" * (not remote)
  assert said in err
