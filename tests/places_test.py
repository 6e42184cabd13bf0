"""Local paths in this process; remote ones in others, against real servers."""

import functools
import gzip
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import object_store
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import serve_ranges

from ctr_codistill import globs
from ctr_codistill import places
from ctr_codistill.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
BUCKET = object_store.BUCKET


def _run(module, *flags, **environment):
  quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
  return subprocess.run(
    [sys.executable, "-m", module, *map(str, flags)],
    cwd=ROOT,
    env=os.environ | quiet | environment,
    capture_output=True,
    text=True,
    timeout=300,
  )


def _tried(base, *tries, **environment):
  done = _run(
    "tests.remote_places",
    f"--base={base}",
    f"--tries={','.join(tries)}",
    **environment,
  )
  assert done.returncode == 3, done.stderr
  return json.loads(done.stdout)


def test_local_files_are_written_whole_or_not_at_all(tmp_path, full_disk):
  path = tmp_path / "new" / "a.bin"
  places.write_bytes(path, b"before")
  with full_disk(1 << 16), pytest.raises(OSError):
    places.write_bytes(path, bytes(1 << 20))
  assert places.read_bytes(path) == b"before"
  assert places.names(tmp_path / "new") == ["a.bin"]


def test_local_paths_are_those_of_the_system(tmp_path):
  places.write_bytes(tmp_path / "a", b"1")
  places.rename(tmp_path / "a", tmp_path / "b")
  assert globs.find(f"{tmp_path}/*") == [str(tmp_path / "b")]
  assert places.is_file(tmp_path / "b")
  assert not places.is_file(tmp_path / "a")
  places.remove(tmp_path / "b")
  with pytest.raises(FileNotFoundError):
    places.read_bytes(tmp_path / "b")
  assert not places.is_remote("file:///x") and places.is_remote("s3://b/x")


def test_local_paths_need_no_tensorflow():
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      "import sys; from ctr_codistill import globs, places;"
      "places.check('/tmp/a');"
      "globs.find('/tmp/*'); print('tensorflow_io' in sys.modules)",
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.stdout == "False\n", done.stderr


def test_a_rename_stays_in_one_place():
  with pytest.raises(ValueError, match=r"/a and s3://b/c should lie in one"):
    places.rename("/a", "s3://b/c")


@pytest.fixture(scope="module")
def store():
  """The environment of a real object store with some logs."""
  with object_store.served() as found:
    for name, content in CONTENT.items():
      found.put(f"in/{name}", content)
    yield found.environment


def _row(i):
  return f"{i % 2}\t{i}" + "\t" * 12 + f"\tv{i % 3}" + "\t" * 25 + "\n"


def _text(start, stop):
  return "".join(map(_row, range(start, stop))).encode()


CONTENT = {
  "a.tsv": _text(0, 30),
  "b.tsv": _text(30, 50),
  "e.tsv": b"",
  "sub/e.tsv": b"",
  "c.tsv.gz": gzip.compress(_text(50, 60)),
  "d.tsv.zst": pa.compress(_text(60, 70), codec="zstd", asbytes=True),
}
LAST = "\t\t\t\t\n"


def test_an_object_store_is_a_place(store):
  said = _tried(
    f"s3://{BUCKET}",
    *("written", "sought", "there", "found", "read_none", "list_none"),
    "version",
    **store,
  )
  size_, _, _, time, _ = said.pop("version").split()
  assert int(size_) == len(CONTENT["a.tsv"])
  assert int(time) > 1e18  # as seconds after 1970 are in nanoseconds
  size = len(CONTENT["a.tsv"])
  # The right status, 3, shows that the process did not abort at its end.
  assert said == {
    "written": [["a.bin", "sub"], True, ["sub"]],
    "sought": [size, LAST, "0\t\t\t", 6],
    "there": [True, False, True],
    "found": [
      ["/in/a.tsv", "/in/b.tsv", "/in/e.tsv"],
      ["/in/b.tsv"],
      [],
      [],
      ["/in/a.tsv"],
    ],
    "read_none": f"FileNotFoundError: s3://{BUCKET}/in/none: no such file",
    "list_none": f"FileNotFoundError: s3://{BUCKET}/none/: no such file",
  }


def _prepare(inputs, output, **environment):
  return _run(
    "pipelines.prepare",
    *(f"--input={path}" for path in inputs),
    f"--output={output}",
    "--min_count=2",
    **environment,
  )


NAMES = ["a.tsv", "b.tsv", "c.tsv.gz", "d.tsv.zst"]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
  """The shard of a job that had local copies."""
  folder = tmp_path_factory.mktemp("local")
  for name in NAMES:
    (folder / name).write_bytes(CONTENT[name])
  done = _prepare([folder / name for name in NAMES], folder / "out")
  assert done.returncode == 0, done.stderr
  return (folder / "out" / "train" / "shard-00000.rows").read_bytes()


