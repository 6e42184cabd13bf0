"""What `places` does with remote paths, as JSON on stdout.

In a process of its own: one that touched s3:// aborts at its usual end.
Arguments: --base=s3://... or http://... and --tries, names of functions here.
"""

import json

from absl import flags

from ctr_codistill import globs
from ctr_codistill import places
from pipelines import command

_BASE = flags.DEFINE_string("base", None, "a directory")
_TRIES = flags.DEFINE_list("tries", None, "names of functions of this file")


def written(base):
  """Writes, reads, lists, renames and deletes."""
  places.write_bytes(f"{base}/out/a.bin", b"first")
  places.write_bytes(f"{base}/out/a.bin", bytes(range(256)) * 4096)
  places.write_bytes(f"{base}/out/b.bin", b"")
  places.rename(f"{base}/out/b.bin", f"{base}/out/sub/c.bin")
  listed = places.names(f"{base}/out")
  same = places.read_bytes(f"{base}/out/a.bin") == bytes(range(256)) * 4096
  places.remove(f"{base}/out/a.bin")
  return [listed, same, places.names(f"{base}/out/")]


def sought(base):
  """Seeks as parquet's reader does."""
  with places.open_bytes(f"{base}/in/a.tsv") as file:
    end = file.seek(0, 2)
    file.seek(-5, 2)
    last = file.read()
    file.seek(2)
    return [end, last.decode(), file.read(4).decode(), file.tell()]


def there(base):
  """Tells files from nothing."""
  return [places.is_file(f"{base}/in/{n}") for n in ("a.tsv", "none", "e.tsv")]


def found(base):
  """Finds files by patterns."""
  patterns = ("in/*.tsv", "in/[b].tsv", "in/x*", "none/*", "in/a.tsv")
  return [
    [path.removeprefix(base) for path in globs.find(f"{base}/{p}")]
    for p in patterns
  ]


def read(base):
  """Reads a file that is there."""
  return len(places.read_bytes(f"{base}/in/a.tsv"))


def version(base):
  """Tells whether a file is another one."""
  return places.version(f"{base}/in/a.tsv")


def read_none(base):
  """Reads what is not there."""
  return len(places.read_bytes(f"{base}/in/none"))


def list_none(base):
  """Lists what is not there."""
  return places.names(f"{base}/none")


def write(base):
  """Writes a file."""
  return places.write_bytes(f"{base}/out/w", b"x")


def is_there(base):
  """Asks for a file."""
  return places.is_file(f"{base}/in/a.tsv")


def main() -> int:
  """Prints what each function returned or raised."""
  said = {}
  for name in _TRIES.value:
    try:
      said[name] = globals()[name](_BASE.value)
    except (OSError, ValueError) as error:
      said[name] = f"{type(error).__name__}: {error}"
  print(json.dumps(said))
  return 3  # which is what the process should end with


if __name__ == "__main__":
  command.run(main)
