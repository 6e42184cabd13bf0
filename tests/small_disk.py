"""A disk of a few megabytes that a test may fill, and make read-only."""

import contextlib
import os
import subprocess


def reason():
  """Tells why there can be none here, "" if there can."""
  return "" if os.geteuid() == 0 else "only root mounts a small disk"


@contextlib.contextmanager
def mounted(folder, megabytes):
  """Gives a disk of that size, mounted at `folder`."""
  folder.mkdir(parents=True, exist_ok=True)
  subprocess.run(
    ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
    check=True,
    capture_output=True,
  )
  try:
    yield folder
  finally:
    subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder, mode):
  """Makes it read-only ("ro") or writable again ("rw")."""
  subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


def fill(folder):
  """Leaves no room; returns the file to delete for it."""
  path = folder / "ballast"
  with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
    while True:
      file.write(bytes(4096))
  return path