def test_logs_are_prepared_from_an_object_store(store, local, tmp_path):
  inputs = [f"s3://{BUCKET}/in/{p}" for p in ("[ab].tsv", "[c-s]*")]
  done = _prepare(inputs, tmp_path / "out", **store)
  assert done.returncode == 0, done.stderr
  assert "70 rows in, 60 to train on" in done.stdout
  assert "2 of 4 skipped: " in done.stderr
  assert f"{BUCKET}/in/e.tsv (empty), s3://{BUCKET}/in/sub (a f" in done.stderr
  assert (tmp_path / "out/train/shard-00000.rows").read_bytes() == local


@pytest.fixture
def web(tmp_path):
  """A function: serves `tmp_path/www` with a handler; returns the address."""
  servers = []
  (tmp_path / "www").mkdir()

  def serve(handler):
    server = http.server.ThreadingHTTPServer(
      ("127.0.0.1", 0), functools.partial(handler, directory=tmp_path / "www")
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    servers.append(server)
    return f"http://127.0.0.1:{server.server_port}"

  yield serve
  for server in servers:
    server.shutdown()
    server.server_close()


def test_logs_are_prepared_from_a_web_server(web, local, tmp_path):
  for name in NAMES:
    (tmp_path / "www" / name).write_bytes(CONTENT[name])
  base = web(serve_ranges.Handler)
  done = _prepare([f"{base}/{name}" for name in NAMES], tmp_path / "out")
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "out/train/shard-00000.rows").read_bytes() == local


def test_a_web_server_reads_parquet_and_lists_nothing(web, tmp_path):
  (tmp_path / "www" / "in").mkdir()
  for name in ("a.tsv", "e.tsv"):
    (tmp_path / "www" / "in" / name).write_bytes(CONTENT[name])
  base = web(serve_ranges.Handler)
  tries = ("sought", "there", "found", "read_none", "write", "version")
  said = _tried(base, *tries)
  assert said["version"].startswith(f"{len(CONTENT['a.tsv'])} bytes of ")
  assert said["sought"] == [len(CONTENT["a.tsv"]), LAST, "0\t\t\t", 6]
  assert said["there"] == [True, False, True]
  assert (
    said["found"] == f"OSError: {base}/in: http has no listing; name each file"
  )
  assert said["read_none"] == f"FileNotFoundError: {base}/in/none: no such file"
  assert said["write"].startswith(f"OSError: {base}/out/w: ")
  table = {"label": [0, 1] * 7}
  table |= {f"I{i}": pa.nulls(14, pa.int64()) for i in range(1, 14)}
  table |= {f"C{i}": ["a"] * 14 for i in range(1, 27)}
  pq.write_table(pa.table(table), tmp_path / "www" / "a.parquet")
  done = _prepare([f"{base}/a.parquet"], tmp_path / "out")
  assert done.returncode == 0, done.stderr
  assert "14 rows in, 12 to train on" in done.stdout


def test_a_web_server_of_whole_files_only_is_told(web, tmp_path):
  (tmp_path / "www" / "in").mkdir()
  (tmp_path / "www" / "in" / "a.tsv").write_bytes(CONTENT["a.tsv"] * 999)
  base = web(serve_ranges.WholeFiles)
  assert "whole files only" in _tried(base, "read")["read"]


def test_a_store_that_does_not_answer_is_no_store_without_the_file(
  store, tmp_path
):
  closed = f"http://127.0.0.1:{object_store.free_port()}"
  inputs = [f"s3://{BUCKET}/in/*.tsv"]
  for endpoint, said in [
    (closed, f"S3_ENDPOINT {closed} does not answer: .*refused"),
    ("127.0.0.1:5000", "S3_ENDPOINT should be like http://host:port .* '127"),
  ]:
    done = _prepare(
      inputs, tmp_path / "out", **store | {"S3_ENDPOINT": endpoint}
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    with pytest.raises(AssertionError, match=said):
      raise AssertionError(done.stderr)


def test_a_store_that_refuses_is_no_store_without_the_file(web, store):
  refusing = store | {"S3_ENDPOINT": web(serve_ranges.Forbidden)}
  said = _tried(
    f"s3://{BUCKET}", "is_there", "read", "list_none", "write", **refusing
  )
  assert all(v.startswith("OSError: s3://clicks/") for v in said.values()), said


def test_a_web_server_that_is_not_there_is_told(tmp_path):
  base = f"http://127.0.0.1:{object_store.free_port()}"
  done = _prepare([f"{base}/a.tsv"], tmp_path / "out")
  assert done.returncode == 1
  assert f"error: input {base}/a.tsv: " in done.stderr
  assert "Failed to connect" in done.stderr


def test_a_scheme_that_nobody_knows_is_told():
  with pytest.raises(InputError, match=r"nowhere://x/y: .*knows no nowhere://"):
    places.check("nowhere://x/y")
