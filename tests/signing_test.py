"""A key of the run: what it signs is taken, everything else is not."""

import dataclasses
import json
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from ctr_codistill import config
from ctr_codistill import keys
from ctr_codistill import manifests
from ctr_codistill import merging
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.codistill.reading import Reader
from ctr_codistill.errors import InputError
from ctr_codistill.exporting.exports import export
from ctr_codistill.manifests import TornError
from ctr_codistill.manifests import UntrustedError
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer
from ctr_codistill.trust.demands import Demands

SECRET = "0123456789abcdef-a-secret-of-this-test"


def _key(folder, secret=SECRET, mode=0o600):
  path = folder / "key"
  path.write_text(secret + "\n")
  path.chmod(mode)
  return path


@pytest.fixture
def key(tmp_path):
  return keys.read(_key(tmp_path))


@pytest.fixture
def signed(servable, key, tmp_path):
  """A function: writes snapshot `step` of group 1, signed."""
  writer = Writer(
    servable, servable.signatures(), {}, tmp_path / "template", key=key
  )

  def write(step, root=tmp_path / "group-1", group=1):
    return writer.write(root, step, servable.weights, {"group": group})

  return write


def _newest(root, demands):
  with ThreadPoolExecutor(1) as thread:
    reader = Reader(root, thread, demands)
    reader.look(None)
    reader.wait()
    return reader.ready


def test_a_signed_snapshot_is_taken_with_its_key_and_without_one(signed, key):
  path = signed(10)
  for demands in (Demands(key), Demands()):
    assert Snapshot(path, demands).step == 10


def test_an_unsigned_one_is_refused_with_a_key(publish, key, tmp_path):
  path = publish(tmp_path / "x", 10, seed=1)
  for use in (
    lambda: snapshots.read(path, Demands(key)),
    lambda: Snapshot(path, Demands(key)),
    lambda: merging.merge([path], tmp_path / "m", demands=Demands(key)),
    lambda: export(path, tmp_path / "served", demands=Demands(key)),
  ):
    with pytest.raises(UntrustedError, match=r"10/manifest.json .*, is not si"):
      use()


def test_one_signed_with_another_key_is_refused(signed, tmp_path):
  path = signed(10)
  other = keys.read(_key(tmp_path, "another-secret-that-is-long-enough-too"))
  with pytest.raises(UntrustedError, match="is signed with another or altered"):
    snapshots.read(path, Demands(other))


@pytest.mark.parametrize("part", ["facts", "files"])
def test_an_altered_manifest_is_refused_even_with_its_sum_mended(
  signed, key, part
):
  file = signed(10) / stamped.MANIFEST
  value = json.loads(file.read_text())
  if part == "facts":
    value["facts"]["step"] = 20
  else:
    value["files"].popitem()
  mended = json.loads(
    manifests.text(manifests.Manifest(value["facts"], value["files"]), None)
  )
  mended["signature"] = value["signature"]
  file.write_text(json.dumps(mended, indent=1) + "\n")
  with pytest.raises(UntrustedError, match="another or altered"):
    manifests.read(file.parent, key)
  assert manifests.read(file.parent, None)


def test_a_signed_snapshot_holds_in_its_own_place_alone(signed, key, tmp_path):
  """Put to a later step, or to another group, it is another's or an old one."""
  path = signed(10)
  demands = Demands(key, facts={"group": 1})
  assert _newest(path.parent, demands) == 10
  path.rename(path.parent / "90")
  assert _newest(path.parent, demands) == -1
  other = signed(10, tmp_path / "group-2", group=2)
  other.rename(path)
  assert _newest(path.parent, demands) == -1


def test_a_merged_snapshot_is_signed_and_no_groups(signed, key, tmp_path):
  path = signed(10)
  merged = merging.merge(
    [path, signed(20)], tmp_path / "merged", demands=Demands(key)
  )
  found = Snapshot(merged, Demands(key))
  assert "group" not in found.facts
  stamped.delete(path)
  merged.rename(path)
  assert _newest(path.parent, Demands(key, facts={"group": 1})) == 20


def test_the_secret_is_in_no_text(signed, key, tmp_path):
  path = signed(10)
  experiment = config.Experiment(
    exchange=config.Exchange(key_file=str(tmp_path / "key"))
  )
  texts = [
    repr(key),
    str(dataclasses.replace(Demands(key), largest=1)),
    (path / stamped.MANIFEST).read_text(),
    config.to_json(experiment),
  ]
  assert not [text for text in texts if SECRET in text]
  with pytest.raises(UntrustedError) as caught:
    snapshots.read(path, Demands(dataclasses.replace(key, secret=b"x" * 32)))
  assert "x" * 32 not in str(caught.value)


