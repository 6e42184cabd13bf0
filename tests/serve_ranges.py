"""Web servers of files: with ranges, without, and one that refuses."""

import http.server
import os


class WholeFiles(http.server.SimpleHTTPRequestHandler):
  """Python's own: it does not know Range."""

  def log_message(self, *unused):
    pass

  def do_GET(self):
    try:
      super().do_GET()
    except ConnectionError:
      pass  # the client left early


class Handler(WholeFiles):
  """Answers a Range request with the part of the file."""

  protocol_version = "HTTP/1.1"

  def do_GET(self):
    wanted = self.headers.get("Range")
    path = self.translate_path(self.path)
    if not wanted or not os.path.isfile(path):
      super().do_GET()
      return
    with open(path, "rb") as file:
      content = file.read()
    first, last = wanted.removeprefix("bytes=").split("-")
    part = content[int(first) : int(last) + 1]
    if not part:
      self.send_error(416)
      return
    self.send_response(206)
    stop = int(first) + len(part) - 1
    self.send_header("Content-Range", f"bytes {first}-{stop}/{len(content)}")
    self.send_header("Content-Length", str(len(part)))
    self.end_headers()
    self.wfile.write(part)


class Forbidden(WholeFiles):
  """Refuses every request."""

  def do_GET(self):
    self.send_error(403)

  do_HEAD = do_PUT = do_POST = do_GET
