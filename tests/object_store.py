"""A real moto server on loopback with one bucket, and a gate before it."""

import contextlib
import http.client
import http.server
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

BUCKET = "clicks"
_REGION = "us-east-1"


class Store:
  """The server as a client sees it; `environment` is what scripts need."""

  def __init__(self, endpoint):
    import boto3

    self.environment = {
      "AWS_ACCESS_KEY_ID": "id",
      "AWS_SECRET_ACCESS_KEY": "secret",
      "S3_ENDPOINT": endpoint,
      "S3_USE_HTTPS": "0",
      "S3_VERIFY_SSL": "0",
      "AWS_REGION": _REGION,
    }
    self._client = boto3.client(
      "s3",
      endpoint_url=endpoint,
      region_name=_REGION,
      aws_access_key_id="id",
      aws_secret_access_key="secret",
    )
    self._client.create_bucket(Bucket=BUCKET)

  def put(self, name, content):
    self._client.put_object(Bucket=BUCKET, Key=name, Body=content)

  def get(self, name):
    return self._client.get_object(Bucket=BUCKET, Key=name)["Body"].read()

  def tree(self, folder):
    """Returns the content of all objects below `folder`, by their names."""
    pages = self._client.get_paginator("list_objects_v2")
    return {
      item["Key"].removeprefix(f"{folder}/"): self.get(item["Key"])
      for page in pages.paginate(Bucket=BUCKET, Prefix=f"{folder}/")
      for item in page.get("Contents", [])
    }


def free_port():
  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    return found.getsockname()[1]


@contextlib.contextmanager
def served():
  """Runs the server; yields its `Store`."""
  port = free_port()
  endpoint = f"http://127.0.0.1:{port}"
  server = subprocess.Popen(
    [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while True:
      try:
        urllib.request.urlopen(endpoint + "/moto-api/", timeout=60).close()
        break
      except ConnectionError:
        assert server.poll() is None
      except OSError as error:
        assert "refused" in str(error) and server.poll() is None
    yield Store(endpoint)
  finally:
    server.kill()
    server.wait()


class _Gate(http.server.BaseHTTPRequestHandler):
  """Hands requests on to the store, uploads only if they are admitted."""

  protocol_version = "HTTP/1.1"

  def log_message(self, *unused):
    pass

  def do_GET(self):
    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
    if self.command == "PUT" and not self.server.admits():
      self.send_error(403)
      return
    store = http.client.HTTPConnection(self.server.address, timeout=60)
    store.request(self.command, self.path, body, dict(self.headers))
    answer = store.getresponse()
    content = answer.read()
    self.send_response(answer.status)
    for name, value in answer.getheaders():
      if name.lower() not in ("connection", "transfer-encoding", "server"):
        self.send_header(name, value)
    self.end_headers()
    self.wfile.write(content)
    store.close()

  do_HEAD = do_PUT = do_POST = do_DELETE = do_GET


@contextlib.contextmanager
def gate(store, admits):
  """Yields the environment of a store whose uploads `admits()` decides on."""
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gate)
  server.admits = admits
  endpoint = urllib.parse.urlsplit(store.environment["S3_ENDPOINT"])
  server.address = endpoint.netloc
  threading.Thread(target=server.serve_forever, daemon=True).start()
  try:
    address = f"http://127.0.0.1:{server.server_port}"
    yield store.environment | {"S3_ENDPOINT": address}
  finally:
    server.shutdown()
    server.server_close()