@pytest.mark.parametrize(
  ("secret", "mode", "said"),
  [
    ("short", 0o600, "should hold 32 to 4096 bytes, holds 5"),
    ("x" * 5000, 0o600, "should hold 32 to 4096 bytes, holds 4097"),
    (SECRET, 0o644, r"\(chmod 600\), has mode 644"),
    (SECRET, 0o660, r"\(chmod 600\), has mode 660"),
  ],
)
def test_a_key_that_cannot_be_one_is_refused(tmp_path, secret, mode, said):
  with pytest.raises(InputError, match=rf"key_file: {tmp_path}/key .*{said}"):
    keys.read(_key(tmp_path, secret, mode))


def test_a_key_that_is_not_there_is_named(tmp_path):
  with pytest.raises(InputError, match=r"key_file: .*/none: No such file"):
    keys.read(tmp_path / "none")
  with pytest.raises(InputError, match=r"key_file: .*: Is a directory"):
    keys.read(tmp_path)
  assert keys.read("") is None


def test_a_group_may_read_it_as_a_cluster_mounts_secrets(tmp_path):
  assert keys.read(_key(tmp_path, mode=0o440)).secret == SECRET.encode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_of_another_user_is_refused(tmp_path):
  try:
    os.chown(_key(tmp_path), 12345, 0)
  except OSError as error:  # a sandbox in which there is one user
    pytest.skip(f"no file can be given away here: {error}")
  with pytest.raises(InputError, match="belongs to user 12345"):
    keys.read(tmp_path / "key")


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "saved_model.pb"])
def test_a_link_in_a_snapshot_is_refused(publish, tmp_path, target):
  path = publish(tmp_path, 10, seed=1)
  (path / "link").symlink_to(target)
  with pytest.raises(TornError, match="/10: link should be a file, is a link"):
    snapshots.read(path)


def test_a_file_that_became_a_link_to_its_like_is_refused(publish, tmp_path):
  path = publish(tmp_path, 10, seed=1)
  file = path / "variables/variables.index"
  file.rename(tmp_path / "elsewhere")
  file.symlink_to(tmp_path / "elsewhere")
  with pytest.raises(TornError, match="index should be a file, is a link"):
    snapshots.read(path)


def test_a_link_in_place_of_a_snapshot_is_passed_over(publish, tmp_path):
  path = publish(tmp_path / "other", 10, seed=1)
  (tmp_path / "group-1").mkdir()
  (tmp_path / "group-1" / "10").symlink_to(path)
  assert _newest(tmp_path / "group-1", Demands()) == -1


@pytest.mark.parametrize("name", ["../other/x", "/etc/passwd", "a/../../b", ""])
def test_a_name_that_climbs_is_refused(publish, tmp_path, name):
  path = publish(tmp_path, 10, seed=1)
  manifest = manifests.read(path, None)
  files = {**manifest.files, name: {"sha256": "0" * 64, "bytes": 0}}
  (path / stamped.MANIFEST).write_text(
    manifests.text(manifests.Manifest(manifest.facts, files), None)
  )
  with pytest.raises(TornError, match=r"no manifest: '.*' should be the name"):
    snapshots.read(path)


@pytest.mark.parametrize(
  "text",
  [
    "[" * 100_000,
    '{"facts": {}, "files": {"x": {"bytes": -1, "sha256": "%s"}}}' % ("0" * 64),
    '{"facts": {}, "files": {"x": 1}}',
    '{"facts": {}, "files": {}, "more": ""}',
    '{"facts": {}, "files": {}, "sum": 1}',
    '{"facts": {}, "files": {}}',  # not as we write it
    "9" * 10_000,
  ],
)
def test_a_manifest_of_anything_else_is_torn(tmp_path, text):
  path = pathlib.Path(tmp_path / "1")
  path.mkdir()
  (path / stamped.MANIFEST).write_text(text)
  with pytest.raises(TornError, match="is no manifest"):
    stamped.verify(path)


def test_one_of_an_older_version_has_no_sum_and_is_taken(tmp_path):
  path = stamped.write(tmp_path / "1", lambda d: None, {"step": 1})
  stamped.write_json(path / stamped.MANIFEST, {"facts": {}, "files": {}})
  assert stamped.verify(path) == {}
