"""Serves the files of this machine by SFTP to whoever connects: for tests.

Without ssh, hence without keys and users: `sshfs -o directport` speaks so.

python tests/faults/sftp.py PORT
"""

import socketserver
import subprocess
import sys

SERVER = "/usr/lib/openssh/sftp-server"


class _Connection(socketserver.BaseRequestHandler):
  def handle(self):
    ends = {"stdin": self.request, "stdout": self.request}
    subprocess.run([SERVER], check=False, **ends)


class _Server(socketserver.ThreadingTCPServer):
  allow_reuse_address, daemon_threads = True, True


if __name__ == "__main__":
  server = _Server(("", int(sys.argv[1])), _Connection)
  print("listening", flush=True)
  server.serve_forever()
